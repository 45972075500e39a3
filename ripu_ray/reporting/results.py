"""The results of a sweep as one tidy table: a row for each trial and round."""

from typing import Any

import pandas as pd

from ripu_ray.files import replace_text
from ripu_ray.simulation.grid import Trial, warmup_key
from ripu_ray.simulation.protocols import RoundRecord
from ripu_ray.simulation.run_folder import RunFolder, StageFolder


def collect(run: RunFolder) -> pd.DataFrame:
    """Read what is committed of every trial.

    Returns:
        One row per trial and round, in the order of the grid; round -1 is the shared warm-up. miou, accuracy and
        iou_<class> in [0, 1]; pixels, clicks and spent_share are totals so far over the pool; seconds_<phase> and
        loss_<name> are of the round.
    """
    rows = []
    for trial_id, trial in run.trials.items():
        folder = run.trial(trial_id)
        stages = [run.warmup(warmup_key(trial.config)), *map(folder.stage, range(folder.num_committed()))]
        rows += [_row(trial, stage) for stage in stages if stage.is_committed()]
    return pd.DataFrame(rows)


def write_csv(run: RunFolder, results: pd.DataFrame) -> None:
    """Write `results.csv` into the run folder."""
    replace_text(run.path / "results.csv", results.to_csv(index=False))


def _row(trial: Trial, stage: StageFolder) -> dict[str, Any]:
    record: RoundRecord = stage.read()
    strategy = trial.config.strategy
    return {
        "trial": trial.trial_id,
        "mode": strategy.mode,
        "window": strategy.window,
        "acquisition": strategy.acquisition,
        "budget": str(strategy.budget),
        "seed": trial.config.seed,
        "round": record.round,
        "step": record.step,
        "budget_pixels": record.budget_pixels,
        "spent_pixels": record.spent_pixels,
        "void_pixels": record.void_pixels,
        "clipped_pixels": record.clipped_pixels,
        "clicks": record.clicks,
        "spent_share": record.spent_share,
        "miou": record.miou,
        "accuracy": record.accuracy,
        **{f"iou_{name}": float("nan") if value is None else value for name, value in record.iou.items()},
        **{f"loss_{name}": value for name, value in record.losses.items()},
        **{f"seconds_{phase}": value for phase, value in stage.seconds().items()},
    }
