"""Metrics for Prometheus through Ray: the agent of every node serves them, with the prefix `ray_`.

This package never reads them. A process that has not joined a Ray counts nothing. A killed process loses the counts of
its last seconds; the run folder has the exact numbers.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import ray
from numpy.typing import NDArray
from ray.util.metrics import Counter, Gauge

from ripu_ray.runs.event_log import Event, OnProgress, Progress
from ripu_ray.runs.record import RoundRecord
from ripu_ray.runs.selections import Selection
from ripu_ray.simulation.protocols import NoTracker, PoolSample, Scorer, ScoreRequest

FLUSH_S = 1.0
"""Interval of counting images; counting each one would cost some microseconds per image."""


@dataclass(frozen=True)
class Metric:
    """A metric with its name, description and tags in addition to `sweep`.

    Attributes:
        counts: whether it is a counter, exported with the suffix `_total`; else a gauge.
    """

    name: str
    description: str
    tags: tuple[str, ...]
    counts: bool = True

    @property
    def exported(self) -> str:
        """The name in Prometheus."""
        return f"ray_{self.name}_total" if self.counts else f"ray_{self.name}"

    def record(self, value: float, **tags: str) -> None:
        """Add `value` to a counter (0 is ignored), or set a gauge."""
        if not ray.is_initialized():
            return
        # Ray encodes tags as ASCII, and fails for other characters.
        tags = {key: text.encode("ascii", "backslashreplace").decode() for key, text in tags.items()}
        kind = Counter if self.counts else Gauge
        metric = kind(self.name, self.description, ("sweep", *self.tags))
        if isinstance(metric, Gauge):
            metric.set(value, tags)
        elif value > 0:
            metric.inc(value, tags)


IMAGES_SCORED = Metric("ripu_images_scored", "Images scored; an image that is scored twice counts twice.", ("trial",))
IMAGES_PER_SECOND = Metric(
    "ripu_images_per_second", "Images scored a second, since the current scoring began.", ("trial",), counts=False
)
PHASE_SECONDS = Metric("ripu_phase_seconds", "Seconds of each phase of the rounds committed.", ("trial", "phase"))
SPENT_PIXELS = Metric("ripu_spent_pixels", "Pixels bought in the rounds committed.", ("trial",))
ROUNDS_COMMITTED = Metric("ripu_rounds_committed", "Rounds committed; a warm-up is one.", ("trial",))
FAILURES = Metric(
    "ripu_failures",
    "What died and was replaced (scorer, training_worker, trial), and trials and warm-ups that were given_up.",
    ("trial", "kind"),
)
METRICS = (IMAGES_SCORED, IMAGES_PER_SECOND, PHASE_SECONDS, SPENT_PIXELS, ROUNDS_COMMITTED, FAILURES)

_KINDS = {Event.SCORER_DIED: "scorer", Event.WORKER_DIED: "training_worker", Event.TRIAL_DIED: "trial"}
"""Event -> the tag `kind` of `FAILURES`."""


class RoundMetrics(NoTracker):
    """A `Tracker` that counts rounds, their seconds and their pixels; the driver, which sees all failures, counts them.

    Args:
        sweep: name of the sweep.
        name: id of the trial, or key of the warm-up.
        first_round: earlier rounds are committed and counted already.
    """

    def __init__(self, sweep: str, name: str, first_round: int) -> None:
        self._tags = {"sweep": sweep, "trial": name}
        self._first_round, self._spent_pixels = first_round, 0

    def log_round(self, record: RoundRecord, seconds: Mapping[str, float]) -> None:
        """See `Tracker`."""
        bought, self._spent_pixels = record.spent_pixels - self._spent_pixels, record.spent_pixels
        if record.round < self._first_round:
            return
        ROUNDS_COMMITTED.record(1, **self._tags)
        SPENT_PIXELS.record(bought, **self._tags)
        for phase, spent_s in seconds.items():
            PHASE_SECONDS.record(spent_s, phase=phase, **self._tags)


class CountedScorer:
    """A `Scorer` that forwards every call and counts the images scored."""

    def __init__(self, scorer: Scorer, sweep: str, trial_id: str) -> None:
        self._scorer, self._tags = scorer, {"sweep": sweep, "trial": trial_id}

    def score(self, weights: Path, round_index: int, requests: Iterable[ScoreRequest]) -> Iterator[Selection]:
        """See `Scorer`."""
        start = flushed = time.perf_counter()
        done = counted = 0
        try:
            for selection in self._scorer.score(weights, round_index, requests):
                done += 1
                if time.perf_counter() - flushed >= FLUSH_S:
                    self._count(done - counted, done, start)
                    flushed, counted = time.perf_counter(), done
                yield selection
        finally:
            self._count(done - counted, done, start)

    def acquire(self) -> None:
        """See `Scorer`."""
        self._scorer.acquire()

    def sample(self, weights: Path, requests: Iterable[ScoreRequest]) -> Iterator[PoolSample]:
        """See `Scorer`."""
        return self._scorer.sample(weights, requests)

    def count_voids(self, weights: Path, requests: Iterable[ScoreRequest]) -> Iterator[NDArray[np.int64]]:
        """See `Scorer`."""
        return self._scorer.count_voids(weights, requests)

    def evaluate(self, weights: Path) -> NDArray[np.int64]:
        """See `Scorer`."""
        return self._scorer.evaluate(weights)

    def release(self) -> None:
        """See `Scorer`."""
        self._scorer.release()

    def close(self) -> None:
        """See `Scorer`."""
        self._scorer.close()

    def _count(self, fresh: int, done: int, start: float) -> None:
        IMAGES_SCORED.record(fresh, **self._tags)
        IMAGES_PER_SECOND.record(done / (time.perf_counter() - start), **self._tags)


class FailureMetrics:
    """Counts failures in the reports of a sweep, and forwards the reports to `on_progress`."""

    def __init__(self, sweep: str, on_progress: OnProgress) -> None:
        self._sweep, self._on_progress = sweep, on_progress

    def __call__(self, progress: Progress) -> None:
        """Count and forward one report."""
        if kind := _KINDS.get(progress.event):
            FAILURES.record(1, sweep=self._sweep, trial=progress.trial_id, kind=kind)
        self._on_progress(progress)

    def give_up(self, names: Iterable[str]) -> None:
        """Count trials or warm-ups that failed finally."""
        for name in names:
            FAILURES.record(1, sweep=self._sweep, trial=name, kind="given_up")
