"""The first round in which two runs differ, on real run folders."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ripu_cli.main import app
from typer.testing import CliRunner

from ripu_ray.config import load_config
from ripu_ray.core.geometry import cover
from ripu_ray.data.loading import open_domains
from ripu_ray.reporting.comparison import compare_runs, open_side
from ripu_ray.runs.ledger import Ledger
from ripu_ray.runs.run_folder import RunFolder
from tests.conftest import TINY
from tests.running import execute_trial, ignore, run_all

TRIAL = "region-w3-ripu-b5-s0"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`plain`, and runs that each differ from it in one setting; not to be changed."""
    folder = tmp_path_factory.mktemp("runs")
    settings = {
        "plain": ("sweep.seeds=[0, 1]",),
        "longer": ("training.round_steps=9", "sweep.seeds=[0, 2]"),
        "random": ("strategy.acquisition=random",),
        "grid": ("strategy.shape=grid",),
        "smaller": ("data.size=[24, 32]",),
    }
    for name, more in settings.items():
        run_all(folder / name, load_config(None, (*TINY, "cluster.scorers=0", *more)))
    yield folder


@pytest.mark.slow
def test_one_setting_more_steps(runs: Path) -> None:
    found = compare_runs(open_side(str(runs / "plain")), open_side(str(runs / "longer")))
    assert found.settings == {"training.round_steps": (2, 9), "sweep.seeds": ([0, 1], [0, 2])}
    (pair,) = found.pairs
    assert (pair.first, pair.second) == (TRIAL, TRIAL)
    assert (found.only_first, found.only_second) == (("region-w3-ripu-b5-s1",), ("region-w3-ripu-b5-s2",))
    # The schedule has another horizon, so even the warm-up differs.
    assert list(pair.miou) == [-1, 0, 1]
    records = [RunFolder(runs / name).trial(TRIAL).stage(1).read() for name in ("plain", "longer")]
    assert pair.miou[1] == (records[0].miou, records[1].miou)
    assert all(pair.iou[name] == (records[0].iou[name], records[1].iou[name]) for name in records[0].iou)
    changes = [abs((one or 0) - (other or 0)) for one, other in pair.iou.values()]
    assert changes == sorted(changes, reverse=True)
    parts = pair.differs_in
    assert parts
    assert found.answer == f"differ from round {parts.round}: {100 * parts.common_share:.0f} % of the pixels in common"


@pytest.mark.slow
def test_overlaps_are_those_of_the_masks(runs: Path) -> None:
    # No trial has a counterpart of the same arm, and each run named has one arm: the seed decides.
    found = compare_runs(open_side(f"{runs}/plain:{TRIAL}"), open_side(str(runs / "random")))
    assert found.settings == {"strategy.acquisition": ("ripu", "random")}
    (pair,) = found.pairs
    pool = open_domains(RunFolder(runs / "plain").config.data).pool
    sides = [(RunFolder(runs / "plain"), TRIAL), (RunFolder(runs / "random"), "region-w3-random-b5-s0")]
    ledgers = [Ledger(run.trial(name).path, pool.image_ids, 9) for run, name in sides]
    bought = [
        np.stack([cover((32, 48), ledger.centres(image_id), 1) for image_id in pool.image_ids]) for ledger in ledgers
    ]
    both, either = bought[0] & bought[1], bought[0] | bought[1]
    assert pair.overlaps[-1].iou == both.sum() / either.sum() < 1
    worst = sorted(both[index].sum() / either[index].sum() for index in range(5))[:3]
    assert list(pair.overlaps[-1].worst.values()) == worst
    first = [np.stack([cover((32, 48), each.bought_in(0, name), 1) for name in pool.image_ids]) for each in ledgers]
    expected = (first[0] & first[1]).sum() / max(first[0].sum(), first[1].sum())
    assert pair.overlaps[0].common_share == expected
    assert pair.differs_in == pair.overlaps[0]


@pytest.mark.slow
def test_a_resumed_run_equals_an_unbroken_one(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "plain", tmp_path / "again")
    again = RunFolder(tmp_path / "again")
    shutil.rmtree(again.trial(TRIAL).path / "round_01")
    unfinished = compare_runs(open_side(str(runs / "plain")), open_side(f"{again.path}:{TRIAL}"))
    assert unfinished.answer == "equal in every purchase and every mIoU, in the rounds that both have"
    assert unfinished.pairs[0].rounds == (2, 1)
    execute_trial(again, TRIAL, ignore)
    found = compare_runs(open_side(str(runs / "plain")), open_side(str(again.path)))
    assert (found.answer, found.settings) == ("equal in every purchase and every mIoU", {})
    assert len(found.pairs) == 2
    assert all(overlap.iou == 1 for pair in found.pairs for overlap in pair.overlaps)


def test_any_shape_compares_and_other_sizes_do_not(runs: Path) -> None:
    grid = compare_runs(open_side(f"{runs}/plain:{TRIAL}"), open_side(str(runs / "grid"))).pairs[0]
    assert 0 < grid.overlaps[0].iou < 1
    smaller = compare_runs(open_side(f"{runs}/plain:{TRIAL}"), open_side(str(runs / "smaller")))
    assert smaller.answer == (
        "purchases cannot be compared: image target/train/00000: labels of 24x32 and 32x48; pixels do not compare"
    )
    assert len(smaller.pairs[0].miou) == 3


def test_on_the_terminal(runs: Path) -> None:
    done = CliRunner().invoke(app, ["compare", str(runs / "plain"), str(runs / "longer")])
    assert done.exit_code == 0
    assert done.output.startswith("differ from round ")
    assert "training.round_steps" in done.output
    assert "only in A: region-w3-ripu-b5-s1\n" in done.output
    told = json.loads(CliRunner().invoke(app, ["compare", str(runs / "plain"), str(runs / "plain"), "--json"]).output)
    assert told["answer"] == "equal in every purchase and every mIoU"
    assert told["pairs"][0]["overlaps"][0] == {"round": 0, "common_share": 1.0, "iou": 1.0, "worst": {}}


@pytest.mark.parametrize(
    ("name", "says"),
    [("nowhere", "not a run folder"), ("plain:best", "no trial 'best'; expected one of"), ("", "not a run folder")],
)
def test_what_is_not_there_gets_one_line(runs: Path, name: str, says: str) -> None:
    done = CliRunner().invoke(app, ["compare", str(runs / "plain"), f"{runs}/{name}"])
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
