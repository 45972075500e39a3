"""The seams of the loop: what it asks of a scorer, a fine-tuner and a tracker, and the records that pass through."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ripu_ray.runs.record import Losses, RoundRecord
from ripu_ray.runs.selections import Selection
from ripu_ray.training.job import OnStep, TrainingJob


@dataclass(frozen=True)
class ScoreRequest:
    """One image to score.

    Attributes:
        image_id: in the pool.
        centres_N2: (n, 2) int32, bought in earlier rounds.
        prefix_pixels: None: what the image's own budget allows. Else: the best regions in order, until they come to so
            many pixels or nothing is left.
    """

    image_id: str
    centres_N2: NDArray[np.int32]
    prefix_pixels: int | None = None


@dataclass(frozen=True)
class Evaluation:
    """Confusion counts over the validation images: (C, C) int64, rows are the truth."""

    confusion_CC: NDArray[np.int64]


class Scorer(Protocol):
    """Looks at images with the network's weights; pure, so any request may be repeated."""

    def acquire(self) -> None:
        """Take the cores and GPUs that scoring needs, all or nothing; kept until `release`."""

    def score(self, weights: Path, round_index: int, requests: Iterable[ScoreRequest]) -> Iterator[Selection]:
        """Select regions in every requested image; the selections come in any order."""

    def evaluate(self, weights: Path) -> Evaluation:
        """Compare predictions with labels over all validation images."""

    def release(self) -> None:
        """Let go of the cores and GPUs that the next phase may want."""

    def close(self) -> None:
        """Let go of everything."""


class FineTuner(Protocol):
    """Trains the network."""

    def fit(self, job: TrainingJob, on_step: OnStep) -> Losses:
        """Take the job's steps, write its checkpoint, and return the mean losses."""


class Tracker(Protocol):
    """Takes the records of one trial somewhere."""

    def log_round(self, record: RoundRecord, seconds: Mapping[str, float]) -> None:
        """Log one committed round and the seconds of its phases; a round that was logged before is no news."""

    def close(self, failure: str | None = None) -> None:
        """End the trial; `failure` says why, if it failed."""
