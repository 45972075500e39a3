"""A node that is cut off in the middle of a round: the run ends like one of a whole cluster."""

import json
import re
import time
from pathlib import Path

import pytest

from ripu_ray.runs.run_folder import RunFolder
from tests.cluster.network import INTERFACE, RayNetwork, ray_network
from tests.conftest import TINY
from tests.running import committed

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
SETTINGS = (
    *TINY,
    "data.num_pool=12",
    "training.round_steps=120",
    "training.checkpoint_every=5",
    "cluster.scorers=3",
    "cluster.train_workers=2",
    f"cluster.interface={INTERFACE}",
)


def _arguments(network: RayNetwork, folder: Path) -> list[str]:
    settings = (*SETTINGS, f"cluster.address={network.address}")
    return ["run", *(f"--set={setting}" for setting in settings), "--output", str(folder.parent), "--name", folder.name]


def test_a_node_that_is_cut_off_changes_no_byte(tmp_path: Path) -> None:
    with ray_network(3) as network:
        for name in ("whole", "cut"):
            process = network.start(*_arguments(network, tmp_path / name))
            if name == "cut":
                # Two of three nodes train; by its first partial state the group is at work, across the network.
                while not list(tmp_path.glob("cut/trials/*/round_00/partial.pt")):
                    assert process.poll() is None, process.communicate()[0]
                    time.sleep(0.05)
                victim = next(node for node in network.nodes[1:] if node.runs("TrainWorker"))
                victim.cut_off()
            output, _ = process.communicate()
            assert process.returncode == 0, output
    whole, cut = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "cut")
    assert committed(cut) == committed(whole)
    # Whether the trial's own process was on that node as well is Ray's choice.
    said = [json.loads(line)["text"] for line in (cut.path / "log.jsonl").read_text().splitlines()]
    assert any(re.search(rf" on node {re.escape(victim.ip)} .* died", text) for text in said), said
