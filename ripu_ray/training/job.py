"""The input of one phase of training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import Config
from ripu_ray.runs.interrupt import StopRequest

if TYPE_CHECKING:
    from ripu_ray.runs.answers import AnswersPin

OnStep = Callable[[int], None]
"""Called with the number of completed steps."""


@dataclass(frozen=True)
class Measurement:
    """What was measured over the steps since the last measurement.

    Attributes:
        step: completed steps since the start of the warm-up.
        numbers: `loss/<term>`, means over these steps; `learning_rate` of the last step, before the factors of groups;
            `steps_per_s`, `images_per_s`; `data_wait_share` of the time, in [0, 1], of worker 0; on a GPU
            `gpu_memory_gib`, the largest memory of tensors in this phase so far, and `peak_share`, the speed as a share
            of `images_at_peak`, if the network's operations can be counted.
    """

    step: int
    numbers: Mapping[str, float]


SPEED = ("steps_per_s", "images_per_s", "data_wait_share", "gpu_memory_gib", "peak_share")
"""Those `Measurement.numbers` that say how fast training is."""
OnMeasured = Callable[[Measurement], None]


def ignore_measurement(measured: Measurement) -> None:
    """An `OnMeasured` that drops measurements."""


@dataclass(frozen=True)
class TrainingJob:
    """The input of one phase.

    Attributes:
        config: of the trial.
        first_step: index of the first step, counted from the start of the warm-up.
        num_steps: number of steps.
        start: checkpoint to start from; None for a new network.
        output: path of the checkpoint after the last step.
        phase: "warm-up" or "round N", for messages.
        annotated: image id -> (n, 2) bought centres; None trains on the source alone.
        purchase_sha256: digest of the round's purchase; with `start`, it identifies all annotations.
        answers: with people as the oracle, the answers to train on; they replace the labels of the pool.
        stop: checked after each step; None: never stop.
        named: image id -> (n, C) bool, classes named in each bought region; None: the answers are masks.
    """

    config: Config
    first_step: int
    num_steps: int
    start: Path | None
    output: Path
    phase: str
    annotated: Mapping[str, NDArray[np.int32]] | None = field(default=None, repr=False)
    purchase_sha256: str = ""
    answers: "AnswersPin | None" = None
    stop: StopRequest | None = None
    named: Mapping[str, NDArray[np.bool_]] | None = field(default=None, repr=False)

    @property
    def teaches(self) -> bool:
        """Whether a teacher takes part. In a job without a target, such as the warm-up, it does not."""
        return self.config.training.teacher == "ema" and self.annotated is not None

    @property
    def partial(self) -> Path:
        """Path of the mid-phase checkpoint: every `training.checkpoint_every` steps, and when a stop is requested."""
        return self.output.with_name("partial.pt")
