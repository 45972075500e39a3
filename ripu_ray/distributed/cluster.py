"""Starting Ray, or joining one, and speaking of what it has in one line."""

import logging
import os
from collections.abc import Sequence
from typing import Any

# Ray reads these when it is imported: no usage report, no banner, Ctrl-C is ours, and Train
# looks at its workers ten times a second.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
from ray.exceptions import RayTaskError

from ripu_ray.config import ClusterConfig
from ripu_ray.distributed.capacity import local_cpus
from ripu_ray.errors import ClusterError, RipuError


def start_ray(cluster: ClusterConfig) -> dict[str, float]:
    """Start a local Ray, or join the one at `cluster.address`; a Ray that this process is joined to is kept.

    Returns:
        What the cluster has, such as {"CPU": 2.0}.

    Raises:
        ClusterError: there is no Ray at the address.
    """
    if not ray.is_initialized():
        num_cpus = None if cluster.address else local_cpus(cluster)
        try:
            ray.init(
                cluster.address,
                num_cpus=num_cpus,
                include_dashboard=False if num_cpus else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ClusterError(f"no Ray at {cluster.address or 'this machine'}: {first}") from None
    has: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return has


def wait_for_start(started: Sequence[Any], cluster: ClusterConfig, asked: str) -> None:
    """Wait until all of `started` are ready. Raises ClusterError after `cluster.start_timeout_s`."""
    ready, pending = ray.wait(list(started), num_returns=len(started), timeout=cluster.start_timeout_s)
    if pending:
        free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
        has = ", ".join(f"{free.get(name, 0):g} {name}" for name in ("CPU", "GPU"))
        raise ClusterError(
            f"{asked} did not start within {cluster.start_timeout_s:g} s: {len(pending)} of them wait, free: {has}"
        )
    try:
        ray.get(ready)
    except RayTaskError as error:
        raise own_error(error) from None


def own_error(error: RayTaskError) -> BaseException:
    """The exception that was raised in the actor, if it is one of ours; else Ray's."""
    return error.cause if isinstance(error.cause, RipuError) else error
