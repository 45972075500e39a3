"""Clusters of several nodes: losing one, and sharing GPUs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
NODE = r"\S+ \(\w{8}\)"


def _happens(scenario: str, folder: Path, module: str = "nodes") -> dict[str, Any]:
    command = [sys.executable, "-m", f"tests.distributed.{module}", scenario, str(folder)]
    # Its nodes import modules of the tests, which only this variable puts on their path.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _without_waiting(told: dict[str, Any]) -> list[str]:
    """On a busy machine, that processes are slow to start is said as well."""
    return [line for line in told["said"] if "have waited for" not in line]


def test_a_node_is_lost_while_scoring(tmp_path: Path) -> None:
    told = _happens("lose_a_node_while_scoring", tmp_path)
    assert told["same"]
    # Scorers were on both nodes, two of them on the one that went, and weights crossed once to each node.
    assert len(set(told["nodes"])) == 2
    assert told["weights_on"] == 2
    lines = _without_waiting(told)
    assert len(lines) == 2
    for line in lines:
        assert re.match(rf"a scorer on node {NODE} died: \d+ images? to score again; another one is started", line)


def test_a_node_is_lost_while_training(tmp_path: Path) -> None:
    told = _happens("lose_a_node_while_training", tmp_path)
    assert told["same"]
    (line,) = _without_waiting(told)
    assert re.match(rf"a training worker on node {NODE} died after 3 of 5 steps; another group resumes after 2", line)


@pytest.mark.timeout(600)
def test_a_cluster_grows_from_nothing(tmp_path: Path) -> None:
    told = _happens("grow_from_nothing", tmp_path)
    assert told["said"][0].endswith("one trial needs 2 CPU, there are 0")
    assert "the cluster has 0 CPU on 1 node and grows: 1 at a time" in told["said"][1]
    assert (told["failures"], told["finished"], told["nodes"]) == ({}, True, 2)


def test_phases_and_trials_share_gpus(tmp_path: Path) -> None:
    told = _happens("take_turns_on_gpus", tmp_path)
    assert told == {"devices": ["0", "1", "2"], "beside_others": 2, "trials": ["0", "0", "1", "1", "2", "2"]}


@pytest.mark.timeout(600)
def test_nodes_are_drained(tmp_path: Path) -> None:
    """Nothing is scored or trained twice, and nothing counts as a failure."""
    told = _happens("drain_nodes", tmp_path, "draining")
    assert all(part["same"] for part in told.values())
    scoring, training, trial = (_without_waiting(told[name]) for name in ("scoring", "training", "trial"))
    assert scoring
    for line in scoring:
        assert re.match(rf"node {NODE} is draining: its scorer finishes its images, another one is started", line)
    assert told["scoring"]["left"] == 1
    assert training == ["the node of a training worker is draining; another group resumes after 4"]
    assert told["trial"]["failures"] == {}
    (line,) = (line for line in trial if "node" in line and "draining" in line)
    assert re.match(rf"the trial's node {NODE} is draining; it is restarted from its folder", line)
