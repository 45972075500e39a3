"""Figures of a sweep."""

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from ripu_ray.files import replace_file
from ripu_ray.simulation.run_folder import RunFolder

_MARKERS = "osD^vP*X"


def draw_curves(results: pd.DataFrame) -> Figure:
    """mIoU against spent share; one line for each strategy and budget, the mean over seeds with its standard deviation.

    Args:
        results: what `collect` returns.
    """
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.subplots()
    colours = matplotlib.colormaps["tab10"].colors  # type: ignore[attr-defined]
    strategies = results.groupby(["mode", "window", "acquisition", "budget"], sort=False)
    for index, ((mode, window, acquisition, budget), rows) in enumerate(strategies):
        curve = rows.groupby("round").agg(
            share=("spent_share", "mean"), mean=("miou", "mean"), deviation=("miou", "std"), seeds=("seed", "nunique")
        )
        unit = "" if str(budget).endswith("px") else " %"
        seeds = int(curve["seeds"].max())
        label = f"{acquisition}, {mode} {window}x{window}, {budget}{unit}" + (f" ({seeds} seeds)" if seeds > 1 else "")
        colour = colours[index % len(colours)]
        share, mean, deviation = (100 * curve[name] for name in ("share", "mean", "deviation"))
        axes.plot(share, mean, marker=_MARKERS[index % len(_MARKERS)], markersize=5, color=colour, label=label)
        if seeds > 1:
            axes.fill_between(share, mean - deviation, mean + deviation, color=colour, alpha=0.15, linewidth=0)
    axes.set(xlabel="labelled share of the target's pixels (%)", ylabel="mIoU on the target's validation split (%)")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize="small", frameon=False)
    return figure


def write_curves(run: RunFolder, results: pd.DataFrame) -> None:
    """Write `curves.png` into the run folder."""
    figure = draw_curves(results)
    replace_file(run.path / "curves.png", lambda file: figure.savefig(file, format="png", dpi=150))
