"""The resources that a trial needs, and how many trials fit. Imports no Ray, so that validation is fast.

The phases of a trial hold the same cores and GPUs in turn: first the scorers, then the training workers. A trial
needs as many places as its largest phase has processes. A place is `cluster.threads` cores on one node, the cores of
`cluster.decoders` and, with `cluster.gpu`, a GPU or a share of one. `decoders: auto` takes cores that no place needs.
"""

import os
from collections.abc import Mapping, Sequence
from fractions import Fraction

from ripu_ray.config import ClusterConfig
from ripu_ray.errors import ConfigError, counted

Nodes = Sequence[Mapping[str, float]]
"""Resources of each node, such as {"CPU": 2.0}."""


def local_cpus(cluster: ClusterConfig) -> int:
    """Cores of a Ray that is started on this machine."""
    return cluster.cpus or len(os.sched_getaffinity(0))


def process_gpus(cluster: ClusterConfig) -> float:
    """GPUs of a scorer or training worker, rounded down to ten-thousandths because Ray would round 1/6 up."""
    return 10_000 // cluster.processes_per_gpu / 10_000 if cluster.gpu else 0.0


def scorer_cpus(cluster: ClusterConfig) -> int:
    """Cores of a scorer and its decoders; `decoders: auto` counts as none."""
    return cluster.threads + (cluster.num_decoders([]) if cluster.scorers else 0)


def trial_gpus(cluster: ClusterConfig) -> float:
    """GPUs of the trial's own process: those of a scorer if it scores and trains itself, else 0."""
    return 0.0 if cluster.scorers or cluster.train_workers else process_gpus(cluster)


def check_capacity(cluster: ClusterConfig, nodes: Nodes) -> None:
    """Check that the nodes can hold a trial and that its GPUs are reserved. Raises ConfigError.

    A cluster with `cluster.grows` is not limited to its present nodes.
    """
    if cluster.gpu and bool(cluster.scorers) != bool(cluster.train_workers):
        raise ConfigError(
            f"cluster.gpu with cluster.scorers {cluster.scorers} and cluster.train_workers {cluster.train_workers}: a "
            "GPU is held either by scorers and training workers in turn, 1 or more of each, or by the trial, with 0 of "
            "both"
        )
    if cluster.processes_per_gpu > 1 and cluster.train_workers > 1:
        raise ConfigError(
            f"cluster.processes_per_gpu {cluster.processes_per_gpu} with cluster.train_workers {cluster.train_workers}:"
            " training workers that are joined (NCCL) need a GPU each"
        )
    if cluster.grows:
        return
    asks = f"cluster.scorers {cluster.scorers}, cluster.train_workers {cluster.train_workers}, cluster.threads "
    asks += f"{cluster.threads}"
    if decoders := scorer_cpus(cluster) - cluster.threads:
        asks += f", cluster.decoders {decoders}"
    asks += ": one trial needs"
    for resource, amount in _place(cluster).items():
        there_is = sum(node.get(resource, 0) for node in nodes)
        if amount * _width(cluster) > there_is:
            raise ConfigError(f"{asks} {float(amount * _width(cluster)):g} {resource}, there are {there_is:g}")
    if _width(cluster) > _num_places(cluster, nodes):
        place = _spelled(_place(cluster))
        raise ConfigError(f"{asks} {_width(cluster)} x {place}, the nodes hold {_num_places(cluster, nodes)} of them")


def num_concurrent(cluster: ClusterConfig, nodes: Nodes) -> int:
    """Trials that run at the same time: the number that fits, or the setting if the cluster grows."""
    fits = _num_places(cluster, nodes) // _width(cluster)
    if cluster.grows:
        return cluster.concurrent_trials or max(fits, 1)
    return min(fits, cluster.concurrent_trials or fits)


def num_scorers(cluster: ClusterConfig, nodes: Nodes, num_trials: int) -> int:
    """Scorers of each of `num_trials` concurrent trials; `auto` is an equal share of all places, at least 1."""
    return max(_num_places(cluster, nodes) // num_trials, 1) if cluster.scorers == "auto" else cluster.scorers


def num_fitting(cluster: ClusterConfig, nodes: Nodes, asked: int) -> int:
    """Scorers out of `asked` that the nodes can hold, at least 1. Nodes may have been lost since the start."""
    return asked if cluster.grows else min(asked, max(_num_places(cluster, nodes), 1))


def describe_need(cluster: ClusterConfig) -> str:
    """One line: the resources that one trial needs."""
    auto = ", and uses more for scoring if they are free" if cluster.scorers == "auto" else ""
    amounts = {resource: amount * _width(cluster) for resource, amount in _place(cluster).items()}
    return f"one trial needs {_spelled(amounts)}{auto}"


def describe_share(cluster: ClusterConfig, nodes: Nodes, num_trials: int) -> str:
    """One line: what one trial needs, what the cluster has, and how many trials run at a time."""
    there_is = {resource: Fraction(sum(node.get(resource, 0) for node in nodes)) for resource in _place(cluster)}
    auto = f", {counted(num_scorers(cluster, nodes, num_trials), 'scorer')} each" if cluster.scorers == "auto" else ""
    if cluster.scorers and (decoders := cluster.num_decoders(nodes)):
        auto += f", {counted(decoders, 'decoder')} a scorer"
    return (
        f"{describe_need(cluster)}; the cluster has {_spelled(there_is)} on "
        f"{counted(len(nodes), 'node')}{' and grows' if cluster.grows else ''}: "
        f"{num_trials} at a time{auto}"
    )


def _place(cluster: ClusterConfig) -> dict[str, Fraction]:
    gpu = {"GPU": Fraction(1, cluster.processes_per_gpu)} if cluster.gpu else {}
    return {"CPU": Fraction(scorer_cpus(cluster))} | gpu


def _width(cluster: ClusterConfig) -> int:
    """Places of a trial's largest phase; `auto` counts as one scorer."""
    return max(1 if cluster.scorers == "auto" else cluster.scorers, cluster.train_workers, 1)


def _num_places(cluster: ClusterConfig, nodes: Nodes) -> int:
    place = _place(cluster).items()
    return sum(min(int(Fraction(node.get(resource, 0)) / amount) for resource, amount in place) for node in nodes)


def _spelled(amounts: Mapping[str, Fraction]) -> str:
    return " and ".join(f"{float(amount):g} {resource}" for resource, amount in amounts.items())
