"""The panels of the report, one small figure each."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ripu_ray.reporting.svg import INK, RULE, series

MARKERS = "os^Dv<>pX*"
"""Markers of the lines, in addition to colours."""
_SIZE = (4.4, 3.0)
_TEXT = 8.5


def curve_panel(
    points: pd.DataFrame,
    order: Mapping[str, int],
    levels: Mapping[str, float],
    mious: tuple[float, float],
    cost: str,
    percent: bool,
) -> Figure:
    """Draw mIoU over one cost: mean and standard deviation of each line, references as horizontal lines,
    a ring where a stopping rule ended a trial.

    Args:
        points: one panel of `curve_points`.
        order: line -> number of its colour and marker.
        levels: result of `reference_levels`.
        mious: limits of the y-axis in [0, 1], the same for all panels.
        cost: label of the x-axis.
        percent: whether the cost is a share.
    """
    figure, axes = _empty()
    for line, curve in points.groupby("line", sort=False):
        number = order[str(line)]
        x = curve["x"] * (100 if percent else 1)
        mean, deviation = 100 * curve["mean"], 100 * curve["deviation"].fillna(0)
        axes.fill_between(x, mean - deviation, mean + deviation, color=series(number), alpha=0.1, linewidth=0)
        style = "-" if curve["finished"].all() else ":"
        marker = MARKERS[number % len(MARKERS)]
        axes.plot(x, mean, style, color=series(number), marker=marker, markersize=4, linewidth=1.6, clip_on=False)
        ended = curve["stopped"].to_numpy()
        axes.plot(x[ended], mean[ended], "o", color=series(number), fillstyle="none", markersize=10, clip_on=False)
    for name, miou in levels.items():
        axes.axhline(100 * miou, color=INK, linewidth=0.9, linestyle=(0, (5, 3)), alpha=0.7)
        text = f"{name} {100 * miou:.1f}"
        axes.annotate(
            text, (1, 100 * miou), (-2, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
            ha="right", va="bottom", fontsize=_TEXT, color=INK,
        )  # fmt: skip
    axes.set_ylim(100 * mious[0], 100 * mious[1])
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}"))
    axes.set_xlabel(cost, fontsize=_TEXT, color=INK)
    axes.set_ylabel("mIoU (%)", fontsize=_TEXT, color=INK)
    figure.subplots_adjust(left=0.115, right=0.97, top=0.97, bottom=0.16)
    return figure


def purchase_panel(shares: pd.DataFrame, pool: Mapping[str, float], order: Mapping[str, int]) -> Figure:
    """Draw the share of each class among the bought pixels and in the pool on a logarithmic axis.

    Args:
        shares: (line, class) -> share in [0, 1].
        pool: class -> share in [0, 1].
        order: line -> number of its colour and marker.
    """
    names = sorted(pool, key=lambda name: pool[name])
    figure, axes = _empty(height=0.9 + 0.2 * len(names))
    floor = 100 * min(value for value in (*pool.values(), *shares.to_numpy().ravel()) if value > 0) / 1.5
    for place, name in enumerate(names):
        values = [100 * value for value in shares[name] if value > 0]
        if values:
            axes.plot([min(values), max(values)], [place, place], color=RULE, linewidth=4, zorder=1)
    axes.plot(
        [max(100 * pool[name], floor) for name in names], range(len(names)), linestyle="", marker="|",
        markersize=13, markeredgewidth=2, color=INK, zorder=2,
    )  # fmt: skip
    for line, row in shares.iterrows():
        number = order[str(line)]
        values = [max(100 * row[name], floor) for name in names]
        axes.plot(values, range(len(names)), MARKERS[number % len(MARKERS)], color=series(number), markersize=4.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.set_xlabel("share of the labelled pixels (%)", fontsize=_TEXT, color=INK)
    figure.subplots_adjust(left=0.24, right=0.97, top=0.98, bottom=0.45 / figure.get_figheight())
    return figure


def _empty(height: float = _SIZE[1]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_SIZE[0], height))
    axes = figure.subplots()
    axes.grid(color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=_TEXT, length=0, bottom=False, left=False)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(RULE)
    return figure, axes
