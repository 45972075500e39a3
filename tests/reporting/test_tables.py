"""Tables of results with trials that are missing, unfinished, or without an mIoU."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ripu_ray.config import load_config
from ripu_ray.reporting.arms import add_names
from ripu_ray.reporting.curves import curve_points, reference_levels
from ripu_ray.reporting.joining import _without_repetitions
from ripu_ray.reporting.statistics import outcomes, summarise
from ripu_ray.reporting.summary import arms_table, summarise_arms
from ripu_ray.reporting.tables import means, phases
from ripu_ray.runs.run_folder import RunFolder
from tests.conftest import TINY
from tests.reporting.tables import make_results


def test_times_are_those_of_finished_trials() -> None:
    results = make_results(("random", "ripu"), ("5",), seeds=3, references=False)
    is_short = (results["seed"] > 0) & (results["round"] > 0)
    (_, warmup), (_, random), _ = phases(add_names(results), outcomes(add_names(results))).rows
    results = add_names(results[~is_short])
    assert phases(results, outcomes(results)).rows[:2] == [
        (["warm-up, shared by trials"], warmup),
        (["random"], random),
    ]
    assert [names for names, _ in phases(results, outcomes(results).iloc[:0]).rows] == [["warm-up, shared by trials"]]


@pytest.mark.parametrize("lost", ["all", "a round", "full"])
def test_a_number_that_is_not_known_is_a_dash_or_not_there(lost: str) -> None:
    results = make_results(("random", "ripu"), ("5",), seeds=2)
    is_lost = {"all": results["seed"] >= 0, "a round": results["round"] == 1, "full": results["acquisition"] == "full"}
    results["miou"] = results["miou"].mask(is_lost[lost])
    finished = outcomes(results.assign(rounds=results["acquisition"].map({"source_only": 0, "full": 1}).fillna(5)))
    rows = means(summarise(finished)).rows
    assert len(rows) == {"all": 0, "a round": 4, "full": 3}[lost]
    texts = [cell.text for _, cells in rows for cell in cells]
    assert not [text for text in texts if "nan" in text]
    assert list(reference_levels(finished, "")) == {"all": [], "full": ["source_only"]}.get(
        lost, ["source_only", "full"]
    )


def test_seeds_are_those_with_an_miou(tmp_path: Path) -> None:
    flags = {"sweep.budgets": ["5"], "sweep.acquisitions": ["random", "ripu"], "sweep.seeds": [0, 1, 2, 3]}
    run = RunFolder.create(tmp_path / "run", load_config(None, TINY, flags))
    results = make_results(("random", "ripu"), ("5",), seeds=4, references=False).assign(labelled_share=0.9)
    results["arm"] = results["acquisition"].map(
        {trial.config.strategy.acquisition: trial.arm for trial in run.trials.values()}
    )
    is_last = results["round"] == 4
    results = results[~(is_last & (results["seed"] == 3))]  # not finished
    results["miou"] = results["miou"].mask((results["seed"] == 2) & (results["round"] == 4))
    arms = summarise_arms(run, results)
    assert [row["seeds"] for row in arms_table(arms)] == ["2 of 4", "2 of 4"]
    start = results[(results["round"] < 0) & (results["seed"] < 3)].groupby("seed")["miou"].first()
    np.testing.assert_allclose(arms["start_mean"], start.mean())
    finished = outcomes(results)
    points = curve_points(
        add_names(results).assign(panel="5 %", line=add_names(results)["strategy"]), finished, "spent_share"
    )
    assert list(points.loc[points["round"] == 4, "seeds"]) == [2, 2]


def test_two_sweeps_without_an_miou_are_the_same() -> None:
    results = make_results(("ripu",), ("5",), seeds=1, references=False).assign(rounds=5, miou=np.nan)
    twice = [results.assign(sweep=name, trial=f"{name}/" + results["trial"]) for name in ("a", "b")]
    _, (note,) = _without_repetitions(pd.concat(twice, ignore_index=True))
    assert note == "1 trial of b is in a, too, with the same results; counted once."
