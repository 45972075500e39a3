"""The question of a sweep, and its answer for each condition with the statistical evidence."""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ripu_ray.config import REFERENCES
from ripu_ray.reporting.curves import reference_levels
from ripu_ray.reporting.naming import SETTINGS, WORLD
from ripu_ray.reporting.statistics import MIN_SEEDS, competitors, seeded

LEVEL = 0.05
"""A corrected p-value below it is significant."""
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
    buying = named[~named["acquisition"].isin(REFERENCES)]
    if buying.empty:
        return "How far is the source-only model from full supervision?"
    varied = [name for name in map(str, named) if "." in name and not name.startswith(WORLD)]
    differing = [name for name in (*SETTINGS, *varied) if name in buying and buying[name].nunique(dropna=False) > 1]
    if "mode" in differing and "window" in differing and not (buying.groupby("mode")["window"].nunique() > 1).any():
        differing.remove("window")
    conditions = list(buying["condition"].unique())
    places = _listed(conditions, most=4) or f"{len(conditions)} conditions"
    if buying["strategy"].nunique() == 1:
        return f"What are labels worth that {buying['acquisition'].iloc[0]} chooses, at {places}?"
    words = [_PLURALS.get(name, name) for name in differing]
    what = _listed(words, most=len(words))
    return f"Which of these {what} give the best mIoU for the same labels, at {places}?"


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
    enough = seeded(there)
    few = [str(name) for name in there["strategy"].unique() if name not in set(enough["strategy"])]
    answer = _among(condition, enough, finished, differences)
    left_out = f" Left out, with fewer than half the seeds: {_listed(few, most=len(few))}." if few else ""
    return replace(answer, text=answer.text + left_out)


def _among(condition: str, there: pd.DataFrame, finished: pd.DataFrame, differences: pd.DataFrame) -> Answer:
    table = there.pivot_table(index="seed", columns="strategy", values="miou", sort=False)
    paired = table.dropna()
    if paired.empty:
        return Answer(condition, "no seed is finished for all strategies yet, so nothing is compared.")
    ranked = paired.mean().sort_values(ascending=False, kind="stable")
    leader, best = str(ranked.index[0]), float(ranked.iloc[0])
    seeds = f"{len(paired)} seeds" if len(paired) > 1 else "one seed"
    gap = _gap(best, reference_levels(finished, str(there["world"].iloc[0])))
    if len(ranked) == 1:
        return Answer(condition, f"{leader} reaches {_percent(best)} mIoU over {seeds}{gap}.")
    second = str(ranked.index[1])
    apart = paired[leader] - paired[second]
    text = (
        f"{leader} leads with {_percent(best)} mIoU over {seeds}{gap}, {_points(apart.mean())} ahead of the next, "
        f"{second} (ahead on {int((apart > 0).sum())} of {len(apart)})."
    )
    if len(paired) < MIN_SEEDS:
        more = f" With fewer than {MIN_SEEDS} seeds no test is meaningful: this may be chance."
        return Answer(condition, text + more)
    return _tested(condition, leader, text, differences[differences["condition"] == condition])


def _tested(condition: str, leader: str, text: str, table: pd.DataFrame) -> Answer:
    """Add the tests of the leader to the answer, with corrected p-values as in the table."""
    tested = [row for row in table.to_dict("records") if leader in (row["first"], row["second"])]
    tested = [_from(leader, row) for row in tested if not np.isnan(row["t_holm"])]
    if not tested:
        return Answer(condition, f"{text} No other strategy differs from it in only one setting, so nothing is tested.")
    # Compare with random if possible; else with the strategy of the largest p-value.
    baseline = [row for row in tested if "random" in row["other"].split(", ") and "random" not in leader.split(", ")]
    row = baseline[0] if baseline else max(tested, key=lambda row: float(row["t_holm"]))
    by = [name for name, test in (("the t-test", "t_holm"), ("Wilcoxon's", "wilcoxon_holm")) if row[test] < LEVEL]
    found = {0: "not significant", 1: f"significant by {''.join(by)} alone", 2: "significant by both tests"}[len(by)]
    tests = f"t-test p {_equals(row['t_holm'])}, Wilcoxon p {_equals(row['wilcoxon_holm'])}"
    more = (
        f"Against {row['other']} it gains {_points(row['difference'])} (95 % interval {100 * row['low']:.1f} to "
        f"{100 * row['high']:.1f}, ahead on {row['wins']} of {row['seeds']} seeds): {found} after Holm's correction "
        f"over {len(table)} comparisons ({tests})."
    )
    verdict = f"{'differs significantly' if by else 'no significant difference'} from {row['other']}"
    return Answer(condition, f"{text} {more}", verdict, bool(by))


def _from(leader: str, row: dict[Hashable, Any]) -> dict[Hashable, Any]:
    """The row with the leader as the first strategy."""
    if row["first"] == leader:
        return row | {"other": row["second"]}
    turned = {"difference": -row["difference"], "low": -row["high"], "high": -row["low"], "wins": row["losses"]}
    return row | turned | {"other": row["first"]}


def _equals(value: float) -> str:
    text = probability(value)
    return text if text.startswith("<") else f"= {text}"


def _gap(miou: float, levels: dict[str, float]) -> str:
    if "source_only" in levels and "full" in levels and levels["full"] > levels["source_only"]:
        closed = (miou - levels["source_only"]) / (levels["full"] - levels["source_only"])
        return f" ({100 * closed:.0f} % of the way from source-only to full supervision)"
    return ""


def probability(value: float) -> str:
    """A p-value as text."""
    if np.isnan(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _percent(miou: float) -> str:
    return f"{100 * miou:.1f} %"


def _points(difference: float) -> str:
    return f"{100 * difference:.1f} points"


def _listed(words: list[str], most: int) -> str:
    if not words or len(words) > most:
        return ""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
