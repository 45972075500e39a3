"""The report's tables: the text and the tint of each cell."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ripu_ray.config import REFERENCES
from ripu_ray.errors import duration
from ripu_ray.reporting.intervals import LEVEL, MOST_SEEDS, seeds_needed
from ripu_ray.reporting.results import COSTS
from ripu_ray.reporting.statistics import competitors
from ripu_ray.reporting.words import probability, span, spread

_HEADS = {"share": "share of the pool", "boundary": "pixels of outlines", "seconds": "annotation time"}
"""Heads of columns of COSTS, where they differ from the name."""


@dataclass(frozen=True)
class Cell:
    """Attributes:
    text: text as printed.
    heat: strength of the tint in [0, 1]; another colour below 0; None: no tint.
    strong: whether it is bold.
    """

    text: str
    heat: float | None = None
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """Attributes:
    caption: content and unit.
    columns: heads of the columns.
    rows: (head cells of the row, other cells), together one for each column.
    is_matrix: whether the columns are narrow and have vertical heads.
    note: what the colours mean, below the table.
    """

    caption: str
    columns: Sequence[str]
    rows: list[tuple[list[str], list[Cell]]] = field(default_factory=list)
    is_matrix: bool = False
    note: str = ""


def means(summary: pd.DataFrame) -> Table:
    """Means, deviations and intervals; the best of each condition is bold.

    Args:
        summary: result of `summarise`.
    """
    table = Table(
        "Mean over seeds ± standard deviation, and the interval of the mean at 95 %; in per cent",
        ("condition", "strategy", "seeds", "mIoU", "interval", "AUBC", "interval"),
    )
    for row in references_last(summary).to_dict("records"):
        is_reference = str(row["strategy"]).split(", ")[0] in REFERENCES
        same = summary[summary["condition"] == row["condition"]]
        same = same[2 * same["seeds"] >= same["seeds"].max()]
        cells = [Cell(str(row["seeds"]))]
        for metric in ("miou", "aubc"):
            mean = row[f"{metric}_mean"]
            best = not is_reference and len(same) > 1 and mean == same[f"{metric}_mean"].max()
            plain = metric == "aubc" and is_reference
            cells.append(Cell("–") if plain else Cell(spread(mean, row[f"{metric}_std"], ".2f") or "–", strong=best))
            cells.append(Cell("–") if plain else Cell(span(row[f"{metric}_low"], row[f"{metric}_high"], ".2f")))
        table.rows.append(([str(row["condition"]), str(row["strategy"])], cells))
    return table


def differences(compared: pd.DataFrame, metric: str) -> Table:
    """Paired differences with their tests.

    Args:
        compared: result of `compare`.
        metric: name of the metric in the caption.
    """
    table = Table(
        f"Differences in {metric}, paired over seeds, in points; p-values are two-sided and carry Holm's correction",
        ("condition", "first", "second", "seeds", "difference", "95 % interval", "ahead", "t-test p", "Wilcoxon p",
         "seeds for 1 point"),
        note="Coloured: the interval, which is without correction, excludes 0. Bold: below 0.05 after Holm's "
        "correction over the comparisons of the condition. The last column: the number of seeds with which the "
        "t-test finds a difference of 1 point in 80 % of sweeps, with this spread.",
    )  # fmt: skip
    largest = compared["difference"].abs().max() if len(compared) else 1
    for row in compared.to_dict("records"):
        is_seen = row["low"] > 0 or row["high"] < 0
        is_equal = np.isnan(row["family"])
        needed = float("nan") if is_equal else seeds_needed(0.01, row["std"], int(row["family"]))
        cells = [
            Cell(str(row["seeds"])),
            Cell(f"{100 * row['difference']:+.2f}", heat=row["difference"] / largest if is_seen else None),
            Cell(_apart(row, is_equal)),
            Cell(f"{row['wins']} of {row['seeds']}"),
            Cell(probability(row["t_holm"]), strong=bool(row["t_holm"] < LEVEL)),
            Cell(probability(row["wilcoxon_holm"]), strong=bool(row["wilcoxon_holm"] < LEVEL)),
            Cell("–" if np.isnan(needed) else f"> {MOST_SEEDS:,}" if np.isinf(needed) else f"{needed:.0f}"),
        ]
        table.rows.append(([row["condition"], row["first"], row["second"]], cells))
    return table


def _apart(row: Mapping[Hashable, Any], is_equal: bool) -> str:
    if is_equal:
        return "cannot differ"
    return "no spread" if row["std"] == 0 and row["difference"] else span(row["low"], row["high"], "+.2f")


def wins(matrix: pd.DataFrame) -> Table:
    """How often the row is better than the column. Args: matrix: result of `win_matrix`."""
    table = Table(
        "Share of all seeds and conditions, in per cent, in which the strategy of the row is ahead of the column's",
        ("", *map(str, matrix.columns)),
        is_matrix=True,
    )
    for name, row in matrix.iterrows():
        cells = [Cell("" if np.isnan(value) else f"{100 * value:.0f}") for value in row]
        table.rows.append(([str(name)], cells))
    return table


def reaching(reached: pd.DataFrame, share: float) -> Table:
    """Pixels that reach a share of full supervision, where a seed does. Args: reached: result of `pixels_to_reach`."""
    of_full = f"{100 * share:.0f} % of full supervision's mIoU"
    rows = []
    groups = reached.groupby(["condition", "strategy"], sort=False)["pixels"]
    for (condition, strategy), pixels in groups:
        median, count = float(pixels.median()), int(np.isfinite(pixels).sum())
        text = f"{median:,.0f}" if np.isfinite(median) else "not within the budget"
        if count:
            rows.append(([str(condition), str(strategy)], [Cell(f"{count} of {len(pixels)}"), Cell(text)]))
    others = "The others do not reach it within their budgets." if rows else f"No strategy reaches {of_full}."
    return Table(
        f"Labelled pixels of the whole pool at which the curve reaches {of_full}",
        ("condition", "strategy", "seeds that reach it", "median of all seeds"),
        rows,
        note=others if len(rows) < groups.ngroups else "",
    )


def costs(finished: pd.DataFrame) -> Table:
    """Mean costs of each strategy. Args: finished: result of `outcomes`."""
    columns = {name: column for name, column in COSTS.items() if column in finished and finished[column].max() > 0}
    others = {"void pixels among them": "void_pixels", "clipped by borders": "clipped_pixels"}
    shares = ["labelled_share"] if "labelled_share" in finished else []
    words = [_HEADS.get(name, name.replace("_", " ")) for name in (*columns, *others, *shares)]
    heads = ("condition", "strategy", *words)
    table = Table("Mean cost of a finished trial", heads)
    for (condition, strategy), rows in competitors(finished).groupby(["condition", "strategy"], sort=False):
        names = *columns.values(), *others.values(), *shares
        cells = [Cell(_cost(column, float(rows[column].mean()))) for column in names]
        table.rows.append(([str(condition), str(strategy)], cells))
    return table


def signals(named: pd.DataFrame) -> Table | None:
    """Mean signals of the stopping rules after each round; None if none was recorded.

    Args:
        named: results with the columns of `add_names`.
    """
    words = {"signal_kappa": "kappa", "signal_changed": "changed, %", "signal_uncertainty": "uncertainty"}
    columns = [name for name in words if name in named]
    if not columns:
        return None
    table = Table(
        "Predictions on a sample of the pool after each round, means over seeds: agreement with the round before "
        "(Cohen's kappa), share of changed pixels, entropy of what is not bought over its maximum",
        ("condition", "strategy", "round", *(words[name] for name in columns)),
    )
    there = named.dropna(subset=columns)
    if there.empty:
        return None
    for (condition, strategy, number), rows in there.groupby(["condition", "strategy", "round"], sort=False):
        means = [rows[name].mean() * (100 if name == "signal_changed" else 1) for name in columns]
        cells = [Cell(f"{mean:.3f}") for mean in means]
        table.rows.append(([str(condition), str(strategy), str(number)], cells))
    return table


def stopped(finished: pd.DataFrame) -> Table | None:
    """Trials that a stopping rule ended, with what they left unspent; None if there is none.

    Args:
        finished: result of `outcomes`.
    """
    if "stopped" not in finished or not finished["stopped"].any():
        return None
    table = Table(
        "Trials that a stopping rule ended early; finished.json of each says why",
        ("condition", "strategy", "seed", "rounds", "pixels unspent", "of the budget"),
    )
    for row in finished[finished["stopped"]].to_dict("records"):
        left = row["budget_pixels"] - row["spent_pixels"]
        texts = [str(row["rounds"]), f"{left:,}", f"{100 * left / row['budget_pixels']:.1f} %"]
        table.rows.append(([row["condition"], row["strategy"], str(row["seed"])], [Cell(text) for text in texts]))
    return table


def phases(results: pd.DataFrame, finished: pd.DataFrame) -> Table:
    """Mean time of each phase of a finished trial, with the shared warm-up as a separate row.

    Args:
        results: with the columns of `add_names`.
        finished: result of `outcomes`. The rounds of other trials are left out.
    """
    columns = [name for name in map(str, results) if name.startswith("seconds_")]
    names = [name.removeprefix("seconds_") for name in columns]
    caption = "Mean time of a finished trial in each phase, over all its rounds, and its share of the total"
    table = Table(caption, ("", *names, "total"))
    warmups = results[results["round"] < 0].drop_duplicates(["seed", *columns])
    groups = [("warm-up, shared by trials", warmups)]
    trained = results[(results["round"] >= 0) & results["trial"].isin(finished["trial"])]
    groups += [(str(name), rows) for name, rows in trained.groupby("strategy", sort=False)]
    for name, rows in groups:
        seconds = rows.groupby("trial")[columns].sum().mean()
        if seconds.notna().any():
            total = float(seconds.sum())
            cells = [Cell(duration(value) + _part(value, total)) for value in seconds]
            table.rows.append(([name], [*cells, Cell(duration(total))]))
    return table


def speeds(results: pd.DataFrame) -> Table | None:
    """Median speed of training, over rounds and trials; None if no phase was as long as `tracking.log_every`.

    Args:
        results: with the columns of `add_names`.
    """
    heads = {
        "speed_steps_per_s": ("steps/s", "{:.3g}"),
        "speed_images_per_s": ("images/s", "{:.3g}"),
        "speed_data_wait_share": ("waiting for data", "{:.0%}"),
        "speed_gpu_memory_gib": ("GPU memory, GiB", "{:.3g}"),
        "speed_peak_share": ("of the GPU's peak", "{:.0%}"),
    }
    columns = [name for name in heads if name in results]
    if not columns:
        return None
    table = Table("Median speed of training in a trial's process", ("", *(heads[name][0] for name in columns)))
    stages = results.assign(stage=results["strategy"].where(results["round"] >= 0, "warm-up"))
    for name, rows in stages.groupby("stage", sort=False):
        values = rows[columns].median()
        styles = ((values[column], heads[column][1]) for column in columns)
        texts = ["–" if np.isnan(value) else style.format(value).replace("%", " %") for value, style in styles]
        table.rows.append(([str(name)], [Cell(text) for text in texts]))
    return table


def _part(seconds: float, total: float) -> str:
    return "" if np.isnan(seconds) or not total else f" ({100 * seconds / total:.0f} %)"


def _cost(column: str, mean: float) -> str:
    if np.isnan(mean):  # the labelled share of nothing
        return "–"
    if column in ("spent_share", "labelled_share"):
        return f"{100 * mean:.{2 if column == 'spent_share' else 1}f} %"
    return duration(mean) if column == "annotation_s" else f"{mean:,.0f}"


def references_last(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the references after the others. Args: rows: with a column `strategy`."""
    last = rows["strategy"].str.split(", ").str[0].isin(REFERENCES)
    return rows.assign(last=last).sort_values("last", kind="stable").drop(columns="last")
