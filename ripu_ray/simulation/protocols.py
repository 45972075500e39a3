"""The interfaces of the loop: protocols of scorer, fine-tuner and tracker, and their data classes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ripu_ray.runs.record import Losses, RoundRecord
from ripu_ray.runs.selections import Selection
from ripu_ray.training.job import Measurement, OnMeasured, OnStep, TrainingJob, ignore_measurement


@dataclass(frozen=True)
class Knowledge:
    """Statistics of the purchases of earlier rounds over the pool; None: not needed by the strategy, or no purchase.

    Attributes:
        bought_C: (C,) labelled pixels of each class.
        void_CD: (C, D) float32 share of void pixels by predicted class and distance to an outline (`core.voids`).
    """

    bought_C: tuple[int, ...] | None = None
    void_CD: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class ScoreRequest:
    """One image to score.

    Attributes:
        image_id: in the pool.
        centres_N2: (n, 2) int32, bought in earlier rounds.
        prefix_pixels: None: select within the image's own budget. Else: select the best regions in order until they
            have this number of pixels or none is left.
        label: None: rank by the score. Else: by the probability of this class times the score; with `prefix_pixels`.
        known: from earlier rounds.
    """

    image_id: str
    centres_N2: NDArray[np.int32]
    prefix_pixels: int | None = None
    label: int | None = None
    known: Knowledge = Knowledge()


@dataclass(frozen=True)
class PoolSample:
    """Predictions on a fixed sample of the pixels of one image.

    Attributes:
        image_id: in the pool.
        predicted_N: (N,) uint8 classes.
        entropy: sum over the pixels that are not bought of H(p) / log C.
        num_unbought: number of these pixels.
    """

    image_id: str
    predicted_N: NDArray[np.uint8]
    entropy: float
    num_unbought: int


class Scorer(Protocol):
    """Scores and evaluates images with given weights. The results depend on the arguments alone."""

    def acquire(self) -> None:
        """Reserve the cores and GPUs for scoring, all or none, until `release`."""

    def score(self, weights: Path, round_index: int, requests: Iterable[ScoreRequest]) -> Iterator[Selection]:
        """Select regions in every requested image; yields the selections in any order."""

    def sample(self, weights: Path, requests: Iterable[ScoreRequest]) -> Iterator[PoolSample]:
        """Predict a fixed sample of pixels in every requested image; yields the samples in any order."""

    def count_voids(self, weights: Path, requests: Iterable[ScoreRequest]) -> Iterator[NDArray[np.int64]]:
        """Count pixels and void pixels of the regions bought in every requested image: see `core.voids.count_voids`."""

    def evaluate(self, weights: Path) -> NDArray[np.int64]:
        """Confusion counts (C, C) over all validation images; rows are true classes."""

    def release(self) -> None:
        """Release the reserved cores and GPUs for the next phase."""

    def close(self) -> None:
        """Release all resources."""


class FineTuner(Protocol):
    """Trains the network."""

    def fit(self, job: TrainingJob, on_step: OnStep, on_measured: OnMeasured = ignore_measurement) -> Losses:
        """Train the job's steps, write its checkpoint, and return the mean losses."""


class Tracker(Protocol):
    """Logs one trial, or one warm-up."""

    def log_training(self, round_index: int, measured: Measurement) -> None:
        """Log a measurement of the training of a round; one that was logged before is ignored."""

    def log_line(self, line: str) -> None:
        """Log a line of the event log."""

    def log_round(self, record: RoundRecord, seconds: Mapping[str, float]) -> None:
        """Log one committed round and the seconds of its phases; a round that was logged before is ignored."""

    def close(self, failure: str | None = None) -> None:
        """End the log; `failure` is the cause if the trial failed."""


class NoTracker:
    """A `Tracker` that logs nothing; trackers that log a part extend it."""

    def log_training(self, round_index: int, measured: Measurement) -> None:
        """Do nothing."""

    def log_line(self, line: str) -> None:
        """Do nothing."""

    def log_round(self, record: RoundRecord, seconds: Mapping[str, float]) -> None:
        """Do nothing."""

    def close(self, failure: str | None = None) -> None:
        """Do nothing."""
