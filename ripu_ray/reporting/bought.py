"""The report's section on the classes of what was bought, compared with the pool."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ripu_ray.errors import RipuError
from ripu_ray.reporting import charts
from ripu_ray.reporting.intervals import interval
from ripu_ray.reporting.panels import Panel
from ripu_ray.reporting.statistics import competitors
from ripu_ray.reporting.svg import to_svg
from ripu_ray.reporting.tables import Cell, Table
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.inspection import class_shares

_POOL_IMAGES = 200
"""Limit of images that are read for the class frequencies of the pool."""


@dataclass(frozen=True)
class Bought:
    """Shares of the classes, in [0, 1].

    Attributes:
        pool: class -> share of the pool's labelled pixels.
        shares: (condition, strategy) -> class -> share of the bought pixels, all seeds together.
        differing: (condition, strategy, class) where the interval over seeds excludes the pool's share.
    """

    pool: dict[str, float]
    shares: dict[tuple[str, str], dict[str, float]]
    differing: set[tuple[str, str, str]]


def read_bought(run: RunFolder, finished: pd.DataFrame) -> Bought | None:
    """Count the classes. None if they were not recorded, or the pool cannot be read.

    Args:
        run: whose pool is read if no trial of `full` has its counts.
        finished: result of `outcomes`.
    """
    columns = [name for name in map(str, finished) if name.startswith("bought_")]
    names = [name.removeprefix("bought_") for name in columns]
    there = competitors(finished)
    there = there[there[columns].sum(axis=1) > 0] if columns else there.iloc[:0]
    if there.empty:
        return None
    full = finished[(finished["acquisition"] == "full") & (finished[columns].sum(axis=1) > 0)]
    if len(full):
        pixels = full[columns].iloc[0].to_numpy(float)
        pool = dict(zip(names, (pixels / pixels.sum()).tolist(), strict=True))
    else:
        try:
            pool = class_shares(next(iter(run.trials.values())).config.data, _POOL_IMAGES)
        except RipuError:
            return None
    bought = Bought(pool, {}, set())
    for names_of, rows in there.groupby(["condition", "strategy"], sort=False):
        condition, strategy = map(str, names_of)
        counts_NC = rows[columns].to_numpy(np.float64)
        total_C = counts_NC.sum(axis=0)
        bought.shares[condition, strategy] = dict(zip(names, (total_C / total_C.sum()).tolist(), strict=True))
        low_C, high_C = interval((counts_NC / counts_NC.sum(axis=1, keepdims=True)).T)
        for name, low, high in zip(names, low_C, high_C, strict=True):
            if name in pool and (low > pool[name] or high < pool[name]):
                bought.differing.add((condition, strategy, name))
    return bought


def bought_panels(finished: pd.DataFrame, bought: Bought, order: Mapping[str, int]) -> list[Panel]:
    """A figure for each panel of the curves, all with the same axis. Args: order: line -> number of its colour."""
    arms = competitors(finished).drop_duplicates(["condition", "strategy"])
    tables = {}
    for panel, there in arms.groupby("panel", sort=False):
        by_line = {
            row["line"]: bought.shares[row["condition"], row["strategy"]]
            for row in there.to_dict("records")
            if (row["condition"], row["strategy"]) in bought.shares
        }
        if by_line:
            tables[str(panel)] = pd.DataFrame(by_line).T.reindex(columns=list(bought.pool)).fillna(0)
    shares = [*bought.pool.values(), *(value for table in tables.values() for value in table.to_numpy().ravel())]
    limits = min(share for share in shares if share > 0), max(shares)
    panels = []
    for number, (panel, table) in enumerate(tables.items()):
        figure = charts.purchase_panel(table, bought.pool, order, limits)
        label = f"Shares of the classes among the bought pixels and in the pool, {panel}; values below."
        panels.append(Panel(panel, to_svg(figure, f"bought-{number}", label)))
    return panels


def bought_table(bought: Bought) -> Table:
    """Shares of the classes, and how many times their share in the pool."""
    table = Table(
        "Share of each class among the labelled pixels, in per cent, and how many times its share in the pool",
        ("condition", "strategy", *bought.pool),
        is_matrix=True,
        note="Coloured: the 95 % interval of the share over seeds excludes the share in the pool. The rest is within "
        "the noise, or has fewer than two seeds.",
    )
    table.rows.append((["", "the pool itself"], [Cell(f"{100 * share:.1f}") for share in bought.pool.values()]))
    for (condition, strategy), by_class in bought.shares.items():
        cells = []
        for name, share in bought.pool.items():
            factor = by_class.get(name, 0) / share if share else float("nan")
            times = f" ({factor:.1f}×)" if np.isfinite(factor) else ""
            is_seen = (condition, strategy, name) in bought.differing and factor > 0
            heat = float(np.clip(np.log2(factor) / 3, -1, 1)) if is_seen else None
            cells.append(Cell(f"{100 * by_class.get(name, 0):.1f}{times}", heat=heat))
        table.rows.append(([condition, strategy], cells))
    return table
