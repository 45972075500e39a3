"""The embedded task: the same pictures everywhere, all classes in them, and two domains that differ."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from ripu_ray.data.loading import Domains, open_domains
from ripu_ray.data.synthetic.images import SyntheticData, SyntheticImages
from ripu_ray.data.synthetic.palettes import shifted
from ripu_ray.data.synthetic.scenes import CLASSES, PERSON, POLE, SIGN


@pytest.fixture(scope="module")
def domains() -> Domains:
    return open_domains(SyntheticData())


def digest(images: SyntheticImages, image_id: str) -> str:
    return hashlib.sha256(images.image(image_id).tobytes() + images.label(image_id).tobytes()).hexdigest()


def test_another_process_draws_the_same_pictures() -> None:
    code = (
        "from tests.data.test_synthetic import digest; from ripu_ray.data.synthetic.images import SyntheticImages; "
        "print(digest(SyntheticImages('target', 'val', 5, (96, 128), 3), 'target/val/00004'))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = SyntheticImages("target", "val", 5, (96, 128), 3)
    here.image("target/val/00001")  # the order of drawing does not matter
    assert other.stdout.strip() == digest(here, "target/val/00004")


def test_a_picture_does_not_depend_on_how_many_there_are() -> None:
    few, many = (SyntheticImages("source", "train", count, (96, 128), 0) for count in (2, 9))
    assert digest(few, "source/train/00001") == digest(many, "source/train/00001")


def test_seed_domain_split_and_number_all_matter() -> None:
    sets = (
        SyntheticImages("source", "train", 2, (96, 128), 0),
        SyntheticImages("target", "train", 2, (96, 128), 0),
        SyntheticImages("target", "val", 2, (96, 128), 0),
        SyntheticImages("target", "val", 2, (96, 128), 1),
    )
    assert len({digest(images, image_id) for images in sets for image_id in images.image_ids}) == 8


@pytest.mark.parametrize("size", [(8, 8), (8, 200), (200, 9), (97, 131)])
def test_any_size_that_the_configuration_allows(size: tuple[int, int]) -> None:
    for images in (SyntheticImages("source", "train", 3, size, 0), SyntheticImages("target", "train", 3, size, 0)):
        for image_id in images.image_ids:
            assert images.image(image_id).shape == (*size, 3)
            assert images.label(image_id).shape == images.label_size(image_id) == size


def test_contract_of_an_image_set(domains: Domains) -> None:
    data = SyntheticData()
    counts = (data.num_source, data.num_pool, data.num_validation)
    places = ("source/train", "target/train", "target/val")
    for images, count, place in zip((domains.source, domains.pool, domains.validation), counts, places, strict=True):
        assert images.image_ids == tuple(f"{place}/{number:05d}" for number in range(count))
        image_id = images.image_ids[-1]
        assert images.image(image_id).dtype == images.label(image_id).dtype == np.uint8
        images.image(image_id)[:] = 0
        images.label(image_id)[:] = 0
        assert images.image(image_id).any()
        assert images.label(image_id).any()


def frequencies(domains: Domains, domain: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    images = getattr(domains, domain)
    counts = sum(np.bincount(images.label(image_id).ravel(), minlength=256) for image_id in images.image_ids)
    return np.asarray(counts / np.sum(counts))


def test_every_class_occurs_the_thin_ones_rarely_and_some_pixels_are_void(domains: Domains) -> None:
    for name in ("source", "pool", "validation"):
        shares = frequencies(domains, name)
        assert (shares[: CLASSES.num_classes] > 0.001).all()
        assert (shares[[POLE, SIGN, PERSON]] < 0.03).all()
        assert 0 < shares[255] < 0.15
        assert shares[CLASSES.num_classes : 255].sum() == 0


def test_domains_differ_in_class_frequency_and_in_appearance(domains: Domains) -> None:
    distance = np.abs(frequencies(domains, "source") - frequencies(domains, "pool")).sum() / 2
    assert distance > 0.1

    def saturation(name: str) -> float:
        images = getattr(domains, name)
        pixels = np.stack([images.image(image_id) for image_id in images.image_ids]).astype(float)
        return float((pixels.max(-1) - pixels.min(-1)).mean())

    assert saturation("source") > 1.4 * saturation("pool")


def test_the_pool_and_the_validation_split_are_alike(domains: Domains) -> None:
    distance = np.abs(frequencies(domains, "pool") - frequencies(domains, "validation")).sum() / 2
    assert distance < 0.1


def mean_colour(images: SyntheticImages) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray(np.mean([images.image(image_id).mean((0, 1)) for image_id in images.image_ids], axis=0))


def test_the_documented_shift_draws_the_documented_pictures() -> None:
    images = SyntheticImages("target", "train", 1, (96, 128), 0)
    assert digest(images, "target/train/00000") == "0bdf97f9d1a21ffbe445e98fc2d7c00a1a12e28ff946aba45ba836f4fc75ea9a"
    assert digest(images, "target/train/00000") == digest(
        SyntheticImages("target", "train", 1, (96, 128), 0, 1.0), "target/train/00000"
    )


def test_the_target_moves_away_from_the_source_as_the_shift_grows() -> None:
    start = mean_colour(SyntheticImages("source", "train", 20, (48, 64), 0))
    moved = (SyntheticImages("target", "train", 20, (48, 64), 0, shift) for shift in (0.5, 1, 2, 3))
    distances = [float(np.abs(mean_colour(images) - start).mean()) for images in moved]
    assert distances == sorted(distances)
    assert distances[-1] > 3 * distances[0]


def test_the_source_knows_no_shift() -> None:
    one, other = (SyntheticImages("source", "train", 1, (48, 64), 0, shift) for shift in (0, 2))
    assert digest(one, "source/train/00000") == digest(other, "source/train/00000")


def test_without_a_shift_the_domains_have_one_layout_and_look() -> None:
    assert shifted("target", 0) == shifted("source", 5)


@pytest.mark.parametrize("size", [(8, 8), (8, 200), (200, 9)])
@pytest.mark.parametrize("shift", [0.3, 1.7, 3])
def test_any_shift_gives_pictures(shift: float, size: tuple[int, int]) -> None:
    images = SyntheticImages("target", "train", 4, size, 0, shift)
    for image_id in images.image_ids:
        assert images.image(image_id).shape == (*size, 3)
        assert set(np.unique(images.label(image_id))) <= {*range(CLASSES.num_classes), 255}
