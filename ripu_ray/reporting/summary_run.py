"""The summary of a sweep as a W&B run of its own: its table, what the seeds say, and its figure."""

from typing import Any

import pandas as pd

from ripu_ray.config import to_tree
from ripu_ray.reporting.statistics import outcomes, summarise
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.storage.remote import RemotePath
from ripu_ray.tracking.local_runs import take_stock
from ripu_ray.tracking.mode import current, go_offline
from ripu_ray.tracking.session import end_session, identify, open_run

NAME = "summary"


def log_summary(run: RunFolder, results: pd.DataFrame) -> None:
    """Log the results of a sweep, unless that was done when they were as many. What ails W&B ends no sweep.

    Args:
        run: with `curves.png`. Behind a URL nothing is logged: W&B needs a folder of this machine.
        results: what `collect` returns, not empty.
    """
    decision = current(run.config.tracking, run.path)
    if decision.mode == "disabled" or isinstance(run.path, RemotePath):
        return
    folder = run.path / NAME
    try:
        stock = take_stock(folder)
        # Rows only come, so their number says which results these are.
        if len(results) in stock.steps:
            return
        _log(run, results, is_online=decision.mode == "online" and not stock.is_pending)
    except Exception as error:  # noqa: BLE001 (nothing that W&B raises may end a sweep)
        end_session()
        go_offline(run.path, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")


def _log(run: RunFolder, results: pd.DataFrame, is_online: bool) -> None:
    opened = open_run(identify(run, NAME, NAME, to_tree(run.config)), run.path / NAME, is_online)
    opened.log(_content(run, results), step=len(results))
    opened.finish()


def _content(run: RunFolder, results: pd.DataFrame) -> dict[str, Any]:
    import wandb

    finished = outcomes(results)
    content = {"results": wandb.Table(dataframe=results), "curves": wandb.Image(str(run.path / "curves.png"))}
    if len(finished):
        content["strategies"] = wandb.Table(dataframe=summarise(finished))
    return {"trials": results["trial"].nunique(), "finished": len(finished), **content}
