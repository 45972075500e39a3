"""Starting Ray, or joining one, and speaking of what it has in one line."""

import logging
import os
from collections.abc import Sequence
from typing import Any

# Ray reads these when it is imported: no usage report, no banner, and Train looks at its workers ten times a second.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
from ray.exceptions import RayTaskError

from ripu_ray.config import ClusterConfig, Config
from ripu_ray.errors import ClusterError, ConfigError, RipuError


def local_cpus(cluster: ClusterConfig) -> int:
    """Cores that a Ray started here is told of."""
    return cluster.cpus or len(os.sched_getaffinity(0))


def cpus_of_one_trial(cluster: ClusterConfig) -> int:
    """Cores of a trial's widest phase; phases take them in turn."""
    return cluster.threads * max(cluster.scorers, cluster.train_workers, 1)


def check_capacity(cluster: ClusterConfig, has: dict[str, float]) -> None:
    """Refuse a trial that `has` could never hold. Raises ConfigError."""
    asks = {"CPU": float(cpus_of_one_trial(cluster))}
    if cluster.gpu:
        asks["GPU"] = float(max(cluster.scorers, cluster.train_workers, 1))
    for resource, amount in asks.items():
        if amount > has.get(resource, 0):
            raise ConfigError(
                f"cluster.scorers {cluster.scorers}, cluster.train_workers {cluster.train_workers}, cluster.threads "
                f"{cluster.threads}: one trial needs {amount:g} {resource}, there are {has.get(resource, 0):g}"
            )


def num_concurrent(config: Config, has: dict[str, float]) -> int:
    """Trials that run at the same time."""
    cluster = config.cluster
    fits = int(has["CPU"]) // cpus_of_one_trial(cluster)
    if cluster.gpu:
        fits = min(fits, int(has["GPU"]) // max(cluster.scorers, cluster.train_workers, 1))
    return min(fits, cluster.concurrent_trials or fits)


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
