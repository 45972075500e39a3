"""The first sentence of a report: what the labels brought, at which cost, and how sure this is."""

import numpy as np
import pandas as pd

from ripu_ray.errors import counted
from ripu_ray.reporting.curves import reference_levels
from ripu_ray.reporting.intervals import interval
from ripu_ray.reporting.statistics import common_means, competitors, seeded
from ripu_ray.reporting.words import percent, points, significant, span

MOST_BUDGETS = 4
"""With more budgets, the sentence has the smallest and the largest."""
_REFERENCES = {"source_only": "source-only", "full": "full supervision"}


def headline(named: pd.DataFrame, finished: pd.DataFrame) -> str:
    """The gain of the best strategy over the warm-up and the references, at the smallest and at each larger budget.

    Args:
        named: results with the columns of `add_names`.
        finished: result of `outcomes`.

    Returns:
        One sentence; empty before a trial that buys is finished. Seeds whose mIoU is NaN are left out.
    """
    buying = competitors(finished)
    buying = buying[buying["miou"].notna()]
    if buying.empty:
        return ""
    world = str(buying["world"].iloc[0])
    there = pd.concat([seeded(rows) for _, rows in buying[buying["world"] == world].groupby("condition", sort=False)])
    places = there.groupby("strategy", sort=False)["condition"].nunique()
    complete = there[there["strategy"].isin(places[places == places.max()].index)]
    means = [common_means(rows)[0] for _, rows in complete.groupby("condition", sort=False)]
    best = pd.concat(means, axis=1).mean(axis=1).idxmax()
    arm = complete[complete["strategy"] == best]
    start = named[named["round"] < 0].set_index("trial")["miou"].reindex(arm["trial"]).to_numpy(np.float64)
    arm = arm.assign(gain=arm["miou"].to_numpy(np.float64) - start)
    groups = [rows for _, rows in arm.groupby("condition", sort=False)]
    budgets = sorted(groups, key=lambda rows: float(rows["spent_share"].mean()))
    where = f" ({world})" if world else ""
    return _first(str(best), budgets[0], reference_levels(finished, world)) + _more(budgets) + f"{where}."


def _first(best: str, rows: pd.DataFrame, levels: dict[str, float]) -> str:
    """What the smallest budget brought."""
    reached, gain = float(rows["miou"].mean()), float(rows["gain"].mean())
    low, high = map(float, interval(rows["gain"].to_numpy(np.float64)))
    change = "raised" if gain > 0 else "lowered"
    if np.isnan(gain):
        return f"Buying {_share(rows)} of the pixels with {best} gave an mIoU of {percent(reached)}"
    if gain == 0 or low <= 0 <= high:
        change = "did not measurably change"
    seeds = counted(len(rows), "seed")
    sure = seeds if np.isnan(low) else f"{'gain' if gain > 0 else 'change'} {span(low, high)} points at 95 %, {seeds}"
    references = "".join(f"; {words}: {percent(levels[name])}" for name, words in _REFERENCES.items() if name in levels)
    return (
        f"Buying {_share(rows)} of the pixels with {best} {change} mIoU from {percent(reached - gain)} to "
        f"{percent(reached)} ({sure}{references})"
    )


def _more(budgets: list[pd.DataFrame]) -> str:
    """What the larger budgets, or of many the largest, brought over the smallest."""
    base = budgets[0].groupby("seed")["miou"].mean()
    texts = []
    for rows in budgets[1:] if len(budgets) <= MOST_BUDGETS else budgets[-1:]:
        apart = (rows.groupby("seed")["miou"].mean() - base).dropna().to_numpy(np.float64)
        if not apart.size or not budgets[0]["spent_share"].mean() > 0:
            continue
        low, high = map(float, interval(apart))
        brought = f"{points(abs(apart.mean()))} {'more' if apart.mean() >= 0 else 'less'}"
        if low <= 0 <= high:
            brought = f"no measurable change ({span(low, high)} points)"
        factor = rows["spent_share"].mean() / budgets[0]["spent_share"].mean()
        texts.append(f"; {_share(rows)} brought {brought} for {factor:.1f} times the labels")
    return "".join(texts)


def _share(rows: pd.DataFrame) -> str:
    return f"{significant(100 * rows['spent_share'].mean())} %"
