"""The panels of the report, one small figure each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import matplotlib.axes
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ripu_ray.reporting.svg import INK, RULE, plain, series

MARKERS = "os^Dv<>pX*"
"""Markers of the lines, in addition to colours."""
_SIZE = (4.4, 3.0)
_TEXT = 8.5


@dataclass(frozen=True)
class Axes:
    """The axes that all panels of one cost share.

    Attributes:
        bottom, top: limits of mIoU in [0, 1].
        right: upper limit of the cost, as printed; the lower is 0.
        cost: name of the cost.
        scale: factor of the values; unit: of the scaled values, or empty.
    """

    bottom: float
    top: float
    right: float
    cost: str
    scale: float = 1
    unit: str = ""

    @property
    def label(self) -> str:
        """Label of the x-axis."""
        return f"{self.cost} ({self.unit})" if self.unit else self.cost

    @property
    def ticks(self) -> list[float]:
        """Round values of mIoU in per cent, within the limits."""
        ticks = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(100 * self.bottom, 100 * self.top)
        return [float(tick) for tick in ticks if 100 * self.bottom - 1e-9 <= tick <= 100 * self.top + 1e-9]

    def labelled(self, levels: Mapping[str, float]) -> Iterator[tuple[str, float, bool, bool]]:
        """Name and mIoU of each level, from the lowest, and whether its label is below its line, and at the left.

        A label is below where the next level is too close above for it. Curves begin low at the left and end high at
        the right, so that high levels have their labels at the left.
        """
        ordered = sorted(levels.items(), key=lambda level: level[1])
        for number, (name, miou) in enumerate(ordered, start=1):
            above = ordered[number][1] if number < len(ordered) else float("inf")
            is_left = miou > (self.bottom + self.top) / 2
            yield name, miou, above - miou < 0.07 * (self.top - self.bottom), is_left


def curve_panel(points: pd.DataFrame, order: Mapping[str, int], levels: Mapping[str, float], shared: Axes) -> Figure:
    """Draw mIoU over one cost: mean and standard deviation of each line, references as horizontal lines,
    a ring where a stopping rule ended a trial.

    Args:
        points: one panel of `curve_points`.
        order: line -> number of its colour and marker.
        levels: result of `reference_levels`.
        shared: the axes of all panels of this cost.
    """
    figure, axes = _empty()
    for line, curve in points.groupby("line", sort=False):
        number = order[str(line)]
        x = curve["x"] * shared.scale
        mean, deviation = 100 * curve["mean"], 100 * curve["deviation"].fillna(0)
        axes.fill_between(x, mean - deviation, mean + deviation, color=series(number), alpha=0.1, linewidth=0)
        style = "-" if curve["finished"].all() else ":"
        marker = MARKERS[number % len(MARKERS)]
        axes.plot(x, mean, style, color=series(number), marker=marker, markersize=4, linewidth=1.6, clip_on=False)
        ended = curve["stopped"].to_numpy()
        axes.plot(x[ended], mean[ended], "o", color=series(number), fillstyle="none", markersize=10, clip_on=False)
    for name, miou, is_below, is_left in shared.labelled(levels):
        axes.axhline(100 * miou, color=INK, linewidth=0.9, linestyle=(0, (5, 3)), alpha=0.7)
        text = plain(f"{name} {100 * miou:.1f}")
        axes.annotate(
            text, (0 if is_left else 1, 100 * miou), (2 if is_left else -2, -2 if is_below else 2),
            xycoords=("axes fraction", "data"), textcoords="offset points", ha="left" if is_left else "right",
            va="top" if is_below else "bottom", fontsize=_TEXT, color=INK,
        )  # fmt: skip
    axes.set_ylim(100 * shared.bottom, 100 * shared.top)
    axes.yaxis.set_major_locator(FixedLocator(shared.ticks))
    axes.set_xlim(0, shared.right)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}"))
    axes.set_xlabel(shared.label, fontsize=_TEXT, color=INK)
    axes.set_ylabel("mIoU (%)", fontsize=_TEXT, color=INK)
    figure.subplots_adjust(left=0.115, right=0.97, top=0.97, bottom=0.16)
    return figure


def purchase_panel(
    shares: pd.DataFrame, pool: Mapping[str, float], order: Mapping[str, int], limits: tuple[float, float]
) -> Figure:
    """Draw the share of each class among the bought pixels and in the pool on a logarithmic axis.

    Args:
        shares: (line, class) -> share in [0, 1].
        pool: class -> share in [0, 1].
        order: line -> number of its colour and marker.
        limits: smallest share above 0, and largest share, of all panels.
    """
    names = sorted(pool, key=lambda name: pool[name])
    figure, axes = _empty(height=0.9 + 0.2 * len(names))
    floor = 100 * limits[0] / 1.5
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
    axes.set_xlim(floor / 1.2, 100 * limits[1] * 1.3)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(names)), list(map(plain, names)))
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.set_xlabel("share of the labelled pixels (%)", fontsize=_TEXT, color=INK)
    figure.subplots_adjust(left=0.24, right=0.97, top=0.98, bottom=0.45 / figure.get_figheight())
    return figure


def _empty(height: float = _SIZE[1]) -> tuple[Figure, matplotlib.axes.Axes]:
    figure = Figure(figsize=(_SIZE[0], height))
    axes = figure.subplots()
    axes.grid(color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=_TEXT, length=0, bottom=False, left=False)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(RULE)
    return figure, axes
