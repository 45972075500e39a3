"""The answers, question and first sentence of a report, compared with the statistics that they state."""

import numpy as np
import pandas as pd
import pytest

from ripu_ray.errors import counted, duration
from ripu_ray.reporting.answer import Answer, answers, question
from ripu_ray.reporting.arms import add_names
from ripu_ray.reporting.curves import add_panels, curve_points
from ripu_ray.reporting.headline import headline
from ripu_ray.reporting.intervals import seeds_needed
from ripu_ray.reporting.statistics import compare, outcomes
from ripu_ray.reporting.words import probability
from tests.reporting.tables import make_results


def _answers(results: pd.DataFrame) -> list[Answer]:
    finished = outcomes(results)
    return answers(finished, compare(finished, "miou"))


def test_a_clear_lead_over_many_seeds_is_told_apart_from_random() -> None:
    results = make_results(acquisitions=("random", "entropy", "ripu"), budgets=("5",), seeds=10)
    (answer,) = _answers(results)
    row = compare(outcomes(results), "miou").set_index("first").loc["ripu"]
    assert answer.condition == "5 %"
    assert answer.text.startswith("ripu leads with ")
    assert "over 10 seeds" in answer.text
    assert f"Against random it gains {100 * row['difference']:.1f} points" in answer.text
    assert f"ahead on {row['wins']} of 10 seeds" in answer.text
    assert f"over 2 comparisons (t-test p = {row['t_holm']:.3f}" in answer.text or "t-test p < 0.001" in answer.text
    assert "significant by both tests" in answer.text
    assert (answer.verdict, answer.settled) == ("differs significantly from random", True)


def test_four_seeds_are_too_few_however_clear_the_lead() -> None:
    (answer,) = _answers(make_results(budgets=("5",), seeds=4))
    assert "With fewer than 5 seeds no test is meaningful" in answer.text
    assert "significant" not in answer.text.replace("meaningful", "")
    assert (answer.verdict, answer.settled) == ("not tested", False)


def test_where_random_leads_it_is_said_against_the_one_that_is_hardest_to_tell_from_it() -> None:
    results = make_results(acquisitions=("random", "entropy", "ripu"), budgets=("5",), seeds=6)
    results["miou"] += 0.05 * ((results["acquisition"] == "random") & (results["round"] >= 0))
    (answer,) = _answers(results)
    assert answer.text.startswith("random leads with ")
    table = compare(outcomes(results), "miou").set_index("first")
    other = str(table["t_holm"].idxmax())
    gain = -100 * table["difference"][other]
    assert f"Against {other} it gains {gain:.1f} points" in answer.text
    assert "ahead on 6 of 6 seeds" in answer.text


def test_a_strategy_that_has_just_begun_takes_no_seed_from_the_others() -> None:
    results = make_results(acquisitions=("random", "ripu", "entropy"), budgets=("5",), seeds=6)
    begun = results[(results["acquisition"] != "entropy") | (results["seed"] == 0)]
    (answer,) = _answers(begun)
    assert "over 6 seeds" in answer.text
    assert answer.text.endswith("Left out, with fewer than half the seeds: entropy.")


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (
            make_results(),
            "Which of these acquisition functions give the best mIoU for the same labels, at 2.2 % and 5 %?",
        ),
        (
            make_results(budgets=("5",), windows=(3, 9)),
            "Which of these acquisition functions and windows give the best mIoU for the same labels, at 5 %?",
        ),
        (make_results(("ripu",), ("5",)), "How much do the labels that ripu selects raise the mIoU, at 5 %?"),
        (make_results((), ("5",)), "How far is the source-only model from full supervision?"),
    ],
)
def test_the_question_is_what_differs(results: pd.DataFrame, expected: str) -> None:
    assert question(add_names(results)) == expected


def test_a_lead_that_may_be_chance_is_told_by_what_the_data_rule_out() -> None:
    results = make_results(acquisitions=("random", "ripu"), budgets=("5",), seeds=7)
    results["miou"] -= 0.018 * ((results["acquisition"] == "ripu") & (results["round"] >= 0))
    (answer,) = _answers(results)
    (row,) = compare(outcomes(results), "miou").to_dict("records")
    assert row["low"] < 0 < row["high"]
    first, second = ("ripu", "random") if row["difference"] > 0 else ("random", "ripu")
    low, high = (row["low"], row["high"]) if row["difference"] > 0 else (-row["high"], -row["low"])
    assert answer.text.startswith(f"{first} has the highest mean, ")
    assert f"but is not shown to be better than {second}: the difference is not significant (t-test p =" in answer.text
    assert f"more than {100 * high:.1f} points better or more than {-100 * low:.1f} points worse" in answer.text
    assert f"a difference of 1 point needs {seeds_needed(0.01, row['std']):.0f} seeds" in answer.text
    assert (answer.verdict, answer.settled) == (f"no significant difference from {second}", False)


