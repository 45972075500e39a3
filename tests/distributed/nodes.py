"""Simulated clusters of several nodes, each scenario in a process of its own: test_nodes.py runs them.

`python -m tests.distributed.nodes SCENARIO FOLDER` prints what happened as JSON in its last line.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import ray
from ray.cluster_utils import Cluster

from ripu_ray.config import ClusterConfig, Config, load_config
from ripu_ray.data.loading import open_domains
from ripu_ray.distributed import fine_tuning, scorers, sweeping
from ripu_ray.distributed.capacity import num_scorers
from ripu_ray.distributed.cluster import available_resources, start_ray
from ripu_ray.distributed.fine_tuning import RayFineTuner
from ripu_ray.distributed.scorers import RayScorer, ScoringActor
from ripu_ray.distributed.sweeping import run_sweep
from ripu_ray.errors import ConfigError
from ripu_ray.models.networks import build_network
from ripu_ray.runs.event_log import OnProgress
from ripu_ray.runs.ledger import Ledger
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.runs.selections import PackedSelections, Selection
from ripu_ray.simulation.execution import Parts
from ripu_ray.simulation.local import LocalScorer
from ripu_ray.simulation.protocols import ScoreRequest
from ripu_ray.training.checkpoint import TrainingState
from ripu_ray.training.heartbeat import Heartbeat
from ripu_ray.training.job import TrainingJob
from tests.conftest import TINY
from tests.running import ignore, ignore_steps, into


@contextmanager
def joined_cluster(*nodes: dict[str, Any]) -> Iterator[tuple[Cluster, list[Any]]]:
    """The first node is the head; this process joins it."""
    cluster = Cluster()
    started = [cluster.add_node(include_dashboard=False, **node) for node in nodes]
    cluster.wait_for_nodes()
    start_ray(ClusterConfig(address=cluster.address))
    try:
        yield cluster, started
    finally:
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]


def score_here(folder: Path) -> tuple[Config, Path, tuple[str, ...], list[ScoreRequest]]:
    """The task of three scorers, with the purchase of this process in `local`."""
    config = load_config(None, (*TINY, "data.num_pool=60", "cluster.scorers=3"))
    weights = write_weights(config, folder / "weights.pt")
    image_ids = open_domains(config.data).pool.image_ids
    requests = [ScoreRequest(image_id, np.empty((0, 2), np.int32)) for image_id in image_ids]
    expected = LocalScorer(config).score(weights, 0, requests)
    Ledger(folder / "local", image_ids, 9).commit(0, expected)
    return config, weights, image_ids, requests


def lose_a_node_while_scoring(folder: Path) -> dict[str, Any]:
    """Two of three scorers go with their node; those of the other one finish."""
    config, weights, image_ids, requests = score_here(folder)
    said: list[str] = []
    with joined_cluster({"num_cpus": 1}, {"num_cpus": 2}) as (cluster, (head, other)):
        head_id = head.node_id

        class Stuck(ScoringActor):
            """On the other node, it never comes back from its second batch."""

            batches = 0

            def score(self, weights: Any, round_index: int, requests: list[ScoreRequest]) -> PackedSelections:
                self.batches += 1
                if self.batches == 2 and ray.get_runtime_context().get_node_id() != head_id:
                    time.sleep(3600)
                return super().score(weights, round_index, requests)

        with patch.object(scorers, "ScoringActor", Stuck):
            scorer = RayScorer(config, keep=True, warn=into(said))
            scorer.acquire()
        nodes = sorted(scorer._pool._nodes.values())
        where: list[list[str]] = []

        def watched() -> Iterator[Selection]:
            for number, selection in enumerate(scorer.score(weights, 0, requests)):
                yield selection
                # By then each scorer has answered once: 3 batches of 8.
                if number == 23:
                    assert scorer._weights
                    where.append(
                        ray.experimental.get_object_locations(scorer._weights[1])[scorer._weights[1][0]]["node_ids"]
                    )
                    cluster.remove_node(other, allow_graceful=False)

        Ledger(folder / "ray", image_ids, 9).commit(0, watched())
        scorer.close()
    same = [(folder / name / "round_00/purchase.parquet").read_bytes() for name in ("local", "ray")]
    return {"same": same[0] == same[1], "said": said, "nodes": nodes, "weights_on": len(where[0])}


def lose_a_node_while_training(folder: Path) -> dict[str, Any]:
    """Both workers go with their node; there is room on another one."""
    config = load_config(None, (*TINY, "cluster.train_workers=2", "training.checkpoint_every=2"))
    job = TrainingJob(config, 0, 5, start=None, output=folder / "w.pt", phase="warm-up")
    gone, said = folder / "gone", list[str]()
    with joined_cluster({"num_cpus": 0}, {"num_cpus": 2}, {"num_cpus": 2}) as (cluster, (_, *nodes)):
        expected = RayFineTuner(config, folder / "ray").fit(replace(job, output=folder / "unbroken.pt"), ignore_steps)
        job.partial.unlink()  # or the second run would go on where the first was at its fourth step

        def work(config: dict[str, Any]) -> None:
            class Waiting(Heartbeat):
                """After three steps, it waits for its end; no member of the next group waits."""

                def count(self, done: int) -> None:
                    super().count(done)
                    if done == 3 and not gone.exists():
                        time.sleep(3600)

            fine_tuning.Heartbeat = Waiting  # type: ignore[attr-defined]
            fine_tuning._work(config)

        def on_step(done: int) -> None:
            if done == 3 and not gone.exists():
                (heartbeat,) = (path for path in folder.glob("ray/*/rank-0.json") if '"done": 3' in path.read_text())
                (lost,) = (node for node in nodes if node.node_id[:8] in heartbeat.read_text())
                cluster.remove_node(lost, allow_graceful=False)
                gone.touch()

        with patch.object(fine_tuning, "_work", work):
            losses = RayFineTuner(config, folder / "ray", into(said)).fit(job, on_step)
    same = job.output.read_bytes() == (folder / "unbroken.pt").read_bytes()
    return {"same": same and losses == expected, "said": said}


def take_turns_on_gpus(folder: Path) -> dict[str, Any]:
    """Ray is told of GPUs that are not there; what is seen is who holds which."""
    with joined_cluster({"num_cpus": 1}, {"num_cpus": 6, "num_gpus": 3}) as _:
        config = load_config(None, (*TINY, "cluster.gpu=true", "cluster.scorers=auto", "cluster.train_workers=1"))
        nodes = [node["Resources"] for node in ray.nodes()]  # type: ignore[no-untyped-call]

        class Seeing(ScoringActor):
            def ready(self) -> str:
                return os.environ["CUDA_VISIBLE_DEVICES"]

        free = list[float]()
        with patch.object(scorers, "ScoringActor", Seeing):
            scorer = RayScorer(config, keep=False, share=num_scorers(config.cluster, nodes, 1))
            scorer.acquire()
            devices = sorted(scorer._pool._nodes.values())
            scorer.release()
            while not free or free[-1] < 3:
                free.append(available_resources()["GPU"])
                time.sleep(0.05)
            # What others hold is not waited for.
            other_one: Any = ray.remote(Seeing).options(num_gpus=1).remote(config, "cpu")
            ray.get(other_one.ready.remote())
            scorer.acquire()
            beside_others = len(scorer._pool._nodes)
            scorer.close()
            ray.kill(other_one)

        def execute(run: RunFolder, name: str, report: OnProgress, parts: Parts) -> None:
            (folder / name).write_text(os.environ["CUDA_VISIBLE_DEVICES"])
            while len(list(folder.glob("region-*"))) < 6:
                time.sleep(0.05)

        settings = (*TINY, "cluster.gpu=true", "cluster.processes_per_gpu=2", "cluster.scorers=0")
        run = RunFolder.create(folder / "run", load_config(None, settings, {"sweep.seeds": [*range(6)]}))
        # Trials start where their warm-up is done.
        with patch.object(sweeping, "execute_trial", execute), patch.object(RunFolder, "is_done", _is_warmup):
            assert run_sweep(run, ignore) == {}
        trials = sorted(path.read_text() for path in folder.glob("region-*"))
    return {"devices": devices, "beside_others": beside_others, "trials": trials}


def _plan(address: str, num_workers: int) -> dict[str, Any]:
    """What Ray's autoscaler may start: processes of this machine, each a node."""
    types = {"head": {"CPU": 0}, "worker": {"CPU": 1}}
    # Ray fills in what has to do with machines to log in to where `ray up` starts the head.
    lists = "cluster_synced_files initialization_commands setup_commands head_setup_commands worker_setup_commands "
    lists += "head_start_ray_commands worker_start_ray_commands"
    flags = ("use_node_id_as_ip", "disable_node_updaters", "disable_launch_config_check")
    return {
        "cluster_name": "growing",
        "max_workers": num_workers,
        "idle_timeout_minutes": 5,
        "provider": {"type": "fake_multinode", "gcs_address": address, **dict.fromkeys(flags, True)},
        "available_node_types": {
            f"ray.{name}.default": {"resources": has, "node_config": {}, "max_workers": num_workers * has["CPU"]}
            for name, has in types.items()
        },
        "head_node_type": "ray.head.default",
        "auth": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        **{name: [] for name in lists.split()},
    }


