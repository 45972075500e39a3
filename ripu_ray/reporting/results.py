"""The results of a sweep as one table with a row for each trial and round."""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from ripu_ray.config import setting, to_tree
from ripu_ray.reporting.arms import value_words
from ripu_ray.runs.effects import is_dependent, is_ignored
from ripu_ray.runs.grid import Trial
from ripu_ray.runs.record import RoundRecord
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.runs.stages import Ending, StageFolder
from ripu_ray.storage.files import replace_file, replace_text

REPORT = "report.html"
"""File name of the report in the run folder."""
COSTS = {
    "share": "spent_share",
    "pixels": "spent_pixels",
    "clicks": "clicks",
    "boundary": "boundary_pixels",
    "seconds": "annotation_s",
}
"""Costs that can be the x-axis of a curve: name -> column, cumulative over the pool."""


def collect(run: RunFolder) -> pd.DataFrame:
    """Read the committed rounds of every trial.

    Returns:
        One row per trial and round, in the order of the grid; round -1 is the shared warm-up. Trials of one arm differ
        only in their seed; each key of `sweep.vary` has a column, with an empty cell where the setting has no effect.
        References have no mode, window or budget. `rounds` is the number of rounds of the finished trial; `stopped`
        says that a stopping rule ended it. miou, accuracy and iou_<class> are in [0, 1]; pixels, clicks,
        labelled_share, bought_<class> and the columns of COSTS are cumulative over the pool; signal_<name>,
        seconds_<phase>, speed_<name> and loss_<name> are values of the round.
    """
    rows = []
    for trial_id, trial in run.trials.items():
        folder = run.trial(trial_id)
        stages = [run.warmup(run.warmup_key(trial.config)), *map(folder.stage, range(folder.num_committed()))]
        ending = folder.ending()
        rows += [_row(trial, stage, run.config.sweep.vary, ending) for stage in stages if stage.is_committed()]
    results = pd.DataFrame(rows)
    if any(row["window"] is None for row in rows):
        # As objects, whole numbers stay whole numbers beside the empty cells of references.
        results["window"] = pd.Series([row["window"] for row in rows], dtype=object)
    return with_uniform_columns(results)


def with_uniform_columns(results: pd.DataFrame) -> pd.DataFrame:
    """Convert columns of numbers and texts, such as the powers 1 and "1 -> 100", to text, as typed tables need it."""
    mixed = [name for name in results if pd.api.types.infer_dtype(results[name], skipna=True).startswith("mixed")]
    return results.assign(**{str(name): results[name].map(value_words, na_action="ignore") for name in mixed})


def write_tables(run: RunFolder, results: pd.DataFrame) -> None:
    """Write the results as `results.csv` and `results.parquet` into the run folder."""
    replace_text(run.path / "results.csv", results.to_csv(index=False))
    replace_file(run.path / "results.parquet", lambda file: results.to_parquet(file, index=False))


def _varied(trial: Trial, key: str, tree: Mapping[str, Any]) -> Any:
    """The value of a setting, or None where it has no effect."""
    may_be_idle = is_dependent(key) or (key.startswith("oracle.") and trial.config.strategy.is_reference)
    if may_be_idle and is_ignored(key, trial.config):
        return None
    return trial.asked.get(key, setting(trial.config, key, tree))


def _row(trial: Trial, stage: StageFolder, varied: Collection[str], ending: Ending | None) -> dict[str, Any]:
    record: RoundRecord = stage.record()
    seconds, speed = stage.times()
    tree = to_tree(trial.config) if varied else {}  # slow for thousands of rows
    strategy = trial.config.strategy
    buys = not strategy.is_reference
    return {
        "trial": trial.trial_id,
        "arm": trial.arm,
        "mode": strategy.mode if buys else None,
        "window": strategy.window if buys else None,
        "shape": strategy.shape,
        "acquisition": strategy.acquisition,
        "budget": str(strategy.budget) if buys else None,
        "allocation": strategy.allocation,
        "power": strategy.power.plain() if strategy.power else float("nan"),
        "balanced": strategy.balanced,
        "avoid_void": strategy.avoid_void,
        "diversity": strategy.diversity or float("nan"),
        "class_share": float("nan") if strategy.class_share is None else strategy.class_share,
        **{key: _varied(trial, key, tree) for key in varied},
        "seed": trial.config.seed,
        "rounds": ending.rounds if ending else strategy.rounds,
        "stopped": bool(ending and ending.reason),
        "round": record.round,
        "step": record.step,
        "budget_pixels": record.budget_pixels,
        "spent_pixels": record.spent_pixels,
        "void_pixels": record.void_pixels,
        "labelled_share": float("nan") if record.labelled_share is None else record.labelled_share,
        "clipped_pixels": record.clipped_pixels,
        "clicks": record.clicks,
        "boundary_pixels": record.boundary_pixels,
        "annotation_s": record.annotation_s,
        "spent_share": record.spent_share,
        "miou": record.miou,
        "accuracy": record.accuracy,
        **{f"iou_{name}": float("nan") if value is None else value for name, value in record.iou.items()},
        **{f"bought_{name}": pixels for name, pixels in record.bought.items()},
        **{f"signal_{name}": value for name, value in record.signals.items()},
        **{f"loss_{name}": value for name, value in record.losses.items()},
        **{f"seconds_{phase}": value for phase, value in seconds.items()},
        **{f"speed_{name}": value for name, value in speed.items()},
    }
