"""Tables of results with trials that are missing, unfinished, or without an mIoU."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.report import make_up
from ripu_ray.config import load_config
from ripu_ray.reporting.answer import question
from ripu_ray.reporting.arms import add_names
from ripu_ray.reporting.curves import curve_points, reference_levels
from ripu_ray.reporting.headline import headline
from ripu_ray.reporting.joining import _without_repetitions
from ripu_ray.reporting.report import render
from ripu_ray.reporting.results import collect
from ripu_ray.reporting.statistics import competitors, outcomes, pixels_to_reach, summarise
from ripu_ray.reporting.summary import arms_table, summarise_arms
from ripu_ray.reporting.tables import costs, means, phases
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


def test_the_labelled_share_of_nothing_is_a_dash() -> None:
    """A stopping rule may end a trial before its first purchase."""
    finished = outcomes(make_results(("ripu",), ("5",), seeds=1, references=False).assign(labelled_share=np.nan))
    ((_, cells),) = costs(finished).rows
    assert cells[-1].text == "–"


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


def test_a_reference_counts_in_each_world_on_which_it_does_not_depend(tmp_path: Path) -> None:
    flags = {
        "sweep.acquisitions": ["random", "ripu", "source_only", "full"],
        "sweep.vary": {"data.num_pool": [2, 4], "oracle.answer": ["mask", "dominant"]},
    }
    run = make_up(tmp_path / "run", load_config(None, TINY, flags))
    results = collect(run)
    finished = outcomes(results)
    assert len(finished) == 2 * 2 * 2 + 2 * 2
    for world, there in competitors(finished).groupby("world"):
        count = int(there["data.num_pool"].iloc[0])
        expected = finished[finished["trial"].isin(_references(run, count))].set_index("strategy")["miou"].to_dict()
        assert reference_levels(finished, str(world)) == expected
        assert len(expected) == 2
    reached = pixels_to_reach(results, 0.01)
    assert len(reached) == 8
    page = render([run])
    assert page.count("of the way from source-only to full supervision") == 4
    budgets = [row["budget"] for row in arms_table(summarise_arms(run, results))]
    assert {text for text in budgets if text.startswith("any")} == {
        f"any budget, data.num_pool {count}" for count in (2, 4)
    }
    assert question(add_names(results)).endswith("at 4 conditions?")


def _references(run: RunFolder, count: int) -> list[str]:
    return [
        name for name, trial in run.trials.items()
        if trial.config.strategy.is_reference and trial.config.data.num_pool == count  # type: ignore[attr-defined]
    ]  # fmt: skip


def test_of_many_budgets_the_first_sentence_has_the_smallest_and_the_largest() -> None:
    results = make_results(budgets=[str(budget) for budget in range(1, 9)], seeds=2)
    text = headline(add_names(results), outcomes(results))
    assert text.startswith("Buying 1 % of the pixels with ripu raised mIoU from ")
    assert "; 8 % brought " in text
    assert text.count(" brought ") == 1
