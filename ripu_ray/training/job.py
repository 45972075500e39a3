"""The input of one phase of training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import Config
from ripu_ray.runs.interrupt import StopRequest

OnStep = Callable[[int], None]
"""Called with the number of steps that are done."""


@dataclass(frozen=True)
class TrainingJob:
    """Steps to take.

    Attributes:
        config: of the trial.
        first_step: index of the first step, counted from the start of the warm-up.
        num_steps: how many.
        start: checkpoint to go on from; None for a fresh network.
        output: where the checkpoint after the last step appears.
        phase: "warm-up" or "round N", for messages.
        annotated: image id -> (n, 2) bought centres; None trains on the source alone.
        purchase_sha256: digest of the round's purchase; with `start`, it stands for all that is annotated.
        stop: looked at after each step; None: never stop.
    """

    config: Config
    first_step: int
    num_steps: int
    start: Path | None
    output: Path
    phase: str
    annotated: Mapping[str, NDArray[np.int32]] | None = field(default=None, repr=False)
    purchase_sha256: str = ""
    stop: StopRequest | None = None

    @property
    def partial(self) -> Path:
        """Where the state in the middle of the phase is kept."""
        return self.output.with_name("partial.pt")
