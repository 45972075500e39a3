"""Scorer and FineTuner in this process, without Ray; the results are the same as with Ray."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from ripu_ray.config import Config, override
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import ConfigError
from ripu_ray.runs.record import Losses
from ripu_ray.runs.selections import Selection
from ripu_ray.simulation.protocols import PoolSample, ScoreRequest
from ripu_ray.simulation.scoring import ImageScorer
from ripu_ray.training.heartbeat import Heartbeat
from ripu_ray.training.job import OnMeasured, OnStep, TrainingJob, ignore_measurement
from ripu_ray.training.phase import train

T = TypeVar("T")


def local_device(config: Config) -> str:
    """Device of a network in this process. Raises ConfigError: a GPU is configured, and there is none."""
    if config.cluster.gpu and not torch.cuda.is_available():
        raise ConfigError(f"cluster.gpu: torch {torch.__version__} finds no GPU on this machine")
    return "cuda" if config.cluster.gpu else "cpu"


class LocalScorer:
    """A `Scorer` that processes one image after the other.

    Args:
        config: of the trial.
        heartbeat: receives the current image, and those that decoders read.
    """

    def __init__(self, config: Config, heartbeat: Heartbeat | None = None) -> None:
        device = local_device(config)
        here = {"CPU": len(os.sched_getaffinity(0)), "GPU": torch.cuda.device_count()}
        decoders = config.cluster.num_decoders([here])
        watch = heartbeat.watch if heartbeat else lambda domains: domains
        self._scorer = ImageScorer(override(config, {"cluster.decoders": decoders}), device, watch)
        self._heartbeat = heartbeat

    def acquire(self) -> None:
        """Do nothing."""

    def score(self, weights: Path, round_index: int, requests: Iterable[ScoreRequest]) -> Iterator[Selection]:
        """See `Scorer`."""
        return self._each(weights, requests, partial(self._scorer.score, round_index))

    def sample(self, weights: Path, requests: Iterable[ScoreRequest]) -> Iterator[PoolSample]:
        """See `Scorer`."""
        return self._each(weights, requests, self._scorer.sample, labels=False)

    def count_voids(self, weights: Path, requests: Iterable[ScoreRequest]) -> Iterator[NDArray[np.int64]]:
        """See `Scorer`."""
        return self._each(weights, requests, self._scorer.count_voids)

    def evaluate(self, weights: Path) -> NDArray[np.int64]:
        """See `Scorer`."""
        self._scorer.load(weights)
        total = self._scorer.evaluate(())
        images = self._scorer.validation
        for image_id in images.ahead(images.image_ids, str):
            with self._noted(image_id):
                total += self._scorer.evaluate([image_id])
        return total

    def release(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def _each(
        self, weights: Path, requests: Iterable[ScoreRequest], process: Callable[[ScoreRequest], T], labels: bool = True
    ) -> Iterator[T]:
        """The result of each request; `labels`: whether the labels of the images are read, too."""
        self._scorer.load(weights)
        for request in self._scorer.pool.ahead(requests, attrgetter("image_id"), labels):
            with self._noted(request.image_id):
                result = process(request)
            yield result

    def _noted(self, image_id: str) -> AbstractContextManager[None]:
        return self._heartbeat.at(image_id) if self._heartbeat else nullcontext()


class LocalFineTuner:
    """A `FineTuner` that trains in this process.

    Args:
        config: of the trial.
        heartbeat: receives the current images.
    """

    def __init__(self, config: Config, heartbeat: Heartbeat | None = None) -> None:
        self._heartbeat = heartbeat
        self._domains = open_domains(config.data, config.opens_source)
        self._device = local_device(config)

    def fit(self, job: TrainingJob, on_step: OnStep, on_measured: OnMeasured = ignore_measurement) -> Losses:
        """See `FineTuner`."""
        heartbeat = self._heartbeat
        if not heartbeat:
            return train(job, self._domains, self._device, on_step, on_measured)
        watched = heartbeat.watch(self._domains)
        return train(job, watched, self._device, on_step, on_measured, heartbeat.compute)
