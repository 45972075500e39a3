"""Storage that one node of several does not see, told at the start with the node's name."""

import re
from pathlib import Path

import pytest

from tests.cluster.network import RayNetwork, ray_network
from tests.conftest import TINY
from tests.data.folders import write_data_set

pytestmark = pytest.mark.cluster


def _run(network: RayNetwork, *arguments: str) -> tuple[int, str]:
    settings = (*TINY[4:], f"cluster.address={network.address}", "cluster.scorers=1")
    process = network.start("run", *(f"--set={setting}" for setting in settings), *arguments)
    output, _ = process.communicate()
    return process.returncode, output


def test_a_node_that_does_not_see_the_run_folder_or_the_data_is_named(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    data = write_data_set(hidden / "data")
    settings = [f"data={{dataset: folder, root: {data.root}, source: day, target: dusk}}", "strategy.budget=20"]
    arguments = [f"--set={setting}" for setting in settings]
    with ray_network(2, hidden) as network:
        node = rf"ripu: node {re.escape(network.nodes[-1].ip)} \([0-9a-f]{{8}}\): "
        code, output = _run(network, "--output", str(hidden), "--name", "run")
        assert (code, len(re.findall(node + f"does not see {hidden}/run, the run folder", output))) == (2, 1), output
        assert not (hidden / "run" / "trials").exists()
        code, output = _run(network, "--output", str(tmp_path), "--name", "run", *arguments)
        assert (code, len(re.findall(node + f"{data.root}: data.root is not a folder", output))) == (2, 1), output
        left = sorted(path.name for path in (tmp_path / "run").iterdir())
        assert left == ["config.yaml", "data.json", "environment.json", "tracking.json"]
