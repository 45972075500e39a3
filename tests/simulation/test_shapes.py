"""Grid cells and superpixels: bought whole, charged exactly, with every acquisition function and modifier."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from ripu_ray.config import Config, load_config
from ripu_ray.core.budget import Spent
from ripu_ray.data.loading import open_domains
from ripu_ray.data.region_maps import RegionMaps
from ripu_ray.errors import ConfigError
from ripu_ray.runs.grid import expand
from ripu_ray.runs.ledger import Ledger
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.local import LocalScorer
from ripu_ray.simulation.protocols import ScoreRequest
from tests.conftest import TINY
from tests.running import committed, execute_trial, ignore, run_all

SHAPES = ("grid", "superpixels")
QUICK = (*TINY, "cluster.scorers=0", "training.warmup_steps=0", "training.round_steps=1", "strategy.budget=20")
EMPTY = np.empty((0, 2), np.int32)


def _config(shape: str, *more: str, **flags: object) -> Config:
    return load_config(None, (*QUICK, f"strategy.shape={shape}", "strategy.windows.region=5", *more), flags)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_budget_is_kept_and_nothing_that_fits_is_left(tmp_path: Path, shape: str) -> None:
    config = _config(shape, **{"sweep.acquisitions": ["ripu", "random"]})
    run = run_all(tmp_path / "run", config)
    pool, maps = open_domains(config.data).pool, RegionMaps(config.strategy, open_domains(config.data).pool)
    for trial_id in run.trials:
        ledger = Ledger(run.trial(trial_id).path, pool.image_ids, None)
        total = Spent()
        for image_id in pool.image_ids:
            centres, label = ledger.centres(image_id), pool.label(image_id)
            regions = maps.of(image_id, (32, 48))
            bought = regions.cover(centres)
            # Regions never overlap, so the union is the sum.
            assert bought.sum() == regions.pixels(centres) == sum(regions.costs(label, centres)[0])
            left = 32 * 48 // 5 - int(bought.sum())
            assert left >= 0
            assert regions.still_open(centres, left)[0].all()
            pixels, void_pixels, boundary = (int(cost.sum()) for cost in regions.costs(label, centres))
            total += Spent(pixels, void_pixels, 0, len(centres), boundary)
        assert ledger.spent == total
        record = run.trial(trial_id).stage(1).read()
        assert record.spent_pixels == total.pixels
        assert sum(record.bought.values()) == total.pixels - total.void_pixels


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("more", [(), ("strategy.power=1",), ("strategy.balanced=true",)], ids=str)
def test_the_best_that_fits_is_bought_next(tmp_path: Path, shape: str, more: tuple[str, ...]) -> None:
    config = _config(shape, "strategy.rounds=1", *more)
    run = run_all(tmp_path / "run", config)
    (warmup,) = run.warmups
    weights = run.warmup(warmup).weights
    scorer, image_ids = LocalScorer(config), open_domains(config.data).pool.image_ids
    for image_id in image_ids:
        (bought,) = scorer.score(weights, 0, [ScoreRequest(image_id, EMPTY)])
        (whole,) = scorer.score(weights, 0, [ScoreRequest(image_id, EMPTY, 32 * 48)])
        assert whole.pixels_N.sum() == 32 * 48
        assert (np.diff(whole.scores_N) <= 0).all()
        left, expected = 32 * 48 // 5, []
        for index, pixels in enumerate(whole.pixels_N.tolist()):
            if pixels <= left:
                left -= pixels
                expected.append(index)
        if "strategy.balanced=true" not in more:  # there, a class that no longer fits gives its turn away
            assert bought.centres_N2.tolist() == whole.centres_N2[expected].tolist()
        (start,) = scorer.score(weights, 0, [ScoreRequest(image_id, EMPTY, 100)])
        needed = int(np.searchsorted(whole.pixels_N.cumsum(), 100)) + 1
        assert start.centres_N2.tolist() == whole.centres_N2[:needed].tolist()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("setting", ["acquisition=margin", "power=2", "balanced=true", "allocation=pool"])
def test_everything_composes_and_spends_as_much(tmp_path: Path, shape: str, setting: str) -> None:
    run = run_all(tmp_path / "run", _config(shape, f"strategy.{setting}"))
    (trial_id,) = run.trials
    assert f"-{shape}-" in trial_id
    record = run.trial(trial_id).stage(1).read()
    budget = 5 * (32 * 48 // 5)
    # The smallest region of an image that is left is far below two windows.
    assert budget - 5 * 2 * 25 < record.spent_pixels <= 5 * 32 * 48 / 5
    assert record.clipped_pixels == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_an_erring_annotator_and_an_interruption_change_nothing(tmp_path: Path, shape: str) -> None:
    config = _config(shape, "oracle.noise.flips=0.5", "oracle.noise.jitter_pixels=2", "oracle.noise.missed_rate=0.3")
    run = run_all(tmp_path / "run", config)
    (trial_id,) = run.trials
    before = committed(run)
    clean = run_all(tmp_path / "clean", _config(shape))
    first, other = (each.trial(trial_id).stage(0).read() for each in (run, clean))
    assert first.purchase_sha256 == other.purchase_sha256
    assert first.weights_sha256 != other.weights_sha256
    shutil.rmtree(run.trial(trial_id).path / "round_01")
    execute_trial(RunFolder(run.path), trial_id, ignore)
    assert committed(run) == before


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("strategy.mode=pixel",), "strategy.shape grid: mode pixel buys single pixels"),
        (("strategy.parity=true",), "strategy.parity: the reference implementation has no shape but sliding"),
        (("sweep.modes=[region, pixel]",), "strategy.shape grid: mode pixel"),
        (("strategy.shape=hexagons",), "strategy.shape: expected 'sliding', 'grid' or 'superpixels'"),
        (
            ("strategy.shape=sliding", "sweep.modes=[region, pixel]", "sweep.vary={strategy.shape: [sliding, grid]}"),
            "sweep.vary strategy.shape=grid: strategy.shape grid: mode pixel",
        ),
    ],
)
def test_what_makes_no_sense_gets_one_line(settings: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        expand(_config("grid", *settings))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_shapes_are_a_dimension_of_a_sweep() -> None:
    trials = expand(load_config(flags={"sweep.vary": ["strategy.shape=sliding,grid,superpixels"]}))
    names = ["region-w3-ripu-b2.2-s0", "region-w3-ripu-b2.2-grid-s0", "region-w3-ripu-b2.2-superpixels-s0"]
    assert [trial.trial_id for trial in trials] == names
