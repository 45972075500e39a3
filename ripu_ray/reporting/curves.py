"""Points of the curves that tables and figures draw: mIoU over what was bought, by strategy."""

import pandas as pd

from ripu_ray.config import REFERENCES

MOST_LINES = 6
"""In one panel; with more, each mode, window and other setting has a panel of its own."""


def add_panels(named: pd.DataFrame) -> pd.DataFrame:
    """Say which panel of a figure each row belongs to, and which line of it.

    Args:
        named: with the columns of `add_names`.

    Returns:
        A copy with `panel` and `line`: the condition and the strategy, or, where many strategies differ in their
        acquisition and something else, the condition with that, and the acquisition.
    """
    buying = named[~named["acquisition"].isin(REFERENCES)]
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
    """Mean curves of the strategies that buy.

    Args:
        named: results with the columns of `add_panels`.
        finished: of `outcomes`.
        cost: the column on the x axis.

    Returns:
        One row for each panel, line and round: `x`, the mean cost, `mean` and `deviation` of mIoU (NaN for one seed),
        `seeds`, and `finished`. Lines that have bought nothing yet are not there. Where a line has finished trials, it
        is of them alone: else its points were of different seeds.
    """
    buying = named[~named["acquisition"].isin(REFERENCES)]
    buying = buying.assign(finished=buying["trial"].isin(finished["trial"]))
    best = buying.groupby(["panel", "line"], sort=False)["finished"].transform("max")
    begun = buying.groupby(["panel", "line"], sort=False)["round"].transform("max") >= 0
    shown = buying[begun & (buying["finished"] == best)]
    return (
        shown.groupby(["panel", "line", "round"], sort=False)
        .agg(
            x=(cost, "mean"),
            mean=("miou", "mean"),
            deviation=("miou", "std"),
            seeds=("seed", "nunique"),
            finished=("finished", "all"),
        )
        .reset_index()
    )


def reference_levels(finished: pd.DataFrame, world: str) -> dict[str, float]:
    """Mean mIoU of the references that were trained in a world, by name.

    Args:
        finished: of `outcomes`.
        world: of `add_names`.
    """
    there = finished[finished["acquisition"].isin(REFERENCES) & (finished["world"] == world)]
    return {str(name): float(rows["miou"].mean()) for name, rows in there.groupby("strategy", sort=False)}
