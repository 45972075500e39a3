"""The table and the figure of a sweep, from a real run folder."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from ripu_ray.config import load_config
from ripu_ray.reporting.figures import draw_curves
from ripu_ray.reporting.results import collect, write_csv
from ripu_ray.simulation.run_folder import RunFolder
from tests.conftest import TINY
from tests.runs import run_all


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunFolder]:
    flags = {"sweep.budgets": ["5", "9px"], "sweep.seeds": [0, 1]}
    yield run_all(tmp_path_factory.mktemp("runs") / "r", load_config(None, (*TINY, "cluster.scorers=0"), flags))


def test_a_row_for_each_trial_and_round(run: RunFolder) -> None:
    results = collect(run)
    rounds = results.groupby("trial", sort=False)["round"].agg(list)
    assert rounds.to_dict() == {name: [-1, 0, 1] for name in run.trials}
    assert results["budget"].unique().tolist() == ["5", "9px"]
    assert results.loc[results["round"] == -1, "spent_pixels"].eq(0).all()
    # The warm-up is shared by the budgets of a seed, so that their curves start in one point.
    assert results[results["round"] == -1].groupby("seed")["miou"].nunique().eq(1).all()
    last = results[results["round"] == 1].set_index("trial")
    pool_pixels = 5 * 32 * 48
    assert np.allclose(last["spent_share"], last["spent_pixels"] / pool_pixels)
    assert last.loc["region-w3-ripu-b5-s0", "budget_pixels"] == 5 * (32 * 48 * 5 // 100)
    assert last.loc["region-w3-ripu-b9px-s0", "budget_pixels"] == 5 * 9
    assert {"iou_pole", "loss_total", "seconds_train", "accuracy"} <= set(results.columns)


def test_the_csv_reads_back_the_same(run: RunFolder) -> None:
    results = collect(run)
    write_csv(run, results)
    read = pd.read_csv(run.path / "results.csv", dtype={"budget": str})
    pd.testing.assert_frame_equal(read, results, check_dtype=False)


def test_each_strategy_is_one_line_with_its_band(run: RunFolder) -> None:
    results = collect(run)
    (axes,) = draw_curves(results).axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]  # type: ignore[union-attr]
    assert labels == ["ripu, region 3x3, 5 % (2 seeds)", "ripu, region 3x3, 9px (2 seeds)"]
    assert len(axes.collections) == 2
    for line, (_, rows) in zip(axes.lines, results.groupby("budget", sort=False), strict=True):
        means = rows.groupby("round")[["spent_share", "miou"]].mean() * 100
        assert np.allclose(np.column_stack(line.get_data()), means.to_numpy())
