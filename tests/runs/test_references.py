"""The reference trials: one buys nothing, the other every pixel."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ripu_ray.config import Config, load_config
from ripu_ray.core.geometry import cover, tiling
from ripu_ray.data.loading import open_domains
from ripu_ray.reporting.results import collect, write_tables
from ripu_ray.runs.grid import expand, schedule_steps, warmup_key
from ripu_ray.runs.references import WholePool
from ripu_ray.training.batches import Draw
from tests.conftest import TINY
from tests.running import committed, run_all


@pytest.mark.parametrize(("size", "radius"), [*product([(1, 1), (7, 12), (9, 10), (11, 8)], [0, 1, 3])])
def test_a_tiling_covers_every_pixel_once(size: tuple[int, int], radius: int) -> None:
    centres = tiling(size, radius)
    assert ((centres >= 0) & (centres < size)).all()
    counts = sum(cover(size, centre[None], radius).astype(int) for centre in centres)
    assert np.array_equal(counts, np.ones(size))


def test_a_reference_is_one_trial_a_seed() -> None:
    flags = {
        "sweep.budgets": ["2.2", "5"],
        "sweep.modes": ["region", "pixel"],
        "sweep.windows": ["3", "9"],
        "sweep.acquisitions": ["ripu", "full", "source_only"],
        "sweep.seeds": [0, 1],
        "sweep.vary": ["strategy.power=null,1", "training.source_free=false,true"],
    }
    trials = expand(load_config(flags=flags))
    references = [trial.trial_id for trial in trials if trial.config.strategy.is_reference]
    both = [f"full-source_free={value}-s{seed}" for value in ("false", "true") for seed in (0, 1)]
    assert sorted(references) == sorted([*both, "source_only-s0", "source_only-s1"])
    assert len(trials) - len(references) == 2 * 2 * 2 * 2 * 2 * 2
    assert len({warmup_key(trial.config) for trial in trials}) == 2
    # As many steps as the others, on the same schedule.
    assert {trial.config.num_round_steps() for trial in trials} == {5 * 60}
    assert len({schedule_steps(trial.config) for trial in trials}) == 1


def test_references_buy_nothing_and_everything(tmp_path: Path) -> None:
    flags = {"sweep.acquisitions": ["ripu", "source_only", "full"]}
    run = run_all(tmp_path / "run", load_config(None, (*TINY, "cluster.scorers=0"), flags))
    assert all(map(run.is_finished, run.trials))
    write_tables(run, collect(run))
    table = pd.read_csv(run.path / "results.csv", dtype=str).drop_duplicates("acquisition").set_index("acquisition")
    assert list(table.loc["ripu", ["mode", "window"]]) == ["region", "3"]
    assert pd.read_parquet(run.path / "results.parquet")["window"].isna().sum() == 4
    assert table.loc[["source_only", "full"], ["mode", "window", "budget"]].isna().to_numpy().all()
    none, everything = (run.trial(f"{name}-s0").stage(0).read() for name in ("source_only", "full"))
    ripu = run.trial("region-w3-ripu-b5-s0").stage(1).read()
    assert none.step == everything.step == ripu.step
    assert (none.spent_pixels, none.budget_pixels, none.clicks) == (0, 0, 0)
    assert "target_cross_entropy" not in none.losses
    pool = open_domains(run.config.data).pool
    assert everything.spent_pixels == everything.budget_pixels == 5 * 32 * 48
    assert everything.spent_share == 1
    assert everything.void_pixels == sum(int((pool.label(image_id) == 255).sum()) for image_id in pool.image_ids)
    assert everything.spent_pixels + everything.clipped_pixels == 9 * everything.clicks
    assert sum(everything.bought.values()) == everything.spent_pixels - everything.void_pixels
    assert everything.boundary_pixels > ripu.boundary_pixels > none.boundary_pixels == 0
    assert set(none.bought.values()) == {0}
    assert {path.split("/")[1] for path in committed(run, ("purchase.parquet",))} == {"region-w3-ripu-b5-s0"}


def test_full_supervision_trains_on_the_whole_label_or_what_an_erring_annotator_says_of_it(tiny: Config) -> None:
    def drawn(*settings: str) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], list[str]]:
        (trial,) = expand(load_config(None, (*TINY, "strategy.acquisition=full", *settings)))
        domains = open_domains(trial.config.data)
        _, target = Draw(trial.config, domains, "cpu", WholePool(domains.pool, 1))(3)
        assert target
        return target.labels_BHW.numpy(), list(target.image_ids)

    pool = open_domains(tiny.data).pool
    labels, image_ids = drawn()
    assert np.array_equal(labels, np.stack([pool.label(image_id) for image_id in image_ids]))
    erring, _ = drawn("oracle.noise.missed_rate=0.5")
    missed = (erring == 255) & (labels != 255)
    assert 0.3 < missed.mean() < 0.7
    assert np.array_equal(erring[~missed], labels[~missed])
