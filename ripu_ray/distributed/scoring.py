"""The scorers: a pool of Ray actors, each an `ImageScorer`, that is kept busy and outlives its members.

Weights cross once per actor and version; centres come back, packed by batch. Requests are answered in any order, and a
request whose actor died is asked again: scoring is pure, so nothing is bought twice.
"""

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.exceptions import RayActorError, RayTaskError

from ripu_ray.config import Config
from ripu_ray.data.loading import open_domains
from ripu_ray.distributed.cluster import own_error, wait_for_start
from ripu_ray.errors import ClusterError
from ripu_ray.simulation.checkpoint import network_state
from ripu_ray.simulation.protocols import Evaluation, ScoreRequest
from ripu_ray.simulation.scoring import ImageScorer
from ripu_ray.simulation.selections import PackedSelections, Selection

BATCH = 8
"""Images a call: one call costs about 1 ms, so that it disappears beside the forward passes."""
IN_FLIGHT = 2
"""Batches waiting at each actor: one being worked on and one behind it."""

Weights = tuple[str, list[ray.ObjectRef[Any]]]
"""A version, and the reference to the state dict; in a list, so that Ray does not fetch it at every call."""


Item = TypeVar("Item")


class ScoringActor:
    """An `ImageScorer` that fetches weights when their version changes."""

    def __init__(self, config: Config, device: str) -> None:
        self._scorer = ImageScorer(config, device)
        self._version = ""

    def ready(self) -> None:
        """Return once the actor has started."""

    def score(self, weights: Weights, round_index: int, requests: list[ScoreRequest]) -> PackedSelections:
        """Select regions in each image."""
        self._take(weights)
        return PackedSelections.pack([self._scorer.score(round_index, request) for request in requests])

    def evaluate(self, weights: Weights, image_ids: list[str]) -> NDArray[np.int64]:
        """Confusion counts over validation images."""
        self._take(weights)
        return self._scorer.evaluate(image_ids)

    def _take(self, weights: Weights) -> None:
        version, (reference,) = weights
        if version != self._version:
            # torch.tensor copies: what Ray hands out is a read-only view of shared memory.
            self._scorer.load_state({name: torch.tensor(value) for name, value in ray.get(reference).items()})
            self._version = version


class RayScorer:
    """`Scorer` over `config.cluster.scorers` actors; `acquire` starts them, and so does any call without it.

    Args:
        config: of the trial.
        keep: whether `release` keeps the actors, since nobody else waits for their cores.
    """

    def __init__(self, config: Config, keep: bool) -> None:
        self._config, self._keep = config, keep
        self._validation_ids = open_domains(config.data).validation.image_ids
        self._actors: list[Any] = []
        self._weights: Weights | None = None

    def acquire(self) -> None:
        """See `Scorer`. Raises ClusterError when the cluster does not give the cores in time."""
        self._actors = self._actors or self._start(self._config.cluster.scorers)

    def score(self, weights: Path, round_index: int, requests: Iterable[ScoreRequest]) -> Iterator[Selection]:
        """See `Scorer`. Raises ClusterError when an image outlasts `cluster.max_failures` actors."""
        packed = self._put(weights)
        answers = self._spread(requests, lambda actor, batch: actor.score.remote(packed, round_index, batch))
        for batch, answer in answers:
            yield from answer.unpack([request.image_id for request in batch])

    def evaluate(self, weights: Path) -> Evaluation:
        """See `Scorer`."""
        packed = self._put(weights)
        answers = self._spread(self._validation_ids, lambda actor, batch: actor.evaluate.remote(packed, batch))
        return Evaluation(sum((counts for _, counts in answers), start=np.zeros((), np.int64)))

    def release(self) -> None:
        """See `Scorer`."""
        if not self._keep:
            self.close()

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors:
            ray.kill(actor)
        self._actors = []

    def _put(self, weights: Path) -> Weights:
        version = f"{weights}@{weights.stat().st_mtime_ns}"
        if self._weights is None or self._weights[0] != version:
            state = {name: tensor.numpy() for name, tensor in network_state(weights).items()}
            self._weights = version, [ray.put(state)]
        return self._weights

    def _spread(
        self, items: Iterable[Item], call: Callable[[Any, list[Item]], ray.ObjectRef[Any]]
    ) -> Iterator[tuple[list[Item], Any]]:
        """Yield (batch, answer) for all items, in the order in which the answers come."""
        self.acquire()
        fresh = _batches(items, BATCH)
        again: deque[list[Item]] = deque()
        failures: Counter[int] = Counter()
        running: dict[ray.ObjectRef[Any], tuple[Any, list[Item]]] = {}
        while True:
            load = Counter(id(actor) for actor, _ in running.values())
            for actor in self._actors * IN_FLIGHT:
                if load[id(actor)] < IN_FLIGHT and (batch := again.popleft() if again else next(fresh, None)):
                    running[call(actor, batch)] = actor, batch
                    load[id(actor)] += 1
            if not running:
                return
            done, _ = ray.wait(list(running), timeout=10.0)
            for answer in done:
                actor, batch = running.pop(answer)
                try:
                    yield batch, ray.get(answer)
                except RayActorError:
                    if actor in self._actors:
                        self._actors.remove(actor)
                        self._actors += self._start(1)
                    # One by one from now on, so that an image which kills its actor is found.
                    again.extend([item] for item in batch)
                    failures.update(id(item) for item in batch)
                    self._give_up(batch, failures)
                except RayTaskError as error:
                    raise own_error(error) from None

    def _give_up(self, batch: list[Item], failures: Counter[int]) -> None:
        limit = self._config.cluster.max_failures
        for item in batch:
            if failures[id(item)] > limit:
                name = item.image_id if isinstance(item, ScoreRequest) else item
                raise ClusterError(f"image {name}: its scoring actor died {failures[id(item)]} times; given up")

    def _start(self, count: int) -> list[Any]:
        cluster = self._config.cluster
        device = "cuda" if cluster.gpu else "cpu"
        # SPREAD also frees the actors from the placement group of the trial that starts them.
        actor = ray.remote(ScoringActor).options(
            num_cpus=cluster.threads, num_gpus=int(cluster.gpu), scheduling_strategy="SPREAD"
        )
        actors: list[Any] = [actor.remote(self._config, device) for _ in range(count)]
        try:
            wait_for_start([actor.ready.remote() for actor in actors], cluster, f"{count} scorers")
        except BaseException:
            for started in actors:
                ray.kill(started)
            raise
        return actors


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
