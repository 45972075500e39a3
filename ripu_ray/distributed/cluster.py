"""Start or join Ray, and describe its resources in one line."""

import logging
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

# Ray reads these on import: no usage report, no banner, no SIGINT handler; Train checks its workers 10 times a second.
# `FailureMonitor` reports the errors of trials; Tune would print a traceback when a process dies.
# `draining` notices nodes that leave; Train would start a process for it in each phase.
# Tune's processes have an environment of their own, so those that Ray starts in advance would never be used.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")
os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# Three attempts for ray://, of 2, 3 and 3 seconds.
os.environ.setdefault("RAY_CLIENT_INITIAL_CONNECTION_TIMEOUT_S", "2")
os.environ.setdefault("RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S", "3")

# Each trial has threads of its own. glibc gives new threads a memory pool (arena) of their own, up to eight for each
# core, and returns little of them to the system: a process grew by 60 MiB with each trial of a pretrained encoder.
os.environ.setdefault("MALLOC_ARENA_MAX", "2")

import ray
from ray.exceptions import AuthenticationError, RayError, RayTaskError

from ripu_ray.config import ClusterConfig
from ripu_ray.distributed.capacity import local_cpus, process_gpus
from ripu_ray.distributed.draining import leaving_nodes
from ripu_ray.distributed.mps import mps
from ripu_ray.distributed.ray_internals import (
    DriverJob,
    ask_gcs,
    bound_to_loopback,
    own_processes,
    running_address,
    with_few_processes,
)
from ripu_ray.distributed.session_files import private_folder
from ripu_ray.errors import ClusterError, CodeError, RipuError, StoppedError, first_line
from ripu_ray.runs.event_log import Warn
from ripu_ray.tracking.mode import KEY

NOTICE_S = 30.0
"""A longer wait for resources is reported."""
CONNECT_TIMEOUT_S = 5.0
"""Timeout of the connection to a head."""


def start_ray(cluster: ClusterConfig) -> list[dict[str, float]]:
    """Start a local Ray, or join the one at `cluster.address`. A Ray that this process has joined is used.

    Returns:
        Resources of each node, such as {"CPU": 2.0}.

    Raises:
        ClusterError: there is no Ray at the address, it does not start, or this process has joined another one.
        StoppedError: SIGTERM was received meanwhile.
    """
    if ray.is_initialized() and any(process.poll() is not None for _, process in own_processes()):
        ray.shutdown()  # a Ray of our own ends with the thread that started it
    if ray.is_initialized():
        _check_joined(cluster.address)
    else:
        _check_answers(cluster.address)
        with (
            nullcontext() if cluster.address else private_folder() as folder,
            mps(cluster, folder / "mps") if folder else nullcontext(),
        ):
            _join(cluster, folder)
        if not cluster.address:
            with suppress(OSError):  # Ray generates a token if there is none, in a file that all users can read
                (Path.home() / ".ray/auth_token").chmod(0o600)
    return alive_nodes()


def _join(cluster: ClusterConfig, folder: Path | None) -> None:
    """Start Ray in `folder`, or join one, with our handler of SIGTERM afterwards. Errors: see `start_ray`."""
    num_cpus = None if cluster.address else local_cpus(cluster)
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ours = nullcontext() if cluster.address else _our_own()
        is_client = (cluster.address or "").startswith("ray://")
        with warnings.catch_warnings(action="ignore"), ours:
            ray.init(
                # Without an address Ray would join an instance that runs on this machine already.
                cluster.address or "local",
                num_cpus=num_cpus,
                job_config=None if is_client else DriverJob(),  # type: ignore[arg-type]
                include_dashboard=False if num_cpus else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=str(folder / "ray") if folder else None,
            )
    except ConnectionError as error:
        raise ClusterError(
            f"no Ray at {cluster.address}, or none for this token (RAY_AUTH_TOKEN): {first_line(error)}"
        ) from None
    except SystemExit:
        # SIGTERM: Ray has replaced our handler by its own. Raised again, the signal would be the second one of the CLI,
        # whose thread has learned of the first.
        _handle_sigterm(on_sigterm)
        if callable(on_sigterm):
            on_sigterm(signal.SIGTERM, None)
        else:
            signal.raise_signal(signal.SIGTERM)
        raise StoppedError("stopped") from None
    except Exception as error:  # noqa: BLE001  # Ray raises plain Exceptions, such as on a machine too busy to start it
        if "AF_UNIX path" in str(error):
            raise ClusterError(
                "Ray cannot start: the paths of its sockets would be too long; set RAY_TMPDIR to a short folder, "
                "such as RAY_TMPDIR=/tmp"
            ) from None
        raise ClusterError(f"no Ray at {cluster.address or 'this machine'}: {first_line(error)}") from None
    _handle_sigterm(on_sigterm)


