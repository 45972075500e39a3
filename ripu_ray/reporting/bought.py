"""The report's section on the classes of what was bought, compared with the pool."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ripu_ray.errors import RipuError
from ripu_ray.reporting import charts
from ripu_ray.reporting.arms import of_world
from ripu_ray.reporting.intervals import interval
from ripu_ray.reporting.joining import trial_of
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
        pools: world -> class -> share of the labelled pixels of the pool there.
        worlds: condition -> its world.
        shares: (condition, strategy) -> class -> share of the bought pixels, all seeds together.
        differing: (condition, strategy, class) where the interval over seeds excludes the pool's share.
    """

    pools: dict[str, dict[str, float]]
    worlds: dict[str, str]
    shares: dict[tuple[str, str], dict[str, float]]
    differing: set[tuple[str, str, str]]

    def pool(self, condition: str) -> dict[str, float]:
        """Class -> share of the labelled pixels of the pool in a condition."""
        return self.pools[self.worlds[condition]]


def read_bought(runs: Mapping[str, RunFolder], finished: pd.DataFrame) -> Bought | None:
    """Count the classes. None if they were not recorded, or no pool can be read.

    Args:
        runs: by name, which is `sweep` of the outcomes. Their pools are read if no trial of `full` has its counts.
        finished: result of `outcomes`.
    """
    columns = [name for name in map(str, finished) if name.startswith("bought_")]
    if not columns:
        return None
    counted = finished[finished[columns].sum(axis=1) > 0]
    there = competitors(counted)
    pools = {str(world): _pool(runs, rows, counted, columns) for world, rows in there.groupby("world", sort=False)}
    bought = Bought({world: pool for world, pool in pools.items() if pool}, {}, {}, set())
    for (condition, strategy), rows in there.groupby(["condition", "strategy"], sort=False):
        world = str(rows["world"].iloc[0])
        if world in bought.pools:
            bought.worlds[str(condition)] = world
            _count(bought, str(condition), str(strategy), rows)
    return bought if bought.shares else None


def _pool(
    runs: Mapping[str, RunFolder], rows: pd.DataFrame, counted: pd.DataFrame, columns: list[str]
) -> dict[str, float] | None:
    """Class -> share of the pool in the world of the rows; None if it cannot be read."""
    full = of_world(counted[counted["acquisition"] == "full"], str(rows["world"].iloc[0]))
    if len(full):
        pixels = full[columns].iloc[0].dropna()
        return {str(name).removeprefix("bought_"): float(share) for name, share in (pixels / pixels.sum()).items()}
    run, trial_id = trial_of(runs, rows.iloc[0].to_dict())
    try:
        return class_shares(run.trials[trial_id].config.data, _POOL_IMAGES)
    except RipuError:
        return None


def _count(bought: Bought, condition: str, strategy: str, rows: pd.DataFrame) -> None:
    """Add a strategy. Args: rows: its outcomes in the condition."""
    pool = bought.pool(condition)
    counts_NC = rows.reindex(columns=[f"bought_{name}" for name in pool]).fillna(0).to_numpy(np.float64)
    total_C = counts_NC.sum(axis=0)
    bought.shares[condition, strategy] = dict(zip(pool, (total_C / total_C.sum()).tolist(), strict=True))
    low_C, high_C = interval((counts_NC / counts_NC.sum(axis=1, keepdims=True)).T)
    for (name, share), low, high in zip(pool.items(), low_C, high_C, strict=True):
        if low > share or high < share:
            bought.differing.add((condition, strategy, name))


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
            pool = bought.pool(str(there["condition"].iloc[0]))
            tables[str(panel)] = pd.DataFrame(by_line).T.reindex(columns=list(pool)).fillna(0), pool
    shares = [value for table, pool in tables.values() for value in (*pool.values(), *table.to_numpy().ravel())]
    limits = min((share for share in shares if share > 0), default=0.1), max(shares, default=1)
    panels = []
    for number, (panel, (table, pool)) in enumerate(tables.items()):
        figure = charts.purchase_panel(table, pool, order, limits)
        label = f"Shares of the classes among the bought pixels and in the pool, {panel}; values below."
        panels.append(Panel(panel, to_svg(figure, f"bought-{number}", label)))
    return panels


def bought_table(bought: Bought) -> Table:
    """Shares of the classes, and how many times their share in the pool."""
    names = list(dict.fromkeys(name for pool in bought.pools.values() for name in pool))
    table = Table(
        "Share of each class among the labelled pixels, in per cent, and how many times its share in the pool",
        ("condition", "strategy", *names),
        is_matrix=True,
        note="Coloured: the 95 % interval of the share over seeds excludes the share in the pool. The rest is within "
        "the noise, or has fewer than two seeds.",
    )
    for world, pool in bought.pools.items():
        cells = [Cell(f"{100 * pool[name]:.1f}" if name in pool else "–") for name in names]
        table.rows.append(([world, "the pool itself"], cells))
    for (condition, strategy), by_class in bought.shares.items():
        pool = bought.pool(condition)
        cells = []
        for name in names:
            factor = by_class[name] / pool[name] if pool.get(name) else float("nan")
            times = f" ({factor:.1f}×)" if np.isfinite(factor) else ""
            is_seen = (condition, strategy, name) in bought.differing and factor > 0
            heat = float(np.clip(np.log2(factor) / 3, -1, 1)) if is_seen else None
            text = f"{100 * by_class[name]:.1f}{times}" if name in by_class else "–"
            cells.append(Cell(text, heat=heat))
        table.rows.append(([condition, strategy], cells))
    return table
