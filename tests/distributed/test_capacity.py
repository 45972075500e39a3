"""The calculated number of trials and scorers that fit, without Ray."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ripu_ray.config import ClusterConfig
from ripu_ray.distributed.capacity import (
    check_capacity,
    describe_share,
    num_concurrent,
    num_fitting,
    num_scorers,
    process_gpus,
)
from ripu_ray.errors import ConfigError
from tests.conftest import TINY


def _nodes(*cpus: int, gpus: int = 0) -> list[dict[str, float]]:
    return [{"CPU": float(number), "GPU": float(gpus)} for number in cpus]


@pytest.mark.parametrize(
    ("cluster", "nodes", "concurrent", "scorers"),
    [
        (ClusterConfig(), _nodes(4), 4, 1),
        (ClusterConfig(scorers=2, train_workers=3), _nodes(4, 4), 2, 2),
        (ClusterConfig(scorers="auto"), _nodes(4, 4), 8, 1),
        (ClusterConfig(scorers="auto", concurrent_trials=2), _nodes(4, 4), 2, 4),
        # Two cores on one node each: what is left of the odd ones cannot be used.
        (ClusterConfig(scorers="auto", threads=2, concurrent_trials=1), _nodes(3, 3), 1, 2),
        (ClusterConfig(scorers="auto", train_workers=2, gpu=True), _nodes(16, 16, gpus=4), 4, 2),
        (ClusterConfig(scorers=0, train_workers=0, gpu=True), _nodes(16, gpus=3), 3, 0),
        (ClusterConfig(scorers=0, train_workers=0, gpu=True, processes_per_gpu=3), _nodes(16, gpus=2), 6, 0),
        (ClusterConfig(scorers="auto", train_workers=1, gpu=True, processes_per_gpu=7), _nodes(9, gpus=1), 7, 1),
        (ClusterConfig(scorers=2, train_workers=2, gpu=True, grows=True), _nodes(0), 1, 2),
        (ClusterConfig(scorers="auto", train_workers=2, gpu=True, grows=True, concurrent_trials=8), _nodes(0), 8, 1),
        (ClusterConfig(grows=True), _nodes(4, 4), 8, 1),
    ],
)
def test_trials_and_scorers_share_what_there_is(
    cluster: ClusterConfig, nodes: list[dict[str, float]], concurrent: int, scorers: int
) -> None:
    check_capacity(cluster, nodes)
    assert num_concurrent(cluster, nodes) == concurrent
    assert num_scorers(cluster, nodes, concurrent) == scorers


@pytest.mark.parametrize(
    ("cluster", "nodes", "decoders"),
    [
        (ClusterConfig(), _nodes(16), 0),
        (ClusterConfig(decoders=5), _nodes(4), 5),
        (ClusterConfig(gpu=True), _nodes(16), 0),
        (ClusterConfig(gpu=True), _nodes(16, gpus=1), 8),
        (ClusterConfig(gpu=True, threads=2), _nodes(16, gpus=2), 6),
        (ClusterConfig(gpu=True, processes_per_gpu=4), _nodes(9, gpus=1), 1),
        (ClusterConfig(gpu=True), _nodes(4, gpus=8), 0),
        (ClusterConfig(gpu=True), [*_nodes(64), *_nodes(16, gpus=1), *_nodes(6, gpus=1)], 5),
    ],
)
def test_decoders_leave_as_many_places_as_the_gpus_allow(
    cluster: ClusterConfig, nodes: list[dict[str, float]], decoders: int
) -> None:
    assert cluster.num_decoders(nodes) == decoders
    if cluster.decoders == "auto":
        taking = cluster.model_copy(update={"decoders": decoders})
        assert num_concurrent(taking, nodes) == num_concurrent(cluster, nodes)


def test_scorers_that_a_cluster_has_lost_the_nodes_for_are_not_waited_for() -> None:
    cluster = ClusterConfig(scorers=3, threads=2)
    assert num_fitting(cluster, _nodes(4, 4), 3) == 3
    assert num_fitting(cluster, _nodes(4, 1), 3) == 2
    assert num_fitting(cluster, _nodes(1), 3) == 1
    assert num_fitting(ClusterConfig(scorers=3, grows=True), _nodes(1), 3) == 3


@pytest.mark.parametrize(
    ("cluster", "nodes", "says"),
    [
        (ClusterConfig(scorers=2, decoders=3), _nodes(7), "cluster.decoders 3: one trial needs 8 CPU, there are 7"),
        (ClusterConfig(scorers=5), _nodes(2, 2), "one trial needs 5 CPU, there are 4"),
        (ClusterConfig(scorers=2, train_workers=1, gpu=True), _nodes(8, gpus=1), "one trial needs 2 GPU, there are 1"),
        (ClusterConfig(scorers=3, threads=2), _nodes(3, 3), "one trial needs 3 x 2 CPU, the nodes hold 2 of them"),
        # Training in the trial's own process would use a GPU that a scorer of another trial holds.
        (ClusterConfig(scorers=1, train_workers=0, gpu=True), _nodes(8, gpus=8), "1 or more of each"),
        (ClusterConfig(scorers=0, train_workers=1, gpu=True), _nodes(8, gpus=8), "1 or more of each"),
        (ClusterConfig(scorers=3, train_workers=1, gpu=True, processes_per_gpu=2), _nodes(8, gpus=1), "needs 1.5 GPU"),
        # NCCL refuses two of one group on the same GPU.
        (ClusterConfig(train_workers=2, gpu=True, processes_per_gpu=2), _nodes(8, gpus=2), "need a GPU each"),
    ],
)
def test_a_trial_that_never_fits_is_refused(cluster: ClusterConfig, nodes: list[dict[str, float]], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_capacity(cluster, nodes)


@pytest.mark.parametrize("number", range(1, 101))
def test_as_many_processes_as_share_a_gpu_fit_on_it(number: int) -> None:
    """Ray rounds what is asked for to ten-thousandths."""
    share = process_gpus(ClusterConfig(gpu=True, processes_per_gpu=number))
    assert round(share, 4) == share
    assert number * round(share * 10_000) <= 10_000 < (number + 1) * round(share * 10_000)


def test_what_one_trial_needs_in_words() -> None:
    cluster = ClusterConfig(scorers="auto", train_workers=2, gpu=True)
    assert describe_share(cluster, _nodes(16, 16, gpus=4), 4) == (
        "one trial needs 2 CPU and 2 GPU, and uses more for scoring if they are free; the cluster has 32 CPU and 8 GPU "
        "on 2 nodes: 4 at a time, 2 scorers each, 3 decoders a scorer"
    )
    sharing = ClusterConfig(scorers=0, gpu=True, processes_per_gpu=4)
    assert describe_share(sharing, _nodes(16, gpus=1), 4) == (
        "one trial needs 1 CPU and 0.25 GPU; the cluster has 16 CPU and 1 GPU on 1 node: 4 at a time"
    )
    growing = ClusterConfig(grows=True, concurrent_trials=3)
    assert describe_share(growing, _nodes(0), 3) == (
        "one trial needs 1 CPU; the cluster has 0 CPU on 1 node and grows: 3 at a time"
    )


@pytest.mark.slow
def test_a_socket_s_path_that_is_too_long_says_what_to_set(tmp_path: Path) -> None:
    long = tmp_path / ("l" * 100)
    long.mkdir()
    flags = [f"--set={setting}" for setting in (*TINY, "cluster.scorers=1")]
    done = subprocess.run(
        [sys.executable, "-m", "ripu_cli", "run", *flags],
        cwd=tmp_path,
        env={**os.environ, "RAY_TMPDIR": str(long)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "set RAY_TMPDIR to a short folder" in done.stderr
