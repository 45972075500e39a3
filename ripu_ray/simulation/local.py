"""Scorer and FineTuner in the process at hand: no Ray, the same results."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from ripu_ray.config import Config
from ripu_ray.data.loading import open_domains
from ripu_ray.simulation.protocols import Evaluation, Losses, OnStep, ScoreRequest, TrainingJob
from ripu_ray.simulation.scoring import ImageScorer
from ripu_ray.simulation.selections import Selection
from ripu_ray.simulation.training import train


def local_device(config: Config) -> str:
    """Where an in-process network runs."""
    return "cuda" if config.cluster.gpu else "cpu"


class LocalScorer:
    """One `ImageScorer`, one image after the other."""

    def __init__(self, config: Config) -> None:
        self._scorer = ImageScorer(config, local_device(config))

    def acquire(self) -> None:
        """Nothing to wait for."""

    def score(self, weights: Path, round_index: int, requests: Iterable[ScoreRequest]) -> Iterator[Selection]:
        """See `Scorer`."""
        self._scorer.load(weights)
        for request in requests:
            yield self._scorer.score(round_index, request)

    def evaluate(self, weights: Path) -> Evaluation:
        """See `Scorer`."""
        self._scorer.load(weights)
        return Evaluation(self._scorer.evaluate(self._scorer.validation_ids))

    def release(self) -> None:
        """Nothing is held that anybody waits for."""

    def close(self) -> None:
        """Nothing to end."""


class LocalFineTuner:
    """Training in this process."""

    def __init__(self, config: Config) -> None:
        self._domains = open_domains(config.data, not config.training.source_free)
        self._device = local_device(config)

    def fit(self, job: TrainingJob, on_step: OnStep) -> Losses:
        """See `FineTuner`."""
        return train(job, self._domains, self._device, on_step)
