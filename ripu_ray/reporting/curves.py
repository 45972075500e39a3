"""Points of the curves: mIoU over cost, by strategy."""

import pandas as pd

from ripu_ray.config import REFERENCES
from ripu_ray.reporting.arms import of_world
from ripu_ray.reporting.statistics import competitors

MOST_LINES = 6
"""Limit of one panel; with more lines, each mode, window and other setting has its own panel."""


def add_panels(named: pd.DataFrame) -> pd.DataFrame:
    """Assign each row to a panel of a figure and to a line in it.

    Args:
        named: results with the columns of `add_names`.

    Returns:
        A copy with `panel` and `line`: the condition and the strategy; or, if many strategies differ in acquisition
        and other settings, the condition with these settings, and the acquisition.
    """
    buying = competitors(named)
    split = (
        buying["strategy"].nunique() > MOST_LINES
        and buying["acquisition"].nunique() > 1
        and buying["variant"].nunique() > 1
    )
    if not split:
        return named.assign(panel=named["condition"], line=named["strategy"])
    panel = [f"{condition}, {variant}" for condition, variant in zip(named["condition"], named["variant"], strict=True)]
    return named.assign(panel=panel, line=named["acquisition"])


def curve_points(named: pd.DataFrame, finished: pd.DataFrame, cost: str) -> pd.DataFrame:
    """Mean curves of the strategies without the references.

    Args:
        named: results with the columns of `add_panels`.
        finished: result of `outcomes`.
        cost: column of the x-axis.

    Returns:
        One row for each panel, line and round: `x`, the mean cost, `mean` and `deviation` of mIoU (NaN for one seed),
        `seeds` with an mIoU, `finished`, and `stopped`: a stopping rule ended a trial there. Lines without a purchase
        are left out. A line with finished trials consists of these alone, and a trial that a rule ended stays at its
        last point, so that all points of a line have the same seeds.
    """
    buying = competitors(named)
    last = buying.groupby("trial")["round"].transform("max") == buying["round"]
    buying = buying.assign(
        finished=buying["trial"].isin(finished["trial"]), stopped=buying.get("stopped", False) & last
    )
    best = buying.groupby(["panel", "line"], sort=False)["finished"].transform("max")
    begun = buying.groupby(["panel", "line"], sort=False)["round"].transform("max") >= 0
    shown = _held(buying[begun & (buying["finished"] == best)])
    shown = shown.assign(measured=shown["seed"].where(shown["miou"].notna()))
    return (
        shown.groupby(["panel", "line", "round"], sort=False)
        .agg(
            x=(cost, "mean"),
            mean=("miou", "mean"),
            deviation=("miou", "std"),
            seeds=("measured", "nunique"),
            finished=("finished", "all"),
            stopped=("stopped", "any"),
        )
        .reset_index()
    )


def no_points() -> pd.DataFrame:
    """The result of `curve_points` before a round is committed."""
    names = ("panel", "line", "round", "x", "mean", "deviation", "seeds", "finished", "stopped")
    return pd.DataFrame(columns=list(names))


def _held(shown: pd.DataFrame) -> pd.DataFrame:
    """The rows, and the last row of each trial that a rule ended once more for every later round of its line."""
    last = shown.groupby(["panel", "line"], sort=False)["round"].transform("max")
    ended = shown[shown["stopped"]]
    held = [
        row | {"round": number, "stopped": False}
        for row, end in zip(ended.to_dict("records"), last[ended.index], strict=True)
        for number in range(row["round"] + 1, end + 1)
    ]
    return pd.concat([shown, pd.DataFrame(held)], ignore_index=True) if held else shown


def reference_levels(finished: pd.DataFrame, world: str) -> dict[str, float]:
    """Mean mIoU of the references that were trained in a world, by name.

    Args:
        finished: result of `outcomes`. Trials whose mIoU is NaN are left out.
        world: value of the column that `add_names` adds.
    """
    there = of_world(finished[finished["acquisition"].isin(REFERENCES) & finished["miou"].notna()], world)
    return {str(name): float(rows["miou"].mean()) for name, rows in there.groupby("strategy", sort=False)}
