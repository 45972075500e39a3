"""The panels with the curves of the report, as SVG and as interactive figures."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from ripu_ray.reporting import charts, interactive
from ripu_ray.reporting.curves import curve_points, reference_levels
from ripu_ray.reporting.results import COSTS
from ripu_ray.reporting.statistics import competitors
from ripu_ray.reporting.svg import to_svg
from ripu_ray.reporting.words import percent

_COST_WORDS = {
    "share": "share of the pool's pixels",
    "pixels": "labelled pixels",
    "clicks": "clicks",
    "boundary": "pixels of outlines drawn",
    "seconds": "annotation time",
}

MOST_PANELS = 24
"""Limit of panels for each cost: each is a figure of its own, and the page is to stay small."""


@dataclass(frozen=True)
class Panel:
    """A figure. Attributes: title; svg; json: the interactive figure, or None."""

    title: str
    svg: Markup
    json: Markup | None = None


def curve_panels(
    named: pd.DataFrame, finished: pd.DataFrame, order: Mapping[str, int]
) -> list[tuple[str, list[Panel]]]:
    """For each cost in the results, its name and a figure for each panel, all with the same axes.

    Args:
        named: results with the columns of `add_panels`.
        finished: result of `outcomes`.
        order: line -> number of its colour and marker.
    """
    curves = []
    levels = {world: reference_levels(finished, world) for world in named["world"].unique()}
    buying = competitors(named)
    if buying.empty:
        return []
    spread = buying.groupby(["panel", "line", "round"])["miou"].agg(["mean", "std"]).fillna(0)
    values = [*(spread["mean"] - spread["std"]), *(spread["mean"] + spread["std"])]
    values += [value for by_name in levels.values() for value in by_name.values()]
    # Round limits, the same for all panels, with room for the names of the references.
    bottom, top = max(math.floor(20 * (min(values) - 0.005)) / 20, 0), min(math.ceil(20 * (max(values) + 0.01)) / 20, 1)
    for cost, column in COSTS.items():
        if column not in named or not named[column].max() > 0:
            continue
        points = curve_points(named, finished, column)
        scale, unit = _unit(cost, float(points["x"].max()))
        right = float(points["x"].max()) * scale
        axes = charts.Axes(bottom, top, 1.04 * right or 1, _COST_WORDS[cost], scale, unit)
        panels = []
        for number, (panel, there) in enumerate(points.groupby("panel", sort=False)):
            world = named.loc[named["panel"] == panel, "world"].iloc[0]
            drawn = there, order, levels[world], axes
            svg = to_svg(charts.curve_panel(*drawn), f"curve-{cost}-{number}", _label(str(panel), there, axes.cost))
            panels.append(Panel(str(panel), svg, interactive.curve_json(*drawn)))
        curves.append((axes.cost, panels))
    return curves


def _unit(cost: str, largest: float) -> tuple[float, str]:
    """Factor and unit of an axis. Args: cost: key of COSTS; largest: value, seconds for annotation time."""
    if cost == "seconds":
        sizes = ((3600, "h"), (60, "min"), (1, "s"))
        return next((1 / size, unit) for size, unit in sizes if largest >= 2 * size or size == 1)
    return (100, "%") if cost == "share" else (1, "")


def _label(panel: str, points: pd.DataFrame, cost: str) -> str:
    """The description of a panel for screen readers."""
    last = points.groupby("line", sort=False).tail(1)
    ends = ", ".join(
        f"{line} {'unknown' if math.isnan(mean) else percent(mean)}"
        for line, mean in zip(last["line"], last["mean"], strict=True)
    )
    return f"mIoU over {cost}, {panel}. At the end: {ends}."