@pytest.mark.parametrize(
    ("seeds", "gain", "expected"),
    [
        (1, 0.0, "one seed rules out no difference."),
        (2, 0.0, "The data rule out that it is more than"),
        (6, None, "the same results on every seed: the setting has no effect here."),
        (6, 0.0, "lead"),
        (6, 0.5, "the same as random on each of 6 seeds."),
        (6, 0.02, "the difference from random is +2.0 points on each of 6 seeds. A test compares"),
    ],
)
def test_answers_at_the_edges(seeds: int, gain: float | None, expected: str) -> None:
    results = make_results(acquisitions=("ripu", "random"), budgets=("5",), seeds=seeds)
    if gain is None:
        renamed = results[results["acquisition"] == "ripu"].replace({"acquisition": {"ripu": "random"}})
        renamed = renamed.assign(trial=renamed["trial"] + "r")
        results = pd.concat([results[results["acquisition"] != "random"], renamed], ignore_index=True)
    elif gain:
        results["miou"] = 0.5 + (gain if gain < 0.5 else 0) * (results["acquisition"] == "ripu")
    (answer,) = _answers(results)
    assert expected in answer.text
    assert "nan" not in answer.text
    assert not (gain and answer.settled)
    assert "1 seeds" not in answer.text


def test_the_headline_says_what_the_labels_brought_at_which_cost_and_how_sure() -> None:
    results = make_results(seeds=5)
    named = add_names(results)
    finished = outcomes(results)
    text = headline(named, finished)
    small, large = (
        finished[(finished["budget"] == budget) & (finished["acquisition"] == "ripu")] for budget in ("2.2", "5")
    )
    start = results[results["round"] < 0].groupby("seed")["miou"].first().mean()
    source_only, full = (
        f"{100 * finished.loc[finished['acquisition'] == name, 'miou'].mean():.1f} %"
        for name in ("source_only", "full")
    )
    assert text.startswith(
        f"Buying 2.2 % of the pixels with ripu raised mIoU from {100 * start:.1f} % to "
        f"{100 * small['miou'].mean():.1f} % (gain "
    )
    more = 100 * (large["miou"].mean() - small["miou"].mean())
    assert text.endswith(
        f"5 seeds; source-only: {source_only}; full supervision: {full}); "
        f"5 % brought {more:.1f} points more for 2.3 times the labels."
    )
    flat = named.assign(miou=0.5)
    assert "did not measurably change mIoU from 50.0 % to 50.0 %" in headline(flat, outcomes(flat))
    alone = named[named["seed"] == 0]
    assert "(1 seed; source-only: " in headline(alone, outcomes(alone))
    unmeasured = finished.assign(miou=finished["miou"].mask(finished["seed"] == 2))
    assert headline(named, unmeasured) == headline(named, finished[finished["seed"] != 2])
    assert headline(named, outcomes(results[results["acquisition"] == "full"])) == ""


def test_numbers_in_words() -> None:
    assert [counted(number, "trial") for number in (0, 1, 2)] == ["0 trials", "1 trial", "2 trials"]
    times = {4.21: "4.2 s", 9.97: "10 s", 59.6: "1 min 0 s", 200: "3 min 20 s", 7860: "2 h 11 min", 180_000: "2 d 2 h"}
    assert [duration(seconds) for seconds in times] == list(times.values())
    assert duration(float("nan")) == "–"


def test_p_values_are_never_zero() -> None:
    assert [probability(value) for value in (0.0, 0.0312, 1.0, float("nan"))] == ["< 0.001", "0.031", "1.000", "–"]


