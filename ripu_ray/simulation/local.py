"""Scorer and FineTuner in the process at hand: no Ray, the same results."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from ripu_ray.config import Config
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import ConfigError
from ripu_ray.runs.record import Losses
from ripu_ray.runs.selections import Selection
from ripu_ray.simulation.protocols import Evaluation, ScoreRequest
from ripu_ray.simulation.scoring import ImageScorer
from ripu_ray.training.heartbeat import Trail
from ripu_ray.training.job import OnStep, TrainingJob
from ripu_ray.training.phase import train


def local_device(config: Config) -> str:
    """Where an in-process network runs. Raises ConfigError: a GPU is asked for, and there is none."""
    if config.cluster.gpu and not torch.cuda.is_available():
        raise ConfigError(f"cluster.gpu: torch {torch.__version__} finds no GPU on this machine")
    return "cuda" if config.cluster.gpu else "cpu"


class LocalScorer:
    """One `ImageScorer`, one image after the other.

    Args:
        config: of the trial.
        trail: where to write which image it is at.
    """

    def __init__(self, config: Config, trail: Trail | None = None) -> None:
        self._scorer = ImageScorer(config, local_device(config))
        self._trail = trail

    def acquire(self) -> None:
        """Nothing to wait for."""

    def score(self, weights: Path, round_index: int, requests: Iterable[ScoreRequest]) -> Iterator[Selection]:
        """See `Scorer`."""
        self._scorer.load(weights)
        for request in requests:
            with self._noted(request.image_id):
                selection = self._scorer.score(round_index, request)
            yield selection

    def evaluate(self, weights: Path) -> Evaluation:
        """See `Scorer`."""
        self._scorer.load(weights)
        total = self._scorer.evaluate(())
        for image_id in self._scorer.validation_ids:
            with self._noted(image_id):
                total += self._scorer.evaluate([image_id])
        return Evaluation(total)

    def release(self) -> None:
        """Nothing is held that anybody waits for."""

    def close(self) -> None:
        """Nothing to end."""

    def _noted(self, image_id: str) -> AbstractContextManager[None]:
        return self._trail.at(image_id) if self._trail else nullcontext()


class LocalFineTuner:
    """Training in this process.

    Args:
        config: of the trial.
        trail: where to write which images it is at.
    """

    def __init__(self, config: Config, trail: Trail | None = None) -> None:
        self._trail = trail
        self._domains = open_domains(config.data, config.opens_source)
        self._device = local_device(config)

    def fit(self, job: TrainingJob, on_step: OnStep) -> Losses:
        """See `FineTuner`."""
        if not self._trail:
            return train(job, self._domains, self._device, on_step)
        return train(job, self._trail.watch(self._domains), self._device, on_step, wrap=self._trail.note_steps)
