"""The report's confusion matrix: the predictions of the best strategy for each true class."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ripu_ray.errors import counted
from ripu_ray.reporting.examples import choose_trials
from ripu_ray.reporting.joining import trial_of
from ripu_ray.reporting.statistics import competitors
from ripu_ray.reporting.tables import Cell, Table
from ripu_ray.runs.run_folder import RunFolder


def confusion(runs: Mapping[str, RunFolder], finished: pd.DataFrame) -> Table | None:
    """The confusion matrix after the last round of the best strategy in the last condition, over all its seeds.

    Args:
        runs: by name, which is `sweep` of the outcomes.
        finished: result of `outcomes`.

    Returns:
        Shares of the pixels of each true class, in per cent; None if no round has confusion counts.

    Raises:
        RunFolderError: a file was altered.
    """
    buying = competitors(finished)
    chosen = choose_trials(buying)[:1]
    if not chosen:
        return None
    condition, strategy = str(chosen[0]["condition"]), str(chosen[0]["strategy"])
    found, names = [], list[str]()
    for row in buying[(buying["condition"] == condition) & (buying["strategy"] == strategy)].to_dict("records"):
        run, trial_id = trial_of(runs, row)
        stage = run.trial(trial_id).stage(int(row["round"]))
        if (counts_CC := stage.confusion()) is not None:
            found.append(counts_CC)
            names = list(stage.record().iou)
    if not found or not (total_CC := np.sum(found, axis=0)).any():
        return None
    table = Table(
        f"Confusion matrix of {strategy}, {condition}, after the last round, {counted(len(found), 'seed')} together: "
        "the share of the pixels of the row's true class that are predicted as the column's class, in per cent. "
        "A dot: below 0.5 %. Bold: correct",
        ("true class", *names),
        is_matrix=True,
    )
    for place, (name, row_C) in enumerate(zip(names, total_CC, strict=True)):
        share_C = row_C / row_C.sum() if row_C.any() else np.full(len(row_C), np.nan)
        table.rows.append(([name], [_cell(float(share), place == other) for other, share in enumerate(share_C)]))
    return table


def _cell(share: float, is_correct: bool) -> Cell:
    if np.isnan(share):
        return Cell("–")
    text = f"{100 * share:.0f}" if share >= 0.005 else "·"
    return Cell(text, heat=-share if is_correct else share, strong=is_correct)
