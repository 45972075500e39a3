"""Images that are read in threads before they are asked for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ripu_ray.data.ahead import ReadAhead
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import DataError
from tests.data.test_caching import POOL, SIZES, arrays, cached
from tests.data.test_loading import truncate


@pytest.mark.parametrize("decoders", [0, 1, 3])
def test_what_is_read_ahead_is_what_is_read(tmp_path: Path, decoders: int) -> None:
    for data in (cached(tmp_path / "with", **SIZES), cached(tmp_path / "without", cache=None)):
        pool = open_domains(data).pool
        images = ReadAhead(pool, decoders)
        # Twice: what was expected is gone once it was asked for.
        images.expect(images.image_ids)
        for _ in range(2):
            assert all((mine == plain).all() for mine, plain in zip(arrays(images), arrays(pool), strict=True))
        assert list(images.ahead(pool.image_ids * 9, str)) == [*pool.image_ids * 9]


def test_an_image_that_cannot_be_decoded_is_named_when_it_is_its_turn(tmp_path: Path) -> None:
    pool = open_domains(cached(tmp_path, cache=None)).pool
    truncate(tmp_path / POOL / "images" / "b.png")
    images = ReadAhead(pool, 2)
    first, second, *_ = images.ahead(pool.image_ids, str)
    assert images.image(first).size
    with pytest.raises(DataError, match=r"images/b\.png: the image is damaged"):
        images.image(second)


def test_no_more_is_read_ahead_than_the_decoders_need(tmp_path: Path) -> None:
    pool = open_domains(cached(tmp_path)).pool
    asked = []

    def ids() -> Iterator[str]:
        for image_id in pool.image_ids * 9:
            asked.append(image_id)
            yield image_id

    next(ReadAhead(pool, 2).ahead(ids(), str))
    assert len(asked) == 5
