"""A pool of actors that is kept busy and outlives its members.

A request whose actor died is asked again, so requests must be pure. A dead actor is replaced as soon as the cluster has
room; until then the others go on without it.
"""

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import ray
from ray.exceptions import RayActorError, RayTaskError

from ripu_ray.config import ClusterConfig
from ripu_ray.distributed.cluster import Patience, each, first_line, own_error
from ripu_ray.errors import ClusterError
from ripu_ray.runs.event_log import Event, Warn

BATCH = 8
"""Items a call: one call costs about 1 ms, so that it disappears beside the forward passes."""
IN_FLIGHT = 2
"""Batches waiting at each actor: one being worked on and one behind it."""

Item = TypeVar("Item")


class ScorerPool:
    """Scoring actors.

    Args:
        start: starts one actor, whose method `ready` returns where it runs.
        cluster: what each actor takes, and how often and how long to try.
        warn: is told who died, what is repeated, and what is waited for.
    """

    def __init__(self, start: Callable[[], Any], cluster: ClusterConfig, warn: Warn) -> None:
        self._start, self._cluster, self._warn = start, cluster, warn
        self._nodes: dict[Any, str] = {}
        self._starting: dict[ray.ObjectRef[Any], Any] = {}
        self._patience = self._wait_for(0)
        self._failed_starts = 0

    def acquire(self, number: int) -> None:
        """Have `number` actors, unless there are some. Raises ClusterError when they do not start in time."""
        if self._nodes:
            return
        self._patience = self._wait_for(number)
        self._add(number - len(self._starting))
        try:
            while self._starting:
                self._await([])
                self._patience.check()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the actors."""
        for actor in (*self._nodes, *self._starting.values()):
            ray.kill(actor)
        self._nodes, self._starting = {}, {}

    def spread(
        self,
        items: Iterable[Item],
        call: Callable[[Any, list[Item]], ray.ObjectRef[Any]],
        name: Callable[[Item], str],
    ) -> Iterator[tuple[list[Item], Any]]:
        """Yield (batch, answer) for all items, in the order in which the answers come.

        Args:
            items: the requests.
            call: asks one actor for the answer to a batch.
            name: of the image of an item.

        Raises:
            ClusterError: an image outlasts `cluster.max_failures` actors, or no actor is left and none starts.
        """
        fresh = _batches(items, BATCH)
        again: deque[list[Item]] = deque()
        deaths: Counter[str] = Counter()
        running: dict[ray.ObjectRef[Any], tuple[Any, list[Item]]] = {}
        while True:
            load = Counter(actor for actor, _ in running.values())
            for actor in [*self._nodes] * IN_FLIGHT:
                if load[actor] < IN_FLIGHT and (batch := again.popleft() if again else next(fresh, None)):
                    running[call(actor, batch)] = actor, batch
                    load[actor] += 1
            if self._nodes and not running:
                return
            for answer in self._await(running):
                actor, batch = running.get(answer, (None, []))
                if not batch:
                    continue  # the batch of an actor that died, handled below
                try:
                    value = ray.get(answer)
                except RayActorError:
                    lost: list[list[Item]] = []
                    yield from _answered(actor, running, lost)
                    # One item at a time from now on: this finds the image that kills its actor.
                    again.extend([item] for batch in lost for item in batch)
                    deaths.update(map(name, lost[0]))
                    self._give_up(deaths)
                    self._replace(actor, sum(map(len, lost)))
                except RayTaskError as error:
                    raise own_error(error) from None
                else:
                    del running[answer]
                    yield batch, value
            if not self._nodes:
                self._patience.check()

    def _await(self, running: Iterable[ray.ObjectRef[Any]]) -> list[ray.ObjectRef[Any]]:
        """Wait up to a second for answers, which are returned, and for actors that start."""
        done, _ = ray.wait([*running, *self._starting], timeout=1.0)
        answers = []
        for reference in done:
            actor = self._starting.pop(reference, None)
            if actor is None:
                answers.append(reference)
                continue
            try:
                self._nodes[actor] = ray.get(reference)
            except RayActorError as error:
                self._failed_starts += 1
                if self._failed_starts > self._cluster.max_failures:
                    why = f"{self._failed_starts} scorers died while they started: {first_line(error)}"
                    raise ClusterError(why) from None
                self._warn("a scorer died while it started; another one is started", Event.SCORER_DIED)
                self._add(1)
            except RayTaskError as error:
                raise own_error(error) from None
        if self._starting:
            self._patience.remind()
        return answers

    def _replace(self, actor: Any, num_lost: int) -> None:
        node = self._nodes.pop(actor)
        left = f", {len(self._nodes)} go on" if self._nodes else ""
        self._warn(
            f"a scorer on node {node} died: {num_lost} images are scored again; another one is started{left}",
            Event.SCORER_DIED,
        )
        if not self._starting:
            self._patience = self._wait_for(1)
        self._add(1)

    def _add(self, number: int) -> None:
        for _ in range(number):
            actor = self._start()
            self._starting[actor.ready.remote()] = actor

    def _wait_for(self, number: int) -> Patience:
        asked = f"{number} scorers, {each(self._cluster)}"
        return Patience(self._cluster, asked, self._warn)

    def _give_up(self, deaths: Counter[str]) -> None:
        (name, number), *_ = deaths.most_common(1)
        if number > self._cluster.max_failures:
            raise ClusterError(f"image {name}: its scoring actor died {number} times; given up")


def _answered(
    actor: Any, running: dict[ray.ObjectRef[Any], tuple[Any, list[Item]]], lost: list[list[Item]]
) -> Iterator[tuple[list[Item], Any]]:
    """Remove a dead actor's batches from `running`: yield those that it had answered, append the others to `lost`."""
    for reference in [reference for reference, (owner, _) in running.items() if owner == actor]:
        _, batch = running.pop(reference)
        try:
            yield batch, ray.get(reference)
        except RayActorError:
            lost.append(batch)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
