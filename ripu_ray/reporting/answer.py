"""The question of a sweep, and its answer for each condition with the statistical evidence."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ripu_ray.errors import counted
from ripu_ray.reporting.arms import SETTINGS, WORLD
from ripu_ray.reporting.curves import reference_levels
from ripu_ray.reporting.intervals import LEVEL, MIN_SEEDS, MOST_SEEDS, POWER, interval, seeds_needed
from ripu_ray.reporting.statistics import common_means, competitors, seeded
from ripu_ray.reporting.words import listed, percent, points, probability, signed, span

_PLURALS = {
    "acquisition": "acquisition functions", "mode": "modes", "window": "windows", "shape": "shapes",
    "allocation": "allocations", "power": "powers", "balanced": "ways to balance",
    "class_share": "class shares", "diversity": "diversities",
    "avoid_void": "ways to treat void",
}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """The result of one condition.

    Attributes:
        condition: the budget and the world.
        text: one to three sentences.
        verdict: result of the tests in a few words.
        settled: whether the leader differs significantly from the strategy that it is compared with.
    """

    condition: str
    text: str
    verdict: str = "not tested"
    settled: bool = False


def question(named: pd.DataFrame) -> str:
    """The question of the sweep, derived from the settings that differ.

    Args:
        named: results with the columns of `add_names`.
    """
    buying = competitors(named)
    if buying.empty:
        return "How far is the source-only model from full supervision?"
    varied = [name for name in map(str, named) if "." in name and not name.startswith(WORLD)]
    differing = [name for name in (*SETTINGS, *varied) if name in buying and buying[name].nunique(dropna=False) > 1]
    if "mode" in differing and "window" in differing and not (buying.groupby("mode")["window"].nunique() > 1).any():
        differing.remove("window")
    conditions = list(buying["condition"].unique())
    places = (
        listed(conditions)
        if len(conditions) <= (1 if buying["world"].any() else 4)
        else f"{len(conditions)} conditions"
    )
    if buying["strategy"].nunique() == 1:
        return f"How much do the labels that {buying['acquisition'].iloc[0]} selects raise the mIoU, at {places}?"
    words = [_PLURALS.get(name, name) for name in differing]
    return f"Which of these {listed(words)} give the best mIoU for the same labels, at {places}?"


def answers(finished: pd.DataFrame, differences: pd.DataFrame) -> list[Answer]:
    """The leading strategy of each condition, its lead, the number of seeds, and the significance.

    Args:
        finished: result of `outcomes`.
        differences: result of `compare` on mIoU.
    """
    return [
        _answer(str(condition), there, finished, differences)
        for condition, there in competitors(finished).groupby("condition", sort=False)
    ]


def _answer(condition: str, there: pd.DataFrame, finished: pd.DataFrame, differences: pd.DataFrame) -> Answer:
    known = there[there["miou"].notna()]
    enough = seeded(known)
    few = [str(name) for name in known["strategy"].unique() if name not in set(enough["strategy"])]
    answer = _among(condition, enough, finished, differences[differences["condition"] == condition])
    left_out = f" Left out, with fewer than half the seeds: {listed(few)}." if few else ""
    return replace(answer, text=answer.text + left_out)


def _among(condition: str, there: pd.DataFrame, finished: pd.DataFrame, table: pd.DataFrame) -> Answer:
    """The answer among the strategies that have finished enough trials."""
    values = there.pivot_table(index="seed", columns="strategy", values="miou", sort=False)
    paired = values.dropna()
    ranked, num_seeds = common_means(there)
    if not num_seeds:
        return Answer(condition, "No seed is finished for all strategies, so nothing is compared.")
    leader, best = str(ranked.index[0]), float(ranked.iloc[0])
    level = f"{percent(best)} mIoU over {counted(num_seeds, 'seed')}"
    if num_seeds < len(values):
        level += " that all strategies have"
    level += gap(best, reference_levels(finished, str(there["world"].iloc[0])))
    if len(ranked) == 1:
        low, high = map(float, interval(paired[leader].to_numpy(np.float64)))
        sure = "" if np.isnan(low) else f" The 95 % interval of the mean is {span(low, high)}."
        return Answer(condition, f"{leader} reaches {level}.{sure}", "no other strategy")
    rows = from_arm(leader, table.to_dict("records"))
    # Compare with random if possible; else with the strategy of the largest p-value, or the next.
    order = sorted(rows, key=lambda row: (not _is_baseline(leader, row), -np.nan_to_num(row["t_holm"], nan=-1)))
    if not order:
        next_one = str(ranked.index[1])
        apart = (paired[leader] - paired[next_one]).to_numpy(np.float64)
        low, high = map(float, interval(apart))
        return Answer(
            condition,
            f"{leader} has the highest mean, {level}. No strategy differs from it in only one setting, so nothing is "
            f"tested. The next, {next_one}, is {points(apart.mean())} behind{_sure(low, high)}.",
        )
    return _compared(condition, leader, level, order[0])


def _compared(condition: str, leader: str, level: str, row: dict[str, Any]) -> Answer:
    """The answer with the difference between the leader and one other strategy."""
    other = row["other"]
    ahead = f"ahead on {row['wins']} of {counted(row['seeds'], 'seed')}"
    if np.isnan(row["family"]):
        same = f"{leader} and {other} have the same results on every seed: the setting has no effect here."
        return Answer(condition, f"{leader} has the highest mean, {level}. {same}", "nothing to test")
    if row["std"] == 0:
        return _without_spread(condition, f"{leader} has the highest mean, {level}", row)
    if row["t_holm"] < LEVEL or row["wilcoxon_holm"] < LEVEL:
        change = "gains" if row["difference"] > 0 else "loses"
        text = (
            f"{leader} leads with {level}. Against {other} it {change} {points(abs(row['difference']))}"
            f"{_sure(row['low'], row['high'], ahead)}: significant{_tests(row)}."
        )
        return Answer(condition, text, f"differs significantly from {other}", True)
    start = f"{leader} has the highest mean, {level}"
    if row["seeds"] < MIN_SEEDS:
        start += f". With fewer than {MIN_SEEDS} seeds no test is meaningful: its lead over {other} may be chance. "
        verdict = "not tested"
    else:
        start += f", but is not shown to be better than {other}: the difference is not significant{_tests(row)}. "
        verdict = f"no significant difference from {other}"
    shown = f"Mean difference {signed(row['difference'])}{_sure(row['low'], row['high'], ahead)}"
    return Answer(condition, f"{start}{shown}{_ruled_out(row)}.{_power(row)}", verdict)


def _without_spread(condition: str, start: str, row: dict[str, Any]) -> Answer:
    """The answer where the difference from another strategy is the same on all seeds."""
    other, seeds = row["other"], counted(row["seeds"], "seed")
    if row["difference"] == 0:
        return Answer(condition, f"{start}, the same as {other} on each of {seeds}.", f"no difference from {other}")
    equal = f"the difference from {other} is {signed(row['difference'])} on each of {seeds}"
    doubt = "A test compares a difference with its spread over seeds, so nothing is tested"
    return Answer(condition, f"{start}; {equal}. {doubt}.", "no spread to test")


def _is_baseline(leader: str, row: dict[str, Any]) -> bool:
    return "random" in row["other"].split(", ") and "random" not in leader.split(", ")


def against_random(arm: str, rows: Iterable[Mapping[Hashable, Any]]) -> dict[str, Any] | None:
    """The difference of a strategy from the baseline, or None.

    Args:
        arm: name of the strategy.
        rows: those of the result of `compare` for one condition.

    Returns:
        The row with `random` as `other`, see `from_arm`.
    """
    return next((row for row in from_arm(arm, rows) if _is_baseline(arm, row)), None)


def from_arm(arm: str, rows: Iterable[Mapping[Hashable, Any]]) -> list[dict[str, Any]]:
    """The rows of `compare` that contain a strategy, with it as the first one; the second is also called `other`."""
    found = []
    for row in rows:
        named = {str(key): value for key, value in row.items()}
        if row["first"] == arm:
            found.append(named | {"other": row["second"]})
        elif row["second"] == arm:
            turned = {"difference": -row["difference"], "low": -row["high"], "high": -row["low"]}
            found.append(named | turned | {"wins": row["losses"], "losses": row["wins"], "other": row["first"]})
    return found


def gap(miou: float, levels: Mapping[str, float]) -> str:
    """Where an mIoU is between the references, in brackets; empty if they are not there."""
    if "source_only" in levels and "full" in levels and levels["full"] > levels["source_only"]:
        closed = (miou - levels["source_only"]) / (levels["full"] - levels["source_only"])
        return f" ({100 * closed:.0f} % of the way from source-only to full supervision)"
    return ""


def _sure(low: float, high: float, more: str = "") -> str:
    interval_words = "" if np.isnan(low) else f"95 % interval {span(low, high)}"
    words = ", ".join(filter(None, (interval_words, more)))
    return f" ({words})" if words else ""


def _tests(row: dict[str, Any]) -> str:
    """The corrected tests of a pair, in words."""
    names = [(name, row[test]) for name, test in (("t-test", "t_holm"), ("Wilcoxon", "wilcoxon_holm"))]
    known = [(name, value) for name, value in names if not np.isnan(value)]
    below = [name for name, value in known if value < LEVEL]
    by = ""
    if len(known) == 2 and below:
        by = " by both tests" if len(below) == 2 else f" by the {below[0]} test alone".replace("t-test test", "t-test")
    p_values = ", ".join(f"{name} p {_equals(value)}" for name, value in known)
    family = int(row["family"])
    correction = f" after Holm's correction over {family} comparisons" if family > 1 else ""
    return f"{by}{correction} ({p_values})"


def _ruled_out(row: dict[str, Any]) -> str:
    """The differences outside the interval, in words."""
    low, high = row["low"], row["high"]
    if np.isnan(low):
        return "; one seed rules out no difference"
    if low > 0 or high < 0:
        doubt = "it is of this pair alone" + (" and assumes normal differences" if row["seeds"] < MIN_SEEDS else "")
        gain = f"a gain of more than {points(high)}" if high > 0 else "a gain"
        return f". The interval excludes 0, but {doubt}; it rules out {gain}"
    return f". The data rule out that it is more than {points(high)} better or more than {points(-low)} worse"


def _power(row: dict[str, Any]) -> str:
    """Number of seeds that differences need with the spread of a pair, as a sentence."""
    one, half = (seeds_needed(size, row["std"], int(row["family"])) for size in (0.01, 0.005))
    if row["seeds"] < 3 or np.isnan(one):
        return ""
    return (
        f" With this spread (standard deviation {100 * row['std']:.2f} points), a difference of 1 point needs "
        f"{seeds_words(one)}, and one of 0.5 points {seeds_words(half)}, to be found in {100 * POWER:.0f} % of sweeps."
    )


def seeds_words(count: float) -> str:
    """A result of `seeds_needed` in words."""
    return f"more than {MOST_SEEDS:,} seeds" if np.isinf(count) else f"{count:.0f} seeds"


def _equals(value: float) -> str:
    text = probability(value)
    return text if text.startswith("<") else f"= {text}"