def test_a_curve_is_of_finished_trials_where_there_are_any() -> None:
    results = make_results(budgets=("5",), seeds=3, references=False)
    last = results["round"] == 4
    partial = results[~(last & (results["acquisition"] == "ripu")) & ~(last & (results["seed"] == 2))]
    named = add_panels(add_names(partial.assign(rounds=5)))
    points = curve_points(named, outcomes(named), "spent_share").set_index(["line", "round"])
    assert points.loc["random"]["seeds"].tolist() == [2] * 6
    assert points.loc["ripu"]["seeds"].tolist() == [3] * 5
    assert points.loc["random"]["finished"].all()
    assert not points.loc["ripu"]["finished"].any()
    of_two = results[(results["acquisition"] == "random") & (results["seed"] < 2) & last]["miou"]
    assert points.loc[("random", 4), "mean"] == pytest.approx(of_two.mean())
    # A rule ended seed 0 after round 2.
    ended = results[(results["seed"] > 0) | (results["round"] < 3)]
    ended = ended.assign(rounds=np.where(ended["seed"] == 0, 3, 5), stopped=ended["seed"] == 0)
    held = add_panels(add_names(ended))
    curve = curve_points(held, outcomes(held), "spent_share").query("line == 'ripu'")
    assert curve["seeds"].tolist() == [3] * 6 and curve["stopped"].tolist() == [number == 2 for number in range(-1, 5)]
    ripu = ended[ended["acquisition"] == "ripu"].groupby("trial").tail(1)
    expected = [ripu["spent_share"].mean(), ripu["miou"].mean()]
    assert [curve["x"].iloc[-1], curve["mean"].iloc[-1]] == pytest.approx(expected)
    unbegun = named[(named["line"] == "random") | (named["round"] < 0)]
    assert curve_points(unbegun, outcomes(unbegun), "spent_share")["line"].unique().tolist() == ["random"]


def _damaged(number: int) -> pd.DataFrame:
    """One condition with missing and unfinished trials, and some without an mIoU."""
    rng = np.random.default_rng(number)
    results = make_results(("random", "ripu", "entropy"), ("5",), seeds=int(rng.integers(1, 8)))
    results["miou"] += 0.02 * rng.normal(size=len(results))
    by_trial = results["trial"].map({trial: rng.random() for trial in results["trial"].unique()})
    results.loc[(by_trial < 0.2) & (results["round"] >= 0), "miou"] = np.nan
    return results[(by_trial < 0.7) | (by_trial > 0.9) | ((by_trial > 0.8) & (results["round"] < 3))]


def test_the_first_sentence_and_the_answer_name_the_same_strategy_and_no_text_says_nan() -> None:
    seen = 0
    for number in range(60):
        results = _damaged(number)
        if results.empty:
            continue
        finished = outcomes(results.assign(rounds=results["acquisition"].map({"source_only": 0, "full": 1}).fillna(5)))
        first = headline(add_names(results), finished)
        texts = [answer.text for answer in answers(finished, compare(finished, "miou"))]
        assert not [text for text in (first, *texts) if "nan" in text or "gains -" in text]
        if first and not texts[0].startswith("No seed"):
            seen += 1
            assert f" of the pixels with {texts[0].split()[0]} " in first, (number, first, texts)
    assert seen > 20


def test_a_leader_over_the_common_seeds_can_be_behind_another_one_over_theirs() -> None:
    results = make_results(("random", "ripu", "entropy"), ("5",), seeds=8)
    is_ripu = (results["acquisition"] == "ripu") & (results["round"] == 4)
    # ripu is ahead only on the seeds that entropy has, too.
    results.loc[is_ripu, "miou"] += np.where(results.loc[is_ripu, "seed"] < 4, 0.01, -0.5)
    results = results[(results["acquisition"] != "entropy") | (results["seed"] < 4)]
    (answer,) = _answers(results)
    assert "over 4 seeds that all strategies have" in answer.text
    assert "Mean difference -" in answer.text


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100 %"), (0.996, "100 %"), (0.05, "5 %"), (0.00022, "0.022 %"), (3e-7, "0.00003 %")]
)
def test_shares_have_no_exponent(share: float, text: str) -> None:
    results = make_results(budgets=("5",), seeds=2)
    results["spent_share"] *= share / 0.05
    assert headline(add_names(results), outcomes(results)).startswith(f"Buying {text} of the pixels with ")


@pytest.mark.parametrize("is_there", [True, False], ids=["NaN", "missing"])
def test_without_the_warm_up_the_first_sentence_claims_no_change(is_there: bool) -> None:
    results = make_results(seeds=3)
    start = results["round"] < 0
    results = results.assign(miou=results["miou"].mask(start)) if is_there else results[~start]
    text = headline(add_names(results), outcomes(results))
    assert text.startswith("Buying 2.2 % of the pixels with ripu gave an mIoU of ")
