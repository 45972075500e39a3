"""Tables by class and by window. A cell has a colour only where its paired difference is larger than the noise."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ripu_ray.reporting.arms import pair_kind
from ripu_ray.reporting.intervals import interval
from ripu_ray.reporting.statistics import competitors
from ripu_ray.reporting.tables import Cell, Table, references_last

_NOTE = (
    "Coloured, warm for more and cold for less: the 95 % interval of the difference from {}, paired over seeds, "
    "excludes 0. All else is within the noise, or has fewer than two seeds. The intervals are without correction: "
    "without any difference, about one cell in 20 would be coloured."
)


def baselines(there: pd.DataFrame) -> dict[str, str]:
    """The strategy that each strategy of one condition is compared with.

    It is chosen by its settings, not by its results. Comparisons with the best strategy would find too many
    differences.

    Args:
        there: outcomes of one condition.

    Returns:
        Strategy -> `random` with the same other settings, or else the first strategy. A strategy is not its own
        baseline.
    """
    arms = there.drop_duplicates("strategy").to_dict("records")
    found = {}
    for arm in arms:
        same = (one for one in arms if one["acquisition"] == "random" and pair_kind(one, arm) == "acquisition")
        other = str(next(same, arms[0])["strategy"])
        if arm["acquisition"] != "random" and other != arm["strategy"]:
            found[str(arm["strategy"])] = other
    return found


def apart(there: pd.DataFrame, others: Mapping[str, str], columns: list[str]) -> dict[tuple[str, str], float]:
    """The mean paired differences whose 95 % interval excludes 0.

    Args:
        there: outcomes of one condition.
        others: strategy -> the one that it is compared with.
        columns: of numbers.

    Returns:
        (strategy, column) -> mean difference over the common seeds. A seed that is NaN is left out.
    """
    tables = {str(name): rows.groupby("seed")[columns].mean() for name, rows in there.groupby("strategy", sort=False)}
    found = {}
    for strategy, other in others.items():
        differences = (tables[strategy] - tables[other]).dropna(how="all")
        for column in columns:
            values = differences[column].dropna().to_numpy(np.float64)
            low, high = interval(values)
            if low > 0 or high < 0:
                found[strategy, column] = float(values.mean())
    return found


def heat_map(finished: pd.DataFrame) -> Table | None:
    """Mean mIoU by window and condition; None if there is one window: the table of means has the same numbers.

    Args:
        finished: result of `outcomes`.
    """
    there = competitors(finished)
    conditions = list(there["condition"].unique())
    windows = there.groupby("mode")["window"].nunique()
    if there.empty or (windows < 2).all():
        return None
    # The window has its own column here, so it is removed from the strategy's name.
    rest = [
        ", ".join(part for part in strategy.split(", ") if part != f"{window}x{window}") or "all"
        for strategy, window in zip(there["strategy"], there["window"], strict=True)
    ]
    named = there.assign(rest=rest, side=[f"{window}×{window}" for window in there["window"]])
    first = named.groupby("rest", sort=False)["strategy"].first()
    seen: dict[tuple[str, str], float] = {}
    for condition, rows in named.groupby("condition", sort=False):
        arms = {str(row["strategy"]): str(first[row["rest"]]) for row in rows.to_dict("records")}
        others = {name: other for name, other in arms.items() if other != name and other in arms}
        seen |= {(str(condition), name): value for (name, _), value in apart(rows, others, ["miou"]).items()}
    table = Table(
        "Mean mIoU over seeds, in per cent, by window and budget",
        ("strategy", "window", *conditions),
        note=_NOTE.format("the first window of the strategy"),
    )
    strongest = max(map(abs, seen.values()), default=1)
    for (kind, side), rows in named.groupby(["rest", "side"], sort=False):
        cells = []
        for condition in conditions:
            here = rows[rows["condition"] == condition]
            heat = seen.get((condition, here["strategy"].iloc[0])) if len(here) else None
            cells.append(_cell(here["miou"].mean(), heat, strongest))
        table.rows.append(([str(kind), str(side)], cells))
    return table


def class_ious(finished: pd.DataFrame) -> Table:
    """Mean IoU of each class after the last round. Args: finished: result of `outcomes`."""
    columns = [name for name in map(str, finished) if name.startswith("iou_")]
    seen: dict[tuple[str, str, str], float] = {}
    for condition, there in competitors(finished).groupby("condition", sort=False):
        seen |= {(str(condition), *key): value for key, value in apart(there, baselines(there), columns).items()}
    has_random = (finished["acquisition"] == "random").any()
    has_several = competitors(finished)["strategy"].nunique() > 1
    table = Table(
        "Mean IoU of each class after the last round, in per cent",
        ("condition", "strategy", *(name.removeprefix("iou_") for name in columns)),
        is_matrix=True,
        note=_NOTE.format("random" if has_random else "the first strategy") if has_several else "",
    )
    strongest = max(map(abs, seen.values()), default=1)
    means = references_last(finished.groupby(["condition", "strategy"], sort=False)[columns].mean().reset_index())
    for row in means.to_dict("records"):
        names = str(row["condition"]), str(row["strategy"])
        table.rows.append(([*names], [_cell(row[name], seen.get((*names, name)), strongest) for name in columns]))
    return table


def _cell(mean: float, difference: float | None, strongest: float) -> Cell:
    if np.isnan(mean):
        return Cell("–")
    return Cell(f"{100 * mean:.1f}", heat=None if difference is None else difference / strongest)
