"""All private interfaces of Ray that this package uses, but those of its job client, because Ray has no public ones
for these purposes.

tests/distributed/test_ray_internals.py fails when they change.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import ray
from ray.job_config import JobConfig
from ray.util.placement_group import PlacementGroup, remove_placement_group

from ripu_ray.errors import ClusterError
from ripu_ray.runs.versions import private_use

READ_FROM = "2.60"
"""Version of Ray in whose source these were found."""
_NAMESPACE = "ripu-ray"
"""Of the texts in the control store."""

try:
    from ray._private import node, parameter, ray_constants, utils
    from ray._private.services import canonicalize_bootstrap_address
    from ray._private.state import state
    from ray._raylet import ActorID, GcsClient, PlacementGroupID  # type: ignore[attr-defined]
    from ray.core.generated.gcs_pb2 import PlacementGroupTableData  # type: ignore[attr-defined]
    from ray.experimental import internal_kv
except ImportError as error:
    raise ClusterError(private_use("ray", READ_FROM, error)) from None


@contextmanager
def as_read() -> Iterator[None]:
    """Convert what a changed interface raises to a ClusterError that names the version."""
    try:
        yield
    except (AttributeError, TypeError, KeyError) as error:
        raise ClusterError(private_use("ray", READ_FROM, error)) from None


with as_read():
    AGENTS = {ray_constants.AGENT_PROCESS_TYPE_DASHBOARD_AGENT, ray_constants.AGENT_PROCESS_TYPE_RUNTIME_ENV_AGENT}
"""Titles of the processes that live as long as their raylet."""


def running_address() -> str | None:
    """HOST:PORT of the Ray that `auto` joins, or None. Raises ConnectionError if there is none."""
    with as_read():
        address: str | None = canonicalize_bootstrap_address("auto")
    return address


def ask_gcs(address: str) -> None:
    """Connect to the control store at HOST:PORT. Raises RayError, AuthenticationError for a wrong token."""
    with as_read():
        GcsClient(address=address)


def is_client() -> bool:
    """Whether this process joined Ray by a ray:// address; the control store cannot be asked through it."""
    connected: bool = ray.util.client.ray.is_connected()  # type: ignore[no-untyped-call]
    return connected


def draining_nodes() -> dict[str, int]:
    """Id, in hex, of each node that is draining, and its deadline in ms since 1970; 0: none. Empty for a client."""
    if is_client():
        return {}
    with as_read():
        nodes: dict[str, int] = state.get_draining_nodes()
    return nodes


def orphaned_groups() -> Iterator[PlacementGroup]:
    """Placement groups of this job that are not removed and whose creator is a dead actor.

    The public `placement_group_table` reads the same table but omits the creator. None for a ray:// client.
    """
    if is_client():  # such clusters have a dashboard, see `FailureMonitor`
        return
    job = ray.get_runtime_context().get_job_id()
    with as_read():
        rows = state._connect_and_get_accessor().get_placement_group_table()
    for row in rows:
        group = PlacementGroupTableData.FromString(row)
        # A group created by the driver has no actor, but is listed with a dead creator.
        is_orphan = group.creator_actor_dead and not ActorID(group.creator_actor_id).is_nil()
        is_held = group.state != PlacementGroupTableData.REMOVED
        if is_orphan and is_held and group.creator_job_id.hex() == job:
            yield PlacementGroup(PlacementGroupID(group.placement_group_id))


def remove_orphaned_groups() -> None:
    """Free the resources of `orphaned_groups`."""
    for group in orphaned_groups():
        remove_placement_group(group)


def own_processes() -> list[tuple[str, Popen[bytes]]]:
    """Kind, such as `gcs_server`, and process of all that this process started for Ray; none if it joined a Ray."""
    own = ray._private.worker._global_node
    processes: dict[str, list[Any]] = own.all_processes if own else {}
    return [(kind, info.process) for kind, infos in processes.items() for info in infos]


def share_secret(name: str, text: str) -> None:
    """Keep a text in the memory of the control store, where `read_secret` finds it in every process of this Ray.

    Ray would write an environment to its session folder. An object of the driver would end the driver with exit code 1
    if the raylet dies: Ray then tries to recover such objects, and cannot.
    """
    with as_read():
        internal_kv._internal_kv_put(name, text.encode(), namespace=_NAMESPACE)


def read_secret(name: str) -> str:
    """What `share_secret` keeps under this name."""
    with as_read():
        kept: bytes = internal_kv._internal_kv_get(name, namespace=_NAMESPACE)
        return kept.decode()


@contextmanager
def bound_to_loopback() -> Iterator[None]:
    """Let a Ray that is started in the block, and all its processes, listen on loopback only."""
    before = ray_constants.ENABLE_RAY_CLUSTER
    variable = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    ray_constants.ENABLE_RAY_CLUSTER = False
    os.environ[variable] = "0"  # for its processes, which import Ray anew
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
        del os.environ[variable]


@contextmanager
def with_few_processes() -> Iterator[None]:
    """Start a Ray in the block without autoscaler, log monitor and dashboard, which it does not use.

    Ray also starts a dashboard process if no dashboard is asked for, and waits for it.
    """
    with as_read():
        places: Any = (
            (parameter.RayParams, "__init__"),
            (node.Node, "start_api_server"),
            (utils, "get_dashboard_dependency_error"),
        )
        before = [getattr(owner, name) for owner, name in places]

    def initialise(self: Any, *values: Any, **named: Any) -> None:
        before[0](self, *values, **named)
        self.no_monitor, self.include_log_monitor = True, False

    # The last one imports what the agents need, to know whether it is installed: it is, as `ray[default]`.
    replaced = (initialise, lambda self, **named: None, lambda: None)
    for (owner, name), function in zip(places, replaced, strict=True):
        setattr(owner, name, function)
    try:
        yield
    finally:
        for (owner, name), function in zip(places, before, strict=True):
            setattr(owner, name, function)


def with_few_callbacks(trainer: Any) -> Any:
    """The trainer of Ray Train, without the processes that Train starts in each run and that are not used.

    The process of `DatasetsCallback` serves Ray Data. The process that cleans up placement groups asks the dashboard
    whether the run's controller is alive. Without a dashboard it waits, and so does the end of each run, for 12 s.
    Without this process, the groups of dead controllers remain as `orphaned_groups`.
    """
    with as_read():
        namespace = ray_constants.KV_NAMESPACE_DASHBOARD
        has_dashboard = internal_kv._internal_kv_get(ray_constants.DASHBOARD_ADDRESS, namespace=namespace) is not None
        make = trainer._create_default_callbacks
    unused = {"DatasetsCallback"} if has_dashboard else {"DatasetsCallback", "PlacementGroupCleanerCallback"}
    trainer._create_default_callbacks = lambda: [one for one in make() if type(one).__name__ not in unused]
    return trainer


class DriverJob(JobConfig):
    """Keeps the working directory off the paths of Ray's processes: a file wandb.py in it would replace the library.

    The folder of the running script stays on their paths, because it is on the script's own paths.
    """

    def __init__(self) -> None:
        script = (
            str(Path(sys.argv[0]).resolve().parent) if sys.argv and hasattr(sys.modules["__main__"], "__file__") else ""
        )
        super().__init__(_py_driver_sys_path=[script] if script in sys.path else [])

    def _runtime_env_has_working_dir(self) -> bool:
        """Ray adds the folders by itself unless this is so."""
        return True
