"""Draining nodes: a cloud preempts them, or an operator or the autoscaler removes them.

Ray's control store lists them until their deadline. `ray.train.get_preemption_info` returns the same, but waits for all
workers of a group at each call, and works in training workers only.
"""

import time
from contextlib import suppress

import ray
from ray.exceptions import RayActorError, RayError

from ripu_ray.distributed.ray_internals import draining_nodes
from ripu_ray.runs.interrupt import StopRequest

INTERVAL_S = 1.0
"""Shortest interval between two requests of a process to the control store."""

_asked_s, _leaving = -INTERVAL_S, frozenset[str]()


def leaving_nodes(max_age_s: float = INTERVAL_S) -> frozenset[str]:
    """Ids, in hex, of the draining nodes. The answer may be `max_age_s` old. Without an answer, the last one holds."""
    global _asked_s, _leaving
    if ray.is_initialized() and time.monotonic() >= _asked_s + max_age_s:
        _asked_s = time.monotonic()
        with suppress(RayError, OSError):  # the control store is away for a moment
            _leaving = frozenset(draining_nodes())
    return _leaving


def is_leaving(node: str) -> bool:
    """Whether a node, as `this_node` describes it, is draining."""
    return any(f"({node_id[:8]})" in node for node_id in leaving_nodes())


class NodeStop(StopRequest):
    """A stop request that also counts as made while the node of a trial's process, or of this process, is draining.

    Training then writes a mid-phase checkpoint and ends. It is resumed on another node.
    """

    def is_made(self) -> bool:
        """See `StopRequest`."""
        return super().is_made() or _own_node() in leaving_nodes()


class NodeLeavesError(RayActorError):
    """Ends a trial's process whose node is draining. Tune starts it again elsewhere, and does not count a failure."""

    preempted = True


def _own_node() -> str:
    node_id: str = ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""
    return node_id
