"""A pool of actors that retries requests and replaces dead actors.

The request of a dead actor is sent again, so requests must be pure. A dead actor is replaced once the cluster has
free resources; the other actors continue meanwhile.
"""

import itertools
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar

import ray
from ray.exceptions import RayActorError, RayTaskError

from ripu_ray.config import ClusterConfig
from ripu_ray.distributed.capacity import scorer_cpus
from ripu_ray.distributed.cluster import WaitLimit, each, own_error
from ripu_ray.distributed.draining import is_leaving
from ripu_ray.errors import ClusterError, counted, first_line
from ripu_ray.runs.event_log import Event, Warn

BATCH = 8
"""Items per call: a call costs about 1 ms, which is small compared with the forward passes."""
IN_FLIGHT = 2
"""Batches sent to each actor: one in progress and one queued."""

Item = TypeVar("Item")


class ScorerPool:
    """Scoring actors.

    Args:
        start: starts one actor; returns it and the reference to its node, which is there once the actor is ready.
        cluster: resources of each actor, number of retries and timeout.
        warn: receives warnings about deaths, retries and long waits.
    """

    def __init__(self, start: Callable[[], tuple[Any, ray.ObjectRef[Any]]], cluster: ClusterConfig, warn: Warn) -> None:
        self._start, self._cluster, self._warn = start, cluster, warn
        self._nodes: dict[Any, str] = {}
        self._starting: dict[ray.ObjectRef[Any], Any] = {}
        self._leaving = set[Any]()
        self._wait_limit = self._wait_for(0)
        self._failed_starts, self._has_lost = 0, False

    def begin(self, number: int) -> None:
        """Begin to start `number` actors. `acquire` waits for them."""
        for _ in range(number):
            actor, ready = self._start()
            self._starting[ready] = actor

    def acquire(self, number: int) -> None:
        """Start `number` actors unless some run. Raises ClusterError if they do not start in time."""
        if self._nodes:
            return
        self._wait_limit = self._wait_for(number)
        self.begin(number - len(self._starting))
        try:
            while self._starting:
                self._await([])
                self._wait_limit.check()
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> int:
        """Number of running actors."""
        return len(self._nodes)

    def leave(self) -> list[Any]:
        """Return the running actors and forget them. If one died, return none, since others may die soon, too."""
        actors = [] if self._has_lost else list(self._nodes)
        self._nodes = {} if actors else self._nodes
        return actors

    def close(self) -> None:
        """Kill the actors."""
        for actor in (*self._nodes, *self._starting.values()):
            ray.kill(actor)
        self._nodes, self._starting, self._leaving = {}, {}, set()

    def spread(
        self,
        items: Iterable[Item],
        call: Callable[[Any, list[Item]], ray.ObjectRef[Any]],
        name: Callable[[Item], str],
    ) -> Iterator[tuple[list[Item], Any]]:
        """Yield (batch, answer) for all items, in the order of the answers.

        Args:
            items: the requests.
            call: sends a batch to one actor and returns the reference to its answer.
            name: returns the image id of an item.

        Raises:
            ClusterError: more than `cluster.max_failures` actors died with an image, or no actor is left or starts.
        """
        fresh = _batches(items, BATCH)
        again: deque[Item] = deque()
        deaths: Counter[str] = Counter()  # with 0 for images that a dead actor had not begun
        running: dict[ray.ObjectRef[Any], tuple[Any, list[Item]]] = {}
        while True:
            load = Counter[Any]()
            for actor, batch in running.values():
                load[actor] += _weight(name(batch[0]), deaths)
            for actor in (staying := self._part_from_leaving(load)) * IN_FLIGHT:
                if batch := _next(again, fresh, load[actor]):
                    running[call(actor, batch)] = actor, batch
                    load[actor] += _weight(name(batch[0]), deaths)
            if staying and not running:
                return
            for answer in self._await(running):
                actor, batch = running.get(answer, (None, []))
                if not batch:
                    continue  # `_answered` has removed the batch of a dead actor
                try:
                    value = ray.get(answer)
                except RayActorError:
                    lost = yield from _answered(actor, running)
                    again.extend(item for batch in lost for item in batch)
                    begun = [] if actor in self._leaving else lost[0]
                    self._blame(deaths, dict.fromkeys(map(name, again), 0) | dict.fromkeys(map(name, begun), 1))
                    self._replace(actor, sum(map(len, lost)))
                except RayTaskError as error:
                    raise own_error(error) from None
                else:
                    del running[answer]
                    yield batch, value
            if not self._nodes:
                self._wait_limit.check()

    def _await(self, running: Iterable[ray.ObjectRef[Any]]) -> list[ray.ObjectRef[Any]]:
        """Wait up to 1 s for answers and for actors that start. Returns the answers."""
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
                self.begin(1)
            except RayTaskError as error:
                raise own_error(error) from None
        if self._starting:
            self._wait_limit.notify()
        return answers

    def _part_from_leaving(self, load: Counter[Any]) -> list[Any]:
        """The actors whose node stays. Of the others, idle ones are ended; another one is started for each of them."""
        for actor, node in [*self._nodes.items()]:
            if actor not in self._leaving and is_leaving(node):
                self._leaving.add(actor)
                self._has_lost = True
                self._warn(
                    f"node {node} is draining: its scorer finishes its images, another one is started on another node"
                )
                self._start_another()
            if actor in self._leaving and not load[actor]:
                ray.kill(actor)
                del self._nodes[actor]
        return [actor for actor in self._nodes if actor not in self._leaving]

    def _replace(self, actor: Any, num_lost: int) -> None:
        node, self._has_lost = self._nodes.pop(actor), True
        left = f", {len(self._nodes)} continue" if self._nodes else ""
        self._warn(
            f"a scorer on node {node} died: {counted(num_lost, 'image')} to score again; another one is started{left}",
            Event.SCORER_DIED,
        )
        if actor not in self._leaving:
            self._start_another()

    def _start_another(self) -> None:
        if not self._starting:
            self._wait_limit = self._wait_for(1)
        self.begin(1)

    def _wait_for(self, number: int) -> WaitLimit:
        asked = each(self._cluster, scorer_cpus(self._cluster))
        return WaitLimit(self._cluster, f"{counted(number, 'scorer')}, {asked}", self._warn)

    def _blame(self, deaths: Counter[str], more: dict[str, int]) -> None:
        """Add the deaths of a few images. Raises ClusterError: an image has too many."""
        deaths.update(more)
        number = max(deaths.values())
        if number > self._cluster.max_failures:
            first, *others = (name for name, count in deaths.items() if count == number)
            among = f" or one of {counted(len(others), 'image')} sent with it" if others else ""
            raise ClusterError(f"image {first}{among}: its scoring actor died {counted(number, 'time')}; given up")


def _weight(first_image: str, deaths: Counter[str]) -> int:
    """What a batch adds to the load of its actor: an image of a dead actor leaves no room for others."""
    return IN_FLIGHT if first_image in deaths else 1


def _next(suspects: deque[Item], fresh: Iterator[list[Item]], load: int) -> list[Item]:
    """The next batch for an actor that has `load` batches; empty: none.

    An image of a dead actor is alone on the next one, so that it alone is to blame if that dies, too: an actor may read
    the images of two batches at the same time.
    """
    if suspects:
        return [] if load else [suspects.popleft()]
    return next(fresh, []) if load < IN_FLIGHT else []


def _answered(
    actor: Any, running: dict[ray.ObjectRef[Any], tuple[Any, list[Item]]]
) -> Generator[tuple[list[Item], Any], None, list[list[Item]]]:
    """Remove a dead actor's batches from `running`; yield the answered ones, return the others."""
    lost = []
    for reference in [reference for reference, (owner, _) in running.items() if owner == actor]:
        _, batch = running.pop(reference)
        try:
            yield batch, ray.get(reference)
        except RayActorError:
            lost.append(batch)
    return lost


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
