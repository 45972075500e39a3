"""What a data set holds, and every fault of it; the check before a run is in test_loading."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from ripu_ray.data.checking import inspect_domains
from ripu_ray.data.loading import open_domains
from ripu_ray.data.overlays import LINE, draw_overlays
from ripu_ray.data.synthetic.images import SyntheticData
from ripu_ray.errors import DataError
from tests.data import published
from tests.data.folders import HEIGHT, WIDTH, write_data_set


def test_counts_sizes_and_classes(tmp_path: Path) -> None:
    data = write_data_set(tmp_path)
    domains = open_domains(data)
    seen: list[str] = []

    def watch(name: str, image_ids: Iterable[str], total: int) -> list[str]:
        assert total == 3
        ids = list(image_ids)
        seen.extend(ids)
        return ids

    reports = inspect_domains(domains, data, watch)
    assert [report.name for report in reports] == ["source", "pool", "validation"]
    assert len(seen) == 9
    for report, images in zip(reports, (domains.source, domains.pool, domains.validation), strict=True):
        labels = np.stack([images.label(image_id) for image_id in images.image_ids])
        assert report.num_images == 3
        assert report.image_sizes == report.label_sizes == {(HEIGHT, WIDTH): 3}
        assert report.pixels_C.tolist() == [(labels == class_id).sum() for class_id in range(3)]
        assert report.images_C.tolist() == [(labels == class_id).any(axis=(1, 2)).sum() for class_id in range(3)]
        assert report.void_pixels == 3 * WIDTH
        assert report.faults == ()


def test_every_fault_has_a_line(tmp_path: Path) -> None:
    data = published.write_pair(tmp_path, "gtav")
    damaged = [tmp_path / "gtav" / kind / "00001.png" for kind in ("images", "labels")]
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-30])
    published.write_palette_png(tmp_path / "gtav/labels/00010.png", published.draw_ids((7, 99), 0))
    source, pool, validation = inspect_domains(open_domains(data), data)
    assert [fault.partition(": ")[0] for fault in source.faults] == [
        *map(str, damaged),
        str(tmp_path / "gtav/labels/00010.png"),
    ]
    assert source.image_sizes == {(10, 14): 2}
    assert source.label_sizes == {(10, 14): 1}
    assert pool.faults == validation.faults == ()


def test_overlays_blend_images_and_class_colours() -> None:
    domains = open_domains(SyntheticData(num_source=5, num_pool=4, num_validation=3, size=(32, 48)))
    sheet = draw_overlays(domains, width=48)
    assert sheet.shape == (4 * (32 + LINE) + domains.classes.num_classes * LINE, 2 * 48, 3)
    image_id = domains.source.image_ids[0]
    image, label = domains.source.image(image_id), domains.source.label(image_id)
    colours = np.zeros((256, 3))
    colours[: domains.classes.num_classes] = domains.classes.colours
    assert np.abs(sheet[:32, :48] - (image + colours[label]) / 2).max() <= 1


def test_unreadable_images_are_left_out_of_the_picture(tmp_path: Path) -> None:
    data = write_data_set(tmp_path)
    for path in (tmp_path / "day/train/images").iterdir():
        path.write_bytes(b"")
    domains = open_domains(data)
    assert draw_overlays(domains, width=40).shape == (3 * (24 + LINE) + 3 * LINE, 80, 3)
    for place in ("dusk/train", "dusk/val"):
        for path in (tmp_path / place / "images").iterdir():
            path.write_bytes(b"")
    with pytest.raises(DataError, match="nothing to draw"):
        draw_overlays(domains)
