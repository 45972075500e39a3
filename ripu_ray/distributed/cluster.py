"""Starting Ray, or joining one, and speaking of what it has in one line."""

import logging
import os
import signal
import socket
import time
import warnings
from contextlib import suppress
from pathlib import Path

# Ray reads these when it is imported: no usage report, no banner, Ctrl-C is ours, and Train
# looks at its workers ten times a second.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# Three tries for ray://, of 2, 3 and 3 seconds.
os.environ.setdefault("RAY_CLIENT_INITIAL_CONNECTION_TIMEOUT_S", "2")
os.environ.setdefault("RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S", "3")

import ray
from ray.exceptions import AuthenticationError, RayError, RayTaskError

from ripu_ray.config import ClusterConfig
from ripu_ray.distributed.capacity import local_cpus, process_gpus
from ripu_ray.distributed.ray_internals import ask_gcs, running_address
from ripu_ray.errors import ClusterError, RipuError, StoppedError
from ripu_ray.runs.event_log import Warn

NOTICE_S = 30.0
"""A wait for resources is silent for so long."""
CONNECT_TIMEOUT_S = 5.0
"""For a head that does not answer at all."""


def start_ray(cluster: ClusterConfig) -> list[dict[str, float]]:
    """Start a local Ray, or join the one at `cluster.address`; a Ray that this process is joined to is kept.

    Returns:
        What each node has, such as {"CPU": 2.0}.

    Raises:
        ClusterError: there is no Ray at the address, or it does not start.
        StoppedError: SIGTERM came meanwhile.
    """
    if not ray.is_initialized():
        _check_answers(cluster.address)
        num_cpus = None if cluster.address else local_cpus(cluster)
        on_sigterm = signal.getsignal(signal.SIGTERM)
        try:
            with warnings.catch_warnings(action="ignore"):
                ray.init(
                    # Without a word Ray would join one that somebody has started on this machine.
                    cluster.address or "local",
                    num_cpus=num_cpus,
                    include_dashboard=False if num_cpus else None,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
        except ConnectionError as error:
            raise ClusterError(
                f"no Ray at {cluster.address}, or none for this token (RAY_AUTH_TOKEN): {first_line(error)}"
            ) from None
        except SystemExit:
            # SIGTERM: Ray had put a handler of its own in the place of ours.
            signal.signal(signal.SIGTERM, on_sigterm)
            signal.raise_signal(signal.SIGTERM)
            raise StoppedError("stopped") from None
        except Exception as error:  # noqa: BLE001  # Ray raises bare ones, such as of a machine too busy to start it
            raise ClusterError(f"no Ray at {cluster.address or 'this machine'}: {first_line(error)}") from None
        signal.signal(signal.SIGTERM, on_sigterm)
        if not cluster.address:
            # The token that Ray makes where there is none is written for everybody to read.
            with suppress(OSError):
                (Path.home() / ".ray/auth_token").chmod(0o600)
    return alive_nodes()


def alive_nodes() -> list[dict[str, float]]:
    """What each node has, such as {"CPU": 2.0}, of those that are there now."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _check_answers(address: str | None) -> None:
    """Find in seconds what Ray would try for 20 s to 2 minutes: nobody listens there, or not to this token."""
    with suppress(Exception):  # what is wrong with it is for Ray to say
        address = running_address() if address == "auto" else address
    place = address or ""
    is_client, place = place.startswith("ray://"), place.removeprefix("ray://")
    host, _, port = place.rpartition(":")
    # A Ray of our own, or no address at all.
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


class Patience:
    """A wait for resources that is not silent: says once, after `NOTICE_S`, what is asked and what there is, and ends.

    Args:
        cluster: its `start_timeout_s` is the end.
        asked: who waits and for what, such as "2 scorers, each of 1 CPU,".
        warn: gets the line.
    """

    def __init__(self, cluster: ClusterConfig, asked: str, warn: Warn) -> None:
        self._timeout_s, self._asked, self._warn = cluster.start_timeout_s, asked, warn
        self._start, self._reminded = time.monotonic(), False

    def remind(self) -> None:
        """Say what is waited for, if it is time to."""
        waited_s = time.monotonic() - self._start
        if waited_s >= NOTICE_S and not self._reminded:
            self._reminded = True
            self._warn(f"{self._asked} wait since {waited_s:.0f} s; {resources()}")

    def check(self) -> None:
        """`remind`, and raise ClusterError when it has taken too long."""
        self.remind()
        if time.monotonic() - self._start >= self._timeout_s:
            raise self.error()

    def error(self) -> ClusterError:
        """What to raise when it has taken too long."""
        return ClusterError(f"{self._asked} did not start within {self._timeout_s:g} s; {resources()}")


def each(cluster: ClusterConfig) -> str:
    """What each of several actors asks for, in words."""
    gpu = f" and {process_gpus(cluster):g} GPU" if cluster.gpu else ""
    return f"each of {cluster.threads} CPU{gpu},"


def available_resources() -> dict[str, float]:
    """What of the cluster is free; CPU and GPU are always there."""
    free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    return {"CPU": 0.0, "GPU": 0.0} | free


def resources() -> str:
    """What the cluster has and what of it is free, in words."""
    has: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    free = available_resources()
    amounts = ", ".join(f"{has.get(name, 0):g} {name} ({free[name]:g} free)" for name in ("CPU", "GPU"))
    return f"the cluster has {amounts}"


def this_node() -> str:
    """Where this process runs, in words: several nodes may share an address."""
    if not ray.is_initialized():
        return socket.gethostname()
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return f"{address} ({ray.get_runtime_context().get_node_id()[:8]})"


def own_error(error: RayTaskError) -> BaseException:
    """The exception that was raised in the actor, if it is one of ours; else Ray's."""
    return error.cause if isinstance(error.cause, RipuError) else error


def first_line(error: BaseException | None) -> str:
    """What an exception of others says first."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