@contextmanager
def _our_own() -> Iterator[None]:
    """Start a Ray in the block that other machines cannot connect to, with the processes that one machine needs."""
    with bound_to_loopback(), with_few_processes(), _without_key():
        yield


@contextmanager
def _without_key() -> Iterator[None]:
    """Keep W&B's key from what the block starts: `run_sweep` gives it to the processes that log."""
    key = os.environ.pop(KEY, None)
    try:
        yield
    finally:
        if key is not None:
            os.environ[KEY] = key


def _handle_sigterm(handler: Any) -> None:
    # Python's own rule; in other threads Ray leaves the handler alone.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def alive_nodes() -> list[dict[str, float]]:
    """Resources of each node that is alive and stays, such as {"CPU": 2.0}."""
    leaving = leaving_nodes()
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return [node["Resources"] for node in nodes if node["Alive"] and node["NodeID"] not in leaving]


def _check_joined(address: str | None) -> None:
    """Check that HOST:PORT is the Ray that this process has joined. Other addresses are not checked."""
    host, _, port = (address or "").rpartition(":")
    if not port.isdigit() or "/" in host:
        return
    joined: str = ray.get_runtime_context().gcs_address
    joined_host, _, joined_port = joined.rpartition(":")
    if port != joined_port or _machine(host) != _machine(joined_host):
        raise ClusterError(
            f"cluster.address is {address}, but this process has joined the Ray at {joined}: "
            "call ray.shutdown() first, or leave the address out"
        )


def _machine(host: str) -> str:
    """The IP address of a host; those of this machine are one."""
    with suppress(OSError):
        address = socket.gethostbyname(host)
        own = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        return own if address.startswith("127.") or address == socket.gethostbyname(socket.gethostname()) else address
    return host


def _check_answers(address: str | None) -> None:
    """Check in seconds that Ray answers and accepts the token, where Ray itself would try for 20 s to 2 minutes."""
    with suppress(Exception):  # `ray.init` reports the reason
        address = running_address() if address == "auto" else address
    place = address or ""
    is_client, place = place.startswith("ray://"), place.removeprefix("ray://")
    host, _, port = place.rpartition(":")
    # A local Ray, or no valid address.
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
        if not is_client:
            ask_gcs(place)
    except AuthenticationError:
        raise ClusterError(f"no Ray at {address} for this token (RAY_AUTH_TOKEN)") from None
    except (OSError, OverflowError, RayError) as error:
        raise ClusterError(f"no Ray at {address}: {first_line(error)}") from None


class WaitLimit:
    """A limit for a wait for resources, and one warning after `NOTICE_S` with the need and the cluster's resources.

    Args:
        cluster: its `start_timeout_s` is the limit.
        asked: what is waiting and for which resources, such as "2 scorers, each of 1 CPU,".
        warn: receives the warning.
    """

    def __init__(self, cluster: ClusterConfig, asked: str, warn: Warn) -> None:
        self._timeout_s, self._asked, self._warn = cluster.start_timeout_s, asked, warn
        self._start, self._warned = time.monotonic(), False

    def notify(self) -> None:
        """Warn once the wait has taken `NOTICE_S`."""
        waited_s = time.monotonic() - self._start
        if waited_s >= NOTICE_S and not self._warned:
            self._warned = True
            self._warn(f"{self._asked} have waited for {waited_s:.0f} s; {resources()}")

    def check(self) -> None:
        """Call `notify`, and raise ClusterError after the limit."""
        self.notify()
        if time.monotonic() - self._start >= self._timeout_s:
            raise ClusterError(f"{self._asked} did not start within {self._timeout_s:g} s; {resources()}")


def each(cluster: ClusterConfig, cpus: int) -> str:
    """The resources of each of several processes, such as "each of 1 CPU,"."""
    gpu = f" and {process_gpus(cluster):g} GPU" if cluster.gpu else ""
    return f"each of {cpus} CPU{gpu},"


def available_resources() -> dict[str, float]:
    """Free resources of the cluster; CPU and GPU are always present."""
    free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    return {"CPU": 0.0, "GPU": 0.0} | free


def resources() -> str:
    """One line: the resources of the cluster, and how many of them are free."""
    has: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    free = available_resources()
    amounts = ", ".join(f"{has.get(name, 0):g} {name} ({free[name]:g} free)" for name in ("CPU", "GPU"))
    return f"the cluster has {amounts}"


def this_node() -> str:
    """Address and id of the node of this process; several nodes may share an address."""
    if not ray.is_initialized():
        return socket.gethostname()
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return f"{address} ({ray.get_runtime_context().get_node_id()[:8]})"


def own_error(error: RayTaskError) -> BaseException:
    """The exception raised in the actor if it is one of this package; else Ray's."""
    return error.cause if isinstance(error.cause, RipuError | CodeError) else error
