"""What a trial asks of a cluster, and how many trials fit. Loads no Ray, so that a wrong setting is told at once."""

import os

from ripu_ray.config import ClusterConfig, Config
from ripu_ray.errors import ConfigError


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
