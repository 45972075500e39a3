"""Augmentation: labels stay on their pixels, and views depend on the seed, the step and the image alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ripu_ray.config import AugmentationConfig, Config, load_config
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import ConfigError
from ripu_ray.simulation.local import LocalFineTuner
from ripu_ray.training import batches
from ripu_ray.training.augmentation import augment, move, recolour
from ripu_ray.training.batches import Draw
from ripu_ray.training.job import TrainingJob
from tests.conftest import TINY
from tests.running import ignore_steps, trained

ALL = (
    "training.augmentation.flip=0.5",
    "training.augmentation.scale=[0.5, 2]",
    "training.augmentation.jitter=0.5",
    "training.augmentation.blur=0.5",
)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), low=st.floats(0.3, 1.5), spread=st.floats(1, 3), ratio=st.sampled_from([1, 2, 3]))
def test_labels_follow_pixels(seed: int, low: float, spread: float, ratio: int) -> None:
    """Red and green are column and row, and labels, `ratio` times as large, are their own columns and rows."""
    height, width = 24, 32
    rows, cols = np.mgrid[:height, :width]
    image = np.stack([cols * 8, rows * 8, rows * 0], axis=2).astype(np.uint8)
    view = AugmentationConfig(flip=0.5, scale=(low, low * spread))
    for axis, positions in enumerate(np.mgrid[: height * ratio, : width * ratio].astype(np.uint8)):
        seen, moved = move(image, positions, view, np.random.default_rng(seed))
        assert seen.shape == image.shape and moved.shape == positions.shape
        blocks = moved.reshape(height, ratio, width, ratio).mean(axis=(1, 3))
        expected = ratio * (seen[..., 1 - axis] / 8) + (ratio - 1) / 2
        assert np.abs(blocks - expected).max() <= 0.5 + 0.6 * ratio
        # A bought pixel has the class that all labels have there.
        is_bought = np.random.default_rng(seed).random(positions.shape) < 0.1
        _, bought = move(image, np.where(is_bought, positions, np.uint8(255)), view, np.random.default_rng(seed))
        assert (moved[bought != 255] == bought[bought != 255]).all()


def test_a_flip_is_exact_and_nothing_is_nothing() -> None:
    rng = np.random.default_rng(0)
    image, label = rng.integers(0, 256, (7, 11, 3), np.uint8), rng.integers(0, 256, (14, 21), np.uint8)
    flipped, moved = augment(image, label, AugmentationConfig(flip=1), rng)
    assert (flipped == image[:, ::-1]).all() and (moved == label[:, ::-1]).all()
    same, kept = augment(image, label, AugmentationConfig(), rng)
    assert same is image and kept is label


def test_colours_change_as_the_settings_say() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    grey = recolour(image, 0.0, 1.0, 0.0, np.random.default_rng(0))
    assert (grey[..., :1] == grey).all() and abs(int(grey.mean()) - int((image @ [0.299, 0.587, 0.114]).mean())) <= 1
    blurred = recolour(image, 0.0, 0.0, 1.0, np.random.default_rng(1))
    assert blurred.std() < image.std() and abs(blurred.mean() - image.mean()) < 5
    assert any((recolour(image, 0.5, 0.0, 0.0, np.random.default_rng(seed)) != image).any() for seed in range(3))


def _drawn(config: Config, rank: int, workers: int, patch: pytest.MonkeyPatch) -> tuple[batches.Batch, batches.Batch]:
    patch.setattr(batches, "worker_rank", lambda: rank)
    patch.setattr(batches, "num_workers", lambda: workers)
    domains = open_domains(config.data)
    annotated = {image_id: np.array([[9, 9]], np.int32) for image_id in domains.pool.image_ids}
    source, target = Draw(config, domains, "cpu", annotated)(4)
    assert source and target
    return source, target


def test_views_do_not_depend_on_the_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    # 8 of 5 and 6 images: some are there twice, in two views.
    config = load_config(None, (*TINY, *ALL, "training.source_batch=8", "training.target_batch=8"))
    whole = _drawn(config, 0, 1, monkeypatch)
    for rank in range(3):
        for part, batch in zip(_drawn(config, rank, 3, monkeypatch), whole, strict=True):
            assert part.image_ids == batch.image_ids[rank::3]
            assert part.images_BHW3.equal(batch.images_BHW3[rank::3])
            assert part.labels_BHW.equal(batch.labels_BHW[rank::3])
    _, target = whole
    first = target.image_ids[0]
    (again,) = (place for place, image_id in enumerate(target.image_ids) if place and image_id == first)
    assert not target.images_BHW3[0].equal(target.images_BHW3[again])


def test_a_phase_in_two_parts_is_the_phase_and_off_is_off(tmp_path: Path) -> None:
    config = load_config(None, (*TINY, *ALL, "cluster.scorers=0"))
    whole, losses = trained(config, tmp_path / "whole.pt", 3)
    assert min(losses.values()) > 0
    annotated = {image_id: np.array([[9, 9]], np.int32) for image_id in open_domains(config.data).pool.image_ids}
    job = TrainingJob(config, 0, 1, None, tmp_path / "part.pt", "round 0", annotated)
    LocalFineTuner(config).fit(job, ignore_steps)
    rest = replace(job, first_step=1, num_steps=2, start=job.output, output=tmp_path / "rest.pt")
    LocalFineTuner(config).fit(rest, ignore_steps)
    assert (tmp_path / "rest.pt").read_bytes() == (tmp_path / "whole.pt").read_bytes()
    off = load_config(None, (*TINY, "cluster.scorers=0", "training.augmentation.scale=[1, 1]"))
    trained(off, tmp_path / "off.pt", 3)
    trained(load_config(None, (*TINY, "cluster.scorers=0")), tmp_path / "plain.pt", 3)
    assert (tmp_path / "off.pt").read_bytes() == (tmp_path / "plain.pt").read_bytes()
    assert whole.step == 3 and "augmentation" not in off.model_dump()["training"]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("scale=[2, 1]", "the smaller factor first"),
        ("scale=[0, 1]", "training.augmentation.scale"),
        ("flip=2", "training.augmentation.flip"),
        ("jitter=1", "training.augmentation.jitter"),
        ("crop=1", "training.augmentation.crop"),
    ],
)
def test_bad_settings_are_refused(setting: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        load_config(None, [f"training.augmentation.{setting}"])
