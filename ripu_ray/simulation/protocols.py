"""The seams of the loop: what it asks of a scorer, a fine-tuner and a tracker, and the records that pass through."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import Config
from ripu_ray.simulation.selections import Selection
from ripu_ray.simulation.stopping import StopRequest


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

    def count_classes(self, requests: Iterable[ScoreRequest]) -> NDArray[np.int64]:
        """How many pixels of each class (C,) are labelled in what was bought in earlier rounds of these images."""

    def release(self) -> None:
        """Let go of the cores and GPUs that the next phase may want."""

    def close(self) -> None:
        """Let go of everything."""


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


Losses = dict[str, float]
"""Mean of each loss over the steps of a phase, and "total"."""

OnStep = Callable[[int], None]
"""Called with the number of steps that are done."""


class FineTuner(Protocol):
    """Trains the network."""

    def fit(self, job: TrainingJob, on_step: OnStep) -> Losses:
        """Take the job's steps, write its checkpoint, and return the mean losses."""


@dataclass(frozen=True)
class RoundRecord:
    """What a committed round says. Equal runs give equal records, so it holds no times.

    Attributes:
        round: 0-based; -1 is the source-only warm-up, before anything is bought.
        step: optimiser updates so far.
        budget_pixels: pixels that may be bought over all rounds in the pool, rounded down by image; 0 in the warm-up.
        spent_pixels, void_pixels, clipped_pixels, clicks: so far, over the pool.
        spent_share: spent_pixels over the pool's pixels, in [0, 1].
        boundary_pixels: length of the outlines inside what was bought so far; 0 in rounds bought before it was counted.
        annotation_s: seconds of work so far, by `oracle.cost`.
        bought: class name -> labelled pixels bought so far, by the true labels; empty in older records.
        miou, accuracy: on the validation split, in [0, 1].
        iou: class name -> IoU in [0, 1]; None where the class is neither there nor predicted.
        losses: means over the round's steps.
        purchase_sha256, weights_sha256: digests of the round's files; empty where there is none.
    """

    round: int
    step: int
    budget_pixels: int
    spent_pixels: int
    void_pixels: int
    clipped_pixels: int
    clicks: int
    spent_share: float
    miou: float
    accuracy: float
    iou: dict[str, float | None]
    losses: Losses
    purchase_sha256: str = ""
    weights_sha256: str = ""
    boundary_pixels: int = 0
    annotation_s: float = 0.0
    bought: dict[str, int] = field(default_factory=dict)


class Tracker(Protocol):
    """Takes the records of one trial somewhere."""

    def log_round(self, record: RoundRecord, seconds: Mapping[str, float]) -> None:
        """Log one committed round and the seconds of its phases; a round that was logged before is no news."""

    def close(self, failure: str | None = None) -> None:
        """End the trial; `failure` says why, if it failed."""


@dataclass(frozen=True)
class Progress:
    """How far one trial, or warm-up, is; `note` is a line for the person at the terminal, of what should be known."""

    trial_id: str
    phase: str
    round: int
    step: int
    miou: tuple[float, ...] = ()
    note: str = ""


OnProgress = Callable[[Progress], None]

Warn = Callable[[str], None]
"""Says in one line what went wrong and what is done about it."""


def unheard(_: str) -> None:
    """A `Warn` where nobody listens."""
