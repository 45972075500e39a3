"""What a trial asks of a cluster, and how many trials fit. Loads no Ray, so that a wrong setting is told at once.

The phases of a trial take the same cores and GPUs in turn: scorers take them and give them back, then training workers
do. So a trial needs as many places as its widest phase has processes; a place is `cluster.threads` cores, and a GPU
where `cluster.gpu` says so, on one node.
"""

import os
from collections.abc import Mapping, Sequence

from ripu_ray.config import ClusterConfig
from ripu_ray.errors import ConfigError

Nodes = Sequence[Mapping[str, float]]
"""What each node has, such as {"CPU": 2.0}."""


def local_cpus(cluster: ClusterConfig) -> int:
    """Cores that a Ray started here is told of."""
    return cluster.cpus or len(os.sched_getaffinity(0))


def trial_gpus(cluster: ClusterConfig) -> int:
    """GPUs that a trial's own process holds all the time: one, if everything happens in it."""
    return int(cluster.gpu and not cluster.scorers and not cluster.train_workers)


def check_capacity(cluster: ClusterConfig, nodes: Nodes) -> None:
    """Refuse a trial that the nodes could never hold, or whose GPU nobody would reserve. Raises ConfigError.

    A cluster that grows holds whatever it is asked for, in time.
    """
    if cluster.gpu and bool(cluster.scorers) != bool(cluster.train_workers):
        raise ConfigError(
            f"cluster.gpu with cluster.scorers {cluster.scorers} and cluster.train_workers {cluster.train_workers}: a "
            "GPU is held either by scorers and training workers in turn, 1 or more of each, or by the trial, with 0 of "
            "both"
        )
    if cluster.grows:
        return
    asks = f"cluster.scorers {cluster.scorers}, cluster.train_workers {cluster.train_workers}, cluster.threads "
    asks += f"{cluster.threads}: one trial needs"
    for resource, amount in _place(cluster).items():
        there_is = sum(node.get(resource, 0) for node in nodes)
        if amount * _width(cluster) > there_is:
            raise ConfigError(f"{asks} {amount * _width(cluster)} {resource}, there are {there_is:g}")
    if _width(cluster) > _num_places(cluster, nodes):
        place = _spelled(_place(cluster))
        raise ConfigError(f"{asks} {_width(cluster)} x {place}, the nodes hold {_num_places(cluster, nodes)} of them")


def num_concurrent(cluster: ClusterConfig, nodes: Nodes) -> int:
    """Trials that run at the same time: as many as fit, or, where the cluster grows, as the setting says."""
    fits = _num_places(cluster, nodes) // _width(cluster)
    if cluster.grows:
        return cluster.concurrent_trials or max(fits, 1)
    return min(fits, cluster.concurrent_trials or fits)


def num_scorers(cluster: ClusterConfig, nodes: Nodes, num_trials: int) -> int:
    """Scorers of each of `num_trials` at the same time; with `auto`, its equal share of all places, at least 1."""
    return max(_num_places(cluster, nodes) // num_trials, 1) if cluster.scorers == "auto" else cluster.scorers


def num_fitting(cluster: ClusterConfig, nodes: Nodes, asked: int) -> int:
    """How many of the scorers asked for the nodes can hold, at least 1: nodes may have been lost since the start."""
    return asked if cluster.grows else min(asked, max(_num_places(cluster, nodes), 1))


def describe_need(cluster: ClusterConfig) -> str:
    """What one trial needs, in words."""
    auto = ", and takes more for scoring where there are" if cluster.scorers == "auto" else ""
    amounts = {resource: amount * _width(cluster) for resource, amount in _place(cluster).items()}
    return f"one trial needs {_spelled(amounts)}{auto}"


def describe_share(cluster: ClusterConfig, nodes: Nodes, num_trials: int) -> str:
    """What one trial needs, what there is, and what follows, in words."""
    there_is = {resource: int(sum(node.get(resource, 0) for node in nodes)) for resource in _place(cluster)}
    auto = f", {num_scorers(cluster, nodes, num_trials)} scorers each" if cluster.scorers == "auto" else ""
    return (
        f"{describe_need(cluster)}; the cluster has {_spelled(there_is)} on {len(nodes)} "
        f"{'node' if len(nodes) == 1 else 'nodes'}{' and grows' if cluster.grows else ''}: "
        f"{num_trials} at a time{auto}"
    )


def _place(cluster: ClusterConfig) -> dict[str, int]:
    return {"CPU": cluster.threads} | ({"GPU": 1} if cluster.gpu else {})


def _width(cluster: ClusterConfig) -> int:
    """Places of a trial's widest phase; `auto` begins with one scorer."""
    return max(1 if cluster.scorers == "auto" else cluster.scorers, cluster.train_workers, 1)


def _num_places(cluster: ClusterConfig, nodes: Nodes) -> int:
    place = _place(cluster).items()
    return sum(int(min(node.get(resource, 0) // amount for resource, amount in place)) for node in nodes)


def _spelled(amounts: Mapping[str, int]) -> str:
    return " and ".join(f"{amount} {resource}" for resource, amount in amounts.items())
