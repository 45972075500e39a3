"""Weights & Biases: one run per trial, grouped by sweep, drawn over the spent share."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ripu_ray.config import Config, to_tree
from ripu_ray.simulation.protocols import RoundRecord
from ripu_ray.tracking.mode import resolve_mode

AXIS = "spent_share"
"""The x-axis of every panel: strategies are compared at equal cost."""
_INIT_TIMEOUT_S = 15.0


class WandbTracker:
    """See `Tracker`.

    Args:
        config: of the trial; `tracking.wandb` says offline or online.
        sweep: name of the sweep, the run's group.
        trial_id: the run's name; with the sweep, its id.
        folder: where W&B keeps its files, absolute.
    """

    def __init__(self, config: Config, sweep: str, trial_id: str, folder: Path) -> None:
        # Imported here: it takes 0.7 s, and trials without W&B do not need it.
        import wandb

        folder.mkdir(parents=True, exist_ok=True)

        def start(mode: str) -> Any:
            return wandb.init(
                project=config.tracking.project,
                entity=config.tracking.entity,
                group=sweep,
                name=trial_id,
                id=re.sub(r"[^A-Za-z0-9_.-]", "-", f"{sweep}-{trial_id}"),
                resume="allow",
                config=to_tree(config),
                dir=str(folder.absolute()),
                mode=mode,  # type: ignore[arg-type]
                settings=wandb.Settings(silent=True, console="off", init_timeout=_INIT_TIMEOUT_S),
            )

        try:
            self._run = start(resolve_mode(config.tracking))
        except wandb.errors.CommError:
            self._run = start("offline")
        self._run.define_metric(AXIS)
        self._run.define_metric("*", step_metric=AXIS)

    def log_round(self, record: RoundRecord, seconds: Mapping[str, float]) -> None:
        """Log one point of every curve."""
        # With a step of its own, W&B passes over a round that a resumed run logs again.
        self._run.log(flatten(record, seconds), step=record.round + 1)

    def close(self, failure: str | None = None) -> None:
        """Finish the run; a failed trial is marked as failed."""
        if failure:
            self._run.summary["failure"] = failure
        self._run.finish(exit_code=1 if failure else 0)


def flatten(record: RoundRecord, seconds: Mapping[str, float]) -> dict[str, float]:
    """A record as W&B's keys: iou/<class>, loss/<name>, seconds/<phase>, and the rest by their own names."""
    plain = ("round", "step", "spent_pixels", "void_pixels", "clipped_pixels", "clicks", AXIS, "miou", "accuracy")
    return {
        **{name: getattr(record, name) for name in plain},
        **{f"iou/{name}": value for name, value in record.iou.items() if value is not None},
        **{f"loss/{name}": value for name, value in record.losses.items()},
        **{f"seconds/{name}": value for name, value in seconds.items()},
    }