@contextmanager
def _growing_cluster(folder: Path, num_workers: int) -> Iterator[str]:
    """The address of a head without a core, whose autoscaler starts up to so many nodes of one core."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"{ray.util.get_node_ip_address()}:{port}"  # type: ignore[no-untyped-call]
    (folder / "plan.json").write_text(json.dumps(_plan(address, num_workers)))
    flags = ["--head", f"--port={port}", "--num-cpus=0", f"--autoscaling-config={folder / 'plan.json'}"]
    environment = {**os.environ, "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    # Sockets' paths have to be short.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as short, (folder / "head.log").open("wb") as log:
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", f"--temp-dir={short}", *flags]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            while "Ray runtime started" not in (folder / "head.log").read_text():
                assert process.poll() is None, (folder / "head.log").read_text()
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()
            process.wait()
            # The nodes that were started would look for their head for a minute.
            subprocess.run(["pkill", "--signal", "KILL", "--full", short], check=False)


def grow_from_nothing(folder: Path) -> dict[str, Any]:
    """The head has no core; Ray's autoscaler starts real raylets for who asks."""
    with _growing_cluster(folder, num_workers=2) as address:
        asks = ("cluster.scorers=2", "cluster.train_workers=2", f"cluster.address={address}")
        settings = (*TINY, "strategy.rounds=1", *asks)
        said = list[str]()
        try:
            run_sweep(RunFolder.create(folder / "fixed", load_config(None, settings)), ignore)
        except ConfigError as error:
            said.append(str(error))
        run = RunFolder.create(folder / "run", load_config(None, (*settings, "cluster.grows=true")))
        failures = run_sweep(run, lambda progress: said.append(progress.note) if progress.note else None)
        nodes = len([node for node in ray.nodes() if node["Resources"].get("CPU")])  # type: ignore[no-untyped-call]
        ray.shutdown()
    finished = all(map(run.is_finished, run.trials))
    return {"failures": failures, "finished": finished, "nodes": nodes, "said": said}


def _is_warmup(run: RunFolder, name: str) -> bool:
    return name not in run.trials


def write_weights(config: Config, path: Path) -> Path:
    """Write the weights of a fresh network."""
    network = build_network(config.model, open_domains(config.data).classes.num_classes, seed=3)
    TrainingState(network.state_dict(), {"state": {}, "param_groups": []}, 0).save(path)
    return path


def tell(scenario: Callable[[Path], dict[str, Any]], folder: Path) -> None:
    """Run a scenario and print what happened as JSON in the last line."""
    sys.stdout.write("\n" + json.dumps(scenario(folder)) + "\n")


if __name__ == "__main__":
    tell(globals()[sys.argv[1]], Path(sys.argv[2]))
