"""Interactive curves: figures of Bokeh as JSON, and the scripts that draw them, which are inlined in the page."""

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd
from bokeh.embed import json_item
from bokeh.models import BasicTicker, FixedTicker, HoverTool, NumeralTickFormatter, Range1d
from bokeh.models.annotations import Label, Span
from bokeh.plotting import figure
from markupsafe import Markup

from ripu_ray.reporting.charts import Axes
from ripu_ray.reporting.svg import INK, RULE, series

_MARKERS = (
    "circle", "square", "triangle", "diamond", "inverted_triangle", "hex", "plus", "star_dot", "x", "star",
)  # fmt: skip


@cache
def scripts() -> tuple[Markup, Markup]:
    """The source of Bokeh's library for browsers, and of the script that uses it."""
    library = files("bokeh").joinpath("server/static/js/bokeh.min.js").read_text(encoding="utf-8")
    own = files("ripu_ray.reporting").joinpath("report.js").read_text(encoding="utf-8")
    # Browsers read text that ends a script, and normalise line ends before they compute the digest.
    texts = (text.replace("\r\n", "\n").replace("</script", "<\\/script") for text in (library, own))
    first, second = (Markup(text) for text in texts)
    return first, second


def policy() -> str:
    """A content security policy: the page loads nothing from a network and runs no script but `scripts`."""
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts()]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def curve_json(points: pd.DataFrame, order: Mapping[str, int], levels: Mapping[str, float], axes: Axes) -> Markup:
    """The figure of `charts.curve_panel` as JSON for a `<script type="application/json">`.

    Renderers of a line have its number in `order` as name. Colours are the placeholders of `reporting.svg`.

    Args:
        points, order, levels, axes: see `charts.curve_panel`.
    """
    plot = figure(
        height=300, sizing_mode="stretch_width", toolbar_location=None, tools="",
        x_range=Range1d(start=-0.02 * axes.right, end=axes.right),
        y_range=Range1d(start=100 * axes.bottom, end=100 * axes.top), x_axis_label=axes.label, y_axis_label="mIoU (%)",
        background_fill_alpha=0, border_fill_alpha=0, outline_line_color=None, min_border_right=14,
    )  # fmt: skip
    _style(plot, axes)
    shown = []
    for line, curve in points.groupby("line", sort=False):
        shown.append(_draw(plot, str(line), curve, order[str(line)], axes.scale))
    unit = f"{{0,0.00}} {axes.unit}" if axes.unit else "{0,0}"
    tips = [
        ("strategy", "@line"), ("mIoU", "@mean{0.0} % @spread"), (axes.cost, f"@x{unit}"),
        ("round", "@round"), ("seeds", "@seeds"), ("note", "@note"),
    ]  # fmt: skip
    plot.add_tools(HoverTool(renderers=shown, tooltips=tips))
    _references(plot, levels, axes)
    text = json.dumps(json_item(plot))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _style(plot: Any, axes: Axes) -> None:
    plot.xaxis.formatter = NumeralTickFormatter(format="0,0.[00]")
    plot.xaxis.ticker = BasicTicker(desired_num_ticks=5, mantissas=[1, 2, 5])
    plot.yaxis.ticker = FixedTicker(ticks=axes.ticks)
    plot.grid.grid_line_color = RULE
    for axis in plot.axis:
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = None
        axis.major_label_text_color = axis.axis_label_text_color = INK
        axis.axis_label_text_font_style = "normal"
        axis.major_label_text_font_size = axis.axis_label_text_font_size = "12px"
        axis.axis_label_text_font = axis.major_label_text_font = "system-ui, sans-serif"


def _draw(plot: Any, line: str, curve: pd.DataFrame, number: int, scale: float) -> Any:
    """Add a line with its band, markers and rings; returns the renderer of the markers."""
    mean, deviation = 100 * curve["mean"], 100 * curve["deviation"]
    x, colour, name = list(curve["x"] * scale), series(number), str(number)
    low, high = list(mean - deviation.fillna(0)), list(mean + deviation.fillna(0))
    plot.varea(x=x, y1=low, y2=high, fill_color=colour, fill_alpha=0.13, name=name)
    dash = "solid" if curve["finished"].all() else "dotted"
    plot.line(x=x, y=list(mean), line_color=colour, line_width=2, line_dash=dash, name=name)
    notes = ["a stopping rule ended a trial here" if ended else "–" for ended in curve["stopped"]]
    data = {
        "x": x, "mean": list(mean), "line": [line] * len(curve), "note": notes,
        "spread": ["" if value != value else f"± {value:.1f}" for value in deviation],
        "round": ["warm-up" if value < 0 else str(value) for value in curve["round"]],
        "seeds": [str(value) for value in curve["seeds"]],
    }  # fmt: skip
    ended = curve["stopped"].to_numpy()
    plot.scatter(
        x=list(curve["x"][ended] * scale), y=list(mean[ended]), size=15, marker="circle", fill_color=None,
        line_color=colour, line_width=1.5, name=name,
    )  # fmt: skip
    marker = _MARKERS[number % len(_MARKERS)]
    return plot.scatter("x", "mean", source=data, size=8, marker=marker, color=colour, name=name)


def _references(plot: Any, levels: Mapping[str, float], axes: Axes) -> None:
    for name, miou, is_below, is_left in axes.labelled(levels):
        plot.add_layout(Span(location=100 * miou, dimension="width", line_color=INK, line_dash=[6, 4], line_alpha=0.7))
        # Two dollar signs would begin a formula.
        text = f"{name} {100 * miou:.1f}".replace("$$", "$\u200b$")
        plot.add_layout(
            Label(
                x=plot.x_range.start if is_left else axes.right, y=100 * miou, x_offset=4 if is_left else -4,
                y_offset=-2 if is_below else 2, text=text, text_align="left" if is_left else "right",
                text_baseline="top" if is_below else "bottom", text_color=INK, text_font_size="12px",
                text_font="system-ui, sans-serif",
            )
        )  # fmt: skip
