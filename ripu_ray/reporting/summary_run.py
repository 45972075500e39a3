"""The summary of a sweep as a separate W&B run: result table, statistics over seeds, figures, and the report."""

from pathlib import Path
from typing import Any

import pandas as pd

from ripu_ray.config import to_tree
from ripu_ray.reporting.arms import add_names
from ripu_ray.reporting.curves import curve_points, reference_levels
from ripu_ray.reporting.headline import headline
from ripu_ray.reporting.results import REPORT
from ripu_ray.reporting.statistics import outcomes, summarise
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.storage.remote import RemotePath
from ripu_ray.tracking.content import AXIS
from ripu_ray.tracking.identity import identify
from ripu_ray.tracking.mode import current
from ripu_ray.tracking.session import end_session, open_run
from ripu_ray.tracking.target import files_of
from ripu_ray.tracking.wandb_internals import read_local_runs

NAME = "summary"


def log_summary(run: RunFolder, results: pd.DataFrame) -> None:
    """Log the results of a sweep, unless they were logged before. A failure of W&B does not end the sweep.

    Args:
        run: run folder with `curves.png`. Behind a URL nothing is logged: W&B needs a local folder.
        results: result of `collect`, not empty.
    """
    decision = current(run.config.tracking, run.path)
    folder = files_of(run, NAME, run.path / NAME)
    if decision.mode == "disabled" or isinstance(folder, RemotePath):
        return
    try:
        local = read_local_runs(folder)
        # Rows are only ever added, so their number identifies the results.
        if len(results) in local.steps:
            return
        _log(run, results, folder, is_online=decision.mode == "online" and not local.is_pending)
    except Exception as error:  # noqa: BLE001 (nothing that W&B raises may end a sweep)
        end_session(run.path, error)


def _log(run: RunFolder, results: pd.DataFrame, folder: Path, is_online: bool) -> None:
    tags, notes = (NAME, run.config.data.dataset), headline(add_names(results), outcomes(results)) or None
    opened = open_run(identify(run, NAME, NAME, to_tree(run.config), tags, notes), folder, is_online)
    opened.log(_content(run, results), step=len(results))
    opened.finish()


def _content(run: RunFolder, results: pd.DataFrame) -> dict[str, Any]:
    import wandb

    finished = outcomes(results)
    content: dict[str, Any] = {
        "results": wandb.Table(dataframe=results),
        "curves": wandb.Image(str(run.path / "curves.png")),
    }
    if len(finished):
        content["strategies"] = wandb.Table(dataframe=summarise(finished))
    if lines := comparison_lines(results):
        xs, ys = zip(*lines.values(), strict=True)
        content["comparison"] = wandb.plot.line_series(xs, ys, list(lines), "mIoU, mean over seeds", "spent_share")
    if (report := run.path / REPORT).exists():
        content["report"] = wandb.Html(report.read_text(encoding="utf-8"), inject=False)
    return {"trials": results["trial"].nunique(), "finished": len(finished), **content}


def comparison_lines(results: pd.DataFrame) -> dict[str, tuple[list[float], list[float]]]:
    """Lines of mIoU over the spent share, means over seeds: label -> (shares, mIoUs), all in [0, 1].

    A reference is a horizontal line over the whole axis: its own share is 0 or 1, where it cannot be compared.
    """
    named, finished = add_names(results), outcomes(results)
    points = curve_points(named.assign(panel=named["condition"], line=named["strategy"]), finished, AXIS)
    lines = {
        ", ".join(map(str, names)): (curve["x"].tolist(), curve["mean"].tolist())
        for names, curve in points.groupby(["line", "panel"], sort=False)
    }
    end = max((share for shares, _ in lines.values() for share in shares), default=1.0)
    for world in named["world"].unique():
        for name, miou in reference_levels(finished[finished["world"] == world], world).items():
            lines[", ".join(filter(None, (name, world)))] = ([0.0, end], [miou, miou])
    return lines
