"""The scorers: a pool of Ray actors, each an `ImageScorer`.

Weights are sent once per node and version; centres are returned, packed by batch. Answers arrive in any order. The
request of a dead actor is sent again: scoring is pure, so nothing is bought twice.

With decoders, an actor reads the images of its next batch while it scores those of this one.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray

from ripu_ray.config import Config, override
from ripu_ray.data.loading import open_domains
from ripu_ray.distributed.actor_pool import IN_FLIGHT, Item, ScorerPool
from ripu_ray.distributed.capacity import num_fitting, num_scorers, process_gpus, scorer_cpus
from ripu_ray.distributed.cluster import alive_nodes, available_resources, this_node
from ripu_ray.runs.event_log import Warn, ignore_warning
from ripu_ray.runs.selections import PackedSelections, Selection
from ripu_ray.simulation.protocols import PoolSample, ScoreRequest
from ripu_ray.simulation.scoring import ImageScorer
from ripu_ray.training.checkpoint import network_state

SETTLE_S = 3.0
"""Time within which the resources of processes that have just ended become free."""

Weights = tuple[str, list[ray.ObjectRef[Any]]]
"""(version, [reference to the state dict]); the list keeps Ray from fetching it at every call."""

_spares: dict[Any, list[Any]] = {}
"""Running actors of trials that have ended in this process, by class and resources: starting one takes seconds."""


class ScoringActor:
    """An `ImageScorer` that fetches the weights if their version changes. Its methods may run in several threads."""

    def __init__(self, config: Config, device: str) -> None:
        self._config, self._device, self._version = config, device, ""
        self._scoring = threading.Lock()

    def renew(self, config: Config) -> str:
        """Take the configuration of another trial; returns what `ready` returns."""
        self._config, self._version = config, ""
        return self.ready()

    def ready(self) -> str:
        """Build the scorer and return the node. Called first; Ray would hide errors that `__init__` raises."""
        self._scorer = ImageScorer(self._config, self._device)
        return this_node()

    def score(self, weights: Weights, round_index: int, requests: list[ScoreRequest]) -> PackedSelections:
        """Select regions in each image."""
        self._scorer.pool.expect([request.image_id for request in requests])
        with self._using(weights) as scorer:
            return PackedSelections.pack([scorer.score(round_index, request) for request in requests])

    def sample(self, weights: Weights, requests: list[ScoreRequest]) -> list[PoolSample]:
        """Predict a sample of pixels in each image."""
        self._scorer.pool.expect([request.image_id for request in requests], labels=False)
        with self._using(weights) as scorer:
            return [scorer.sample(request) for request in requests]

    def count_voids(self, weights: Weights, requests: list[ScoreRequest]) -> NDArray[np.int64]:
        """Count pixels and void pixels over the regions bought in these images."""
        self._scorer.pool.expect([request.image_id for request in requests])
        with self._using(weights) as scorer:
            counts: NDArray[np.int64] = np.stack([scorer.count_voids(request) for request in requests]).sum(axis=0)
            return counts

    def evaluate(self, weights: Weights, image_ids: list[str]) -> NDArray[np.int64]:
        """Confusion counts over validation images."""
        self._scorer.validation.expect(image_ids)
        with self._using(weights) as scorer:
            return scorer.evaluate(image_ids)

    @contextmanager
    def _using(self, weights: Weights) -> Iterator[ImageScorer]:
        """The scorer with these weights, for one call at a time: those of the next one are read meanwhile."""
        version, (reference,) = weights
        with self._scoring:
            if version != self._version:
                # torch.tensor copies: Ray returns a read-only view of shared memory.
                state = {name: torch.tensor(value) for name, value in ray.get(reference).items()}
                self._scorer.load_state(state, Path(version.rpartition("@")[0]))
                self._version = version
            yield self._scorer


def end_spares(but: Any = None) -> None:
    """Kill the actors that ended trials have left in this process, except those of the kind `but`."""
    for kind in set(_spares) - {but}:
        for actor in _spares.pop(kind):
            ray.kill(actor)


class RayScorer:
    """`Scorer` over a pool of actors, which `acquire` or the first call starts.

    Args:
        config: configuration of the trial.
        keep: whether `release` keeps the actors, because no training worker needs their cores.
        share: upper limit of `cluster.scorers: auto`.
        warn: receives warnings about deaths, retries and long waits.
        hand_over: whether `close` leaves the actors to the next RayScorer of this process with the same `hand_over`.
            They end with this process.
    """

    def __init__(
        self,
        config: Config,
        keep: bool,
        share: int = 1,
        warn: Warn = ignore_warning,
        hand_over: bool = False,
    ) -> None:
        decoders = config.cluster.num_decoders(alive_nodes())
        self._config, self._keep, self._share = override(config, {"cluster.decoders": decoders}), keep, share
        self._hand_over = hand_over and keep
        end_spares(self._kind() if self._hand_over else None)
        self._validation_ids = open_domains(config.data).validation.image_ids
        self._warn, self._reported = warn, 0
        self._pool = ScorerPool(self._start, self._config.cluster, warn)
        self._weights: Weights | None = None
        wanted = self._wanted()
        if keep and num_fitting(self._config.cluster, [available_resources()], wanted) == wanted:
            self._pool.begin(wanted)  # they start while this process imports and trains

    def acquire(self) -> None:
        """See `Scorer`. Raises ClusterError if the scorers do not start in time."""
        cluster = self._config.cluster
        asked = self._free_share() if cluster.scorers == "auto" else cluster.scorers
        fits = num_fitting(cluster, alive_nodes(), asked)
        if fits < asked and fits != self._reported:
            self._reported = fits
            self._warn(
                f"{asked} scorers are requested, the remaining nodes can hold {fits}: the trial continues with them"
            )
        self._pool.acquire(fits)

    def score(self, weights: Path, round_index: int, requests: Iterable[ScoreRequest]) -> Iterator[Selection]:
        """See `Scorer`. Raises ClusterError if more than `cluster.max_failures` actors died with an image."""
        for batch, answer in self._spread(
            weights, requests, lambda actor, packed, batch: actor.score.remote(packed, round_index, batch)
        ):
            yield from answer.unpack([request.image_id for request in batch])

    def sample(self, weights: Path, requests: Iterable[ScoreRequest]) -> Iterator[PoolSample]:
        """See `Scorer`. Raises ClusterError as `score` does."""
        for _, samples in self._spread(weights, requests, lambda actor, *sent: actor.sample.remote(*sent)):
            yield from samples

    def count_voids(self, weights: Path, requests: Iterable[ScoreRequest]) -> Iterator[NDArray[np.int64]]:
        """See `Scorer`; adds up each batch. Raises ClusterError as `score` does."""
        for _, counts in self._spread(weights, requests, lambda actor, *sent: actor.count_voids.remote(*sent)):
            yield counts

    def evaluate(self, weights: Path) -> NDArray[np.int64]:
        """See `Scorer`. Raises ClusterError as `score` does."""
        answers = self._spread(weights, self._validation_ids, lambda actor, *sent: actor.evaluate.remote(*sent), str)
        return sum((counts for _, counts in answers), start=np.zeros((), np.int64))

    def release(self) -> None:
        """See `Scorer`."""
        if not self._keep:
            self.close()

    def close(self) -> None:
        """Kill the actors, or leave them to the next scorer."""
        if self._hand_over and self._pool.size == self._wanted():
            _spares.setdefault(self._kind(), []).extend(self._pool.leave())
        self._pool.close()

    def _spread(
        self,
        weights: Path,
        items: Iterable[Item],
        call: Callable[[Any, Weights, list[Item]], ray.ObjectRef[Any]],
        name: Callable[[Item], str] = attrgetter("image_id"),
    ) -> Iterator[tuple[list[Item], Any]]:
        """See `ScorerPool.spread`; `call` gets the weights, too."""
        packed = self._put(weights)
        self.acquire()
        return self._pool.spread(items, lambda actor, batch: call(actor, packed, batch), name)

    def _wanted(self) -> int:
        scorers = self._config.cluster.scorers
        return self._share if scorers == "auto" else scorers

    def _kind(self) -> Any:
        cluster = self._config.cluster
        return ScoringActor, self._wanted(), cluster.threads, cluster.decoders, cluster.gpu, process_gpus(cluster)

    def _free_share(self) -> int:
        """The share, or the free part of it on a cluster with other users."""
        deadline = time.monotonic() + SETTLE_S
        if self._hand_over and _spares.get(self._kind()):
            return self._share
        while (free := num_scorers(self._config.cluster, [available_resources()], 1)) < self._share:
            if time.monotonic() > deadline:
                return free
            time.sleep(0.1)
        return self._share

    def _put(self, weights: Path) -> Weights:
        version = f"{weights}@{weights.stat().st_mtime_ns}"
        if self._weights is None or self._weights[0] != version:
            state = {name: tensor.numpy() for name, tensor in network_state(weights).items()}
            self._weights = version, [ray.put(state)]
        return self._weights

    def _start(self) -> tuple[Any, ray.ObjectRef[Any]]:
        cluster = self._config.cluster
        if self._hand_over and (spares := _spares.get(self._kind())):
            actor = spares.pop()
            return actor, actor.renew.remote(self._config)
        # SPREAD also frees the actors from the placement group of the trial that starts them.
        kind: Any = ray.remote(ScoringActor).options(
            num_cpus=scorer_cpus(cluster),
            num_gpus=process_gpus(cluster),
            scheduling_strategy="SPREAD",
            max_concurrency=IN_FLIGHT if cluster.num_decoders([]) else 1,
        )
        actor = kind.remote(self._config, "cuda" if cluster.gpu else "cpu")
        return actor, actor.ready.remote()
