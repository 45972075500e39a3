"""The figure of a sweep in a file: mIoU against the spent share."""

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from ripu_ray.reporting.arms import add_names
from ripu_ray.reporting.curves import curve_points, reference_levels
from ripu_ray.reporting.statistics import outcomes
from ripu_ray.reporting.svg import plain
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.storage.files import replace_file

_MARKERS = "osD^vP*X"


def draw_curves(results: pd.DataFrame) -> Figure:
    """Draw mIoU against the spent share: mean and standard deviation over seeds for each strategy and condition.

    References are horizontal lines.

    Args:
        results: result of `collect`.
    """
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.subplots()
    colours = matplotlib.colormaps["tab10"].colors  # type: ignore[attr-defined]
    named, finished = add_names(results), outcomes(results)
    points = curve_points(named.assign(panel=named["condition"], line=named["strategy"]), finished, "spent_share")
    for index, ((line, condition), curve) in enumerate(points.groupby(["line", "panel"], sort=False)):
        seeds = int(curve["seeds"].max())
        label = f"{line}, {condition}" + (f" ({seeds} seeds)" if seeds > 1 else "")
        colour = colours[index % len(colours)]
        share, mean, deviation = (100 * curve[name] for name in ("x", "mean", "deviation"))
        axes.plot(share, mean, marker=_MARKERS[index % len(_MARKERS)], markersize=5, color=colour, label=plain(label))
        if seeds > 1:
            axes.fill_between(share, mean - deviation, mean + deviation, color=colour, alpha=0.15, linewidth=0)
    for world in named["world"].unique():
        for index, (name, miou) in enumerate(reference_levels(finished[finished["world"] == world], world).items()):
            label = plain(", ".join(filter(None, (name, world))))
            axes.axhline(100 * miou, color="0.4", linestyle=("--", ":", "-.")[index % 3], linewidth=1, label=label)
    axes.set(xlabel="labelled share of the target's pixels (%)", ylabel="mIoU on the target's validation split (%)")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small", frameon=False)
    return figure


def write_curves(run: RunFolder, results: pd.DataFrame) -> None:
    """Write `curves.png` into the run folder."""
    figure = draw_curves(results)
    replace_file(run.path / "curves.png", lambda file: figure.savefig(file, format="png", dpi=150))
