"""A cluster whose nodes are drained one after the other, in a process of its own: test_nodes.py runs it."""

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ray
from ray._raylet import GcsClient  # type: ignore[attr-defined]

from ripu_ray.config import load_config
from ripu_ray.distributed import fine_tuning, sweeping
from ripu_ray.distributed.draining import NodeStop, leaving_nodes
from ripu_ray.distributed.fine_tuning import RayFineTuner
from ripu_ray.distributed.scorers import RayScorer
from ripu_ray.distributed.sweeping import run_sweep
from ripu_ray.runs.event_log import OnProgress, Progress
from ripu_ray.runs.ledger import Ledger
from ripu_ray.runs.record import Losses
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.runs.selections import Selection
from ripu_ray.simulation import execution
from ripu_ray.simulation.execution import Parts
from ripu_ray.simulation.local import LocalFineTuner
from ripu_ray.training.heartbeat import Heartbeat
from ripu_ray.training.job import OnMeasured, OnStep, TrainingJob
from ripu_ray.training.workers import worker_rank
from tests.conftest import TINY
from tests.distributed.nodes import joined_cluster, score_here, tell
from tests.running import committed, ignore_steps, into, run_all

PREEMPTION = 2


def _drain(node_id: str) -> None:
    """Give notice that a node goes in ten minutes, as a cloud does; return when it is known."""
    client = GcsClient(address=ray.get_runtime_context().gcs_address)
    accepted, why = client.drain_node(node_id, PREEMPTION, "a test", (time.time_ns() // 10**6) + 600_000)
    assert accepted, why
    while node_id not in leaving_nodes(max_age_s=0):
        time.sleep(0.05)


def _drain_own() -> None:
    _drain(ray.get_runtime_context().get_node_id())


def drain_nodes(folder: Path) -> dict[str, Any]:
    """The head stays. The others go: one while scoring, one while training, one with the process of a trial."""
    with joined_cluster({"num_cpus": 1, "memory": 0}, {"num_cpus": 2}) as (cluster, _):
        told = {"scoring": _score(folder)}
        cluster.add_node(num_cpus=2)
        cluster.add_node(num_cpus=2)
        told["training"] = _train(folder)
        cluster.add_node(num_cpus=2)
        told["trial"] = _run_trial(folder)
    return told


def _score(folder: Path) -> dict[str, Any]:
    config, weights, image_ids, requests = score_here(folder)
    said: list[str] = []
    scorer = RayScorer(config, keep=True, warn=into(said))
    scorer.acquire()
    nodes = {node["NodeID"] for node in ray.nodes()}  # type: ignore[no-untyped-call]

    def drained() -> Iterator[Selection]:
        for number, selection in enumerate(scorer.score(weights, 0, requests)):
            yield selection
            if number == 8:
                _drain(*(nodes - {ray.get_runtime_context().get_node_id()}))

    Ledger(folder / "ray", image_ids, 9).commit(0, drained())
    left = [*scorer._pool._nodes.values()]
    scorer.close()
    same = [(folder / name / "round_00/purchase.parquet").read_bytes() for name in ("local", "ray")]
    return {"same": same[0] == same[1], "said": said, "left": len(left)}


def _train(folder: Path) -> dict[str, Any]:
    config = load_config(None, (*TINY, "cluster.train_workers=2", "cluster.max_failures=0"))
    job = TrainingJob(config, 0, 5, start=None, output=folder / "w.pt", phase="warm-up")
    gone, said = folder / "gone", list[str]()

    def work(config: dict[str, Any]) -> None:
        class Draining(Heartbeat):
            def count(self, done: int) -> None:
                super().count(done)
                if done == 3 and worker_rank() == 0 and not gone.exists():
                    gone.touch()
                    _drain_own()

        fine_tuning.Heartbeat = Draining  # type: ignore[attr-defined]
        fine_tuning._work(config)

    moved = replace(job, stop=NodeStop.of(folder))
    with patch.object(fine_tuning, "_work", work):
        RayFineTuner(config, folder / "ray", into(said)).fit(moved, ignore_steps)
    unbroken = replace(job, output=folder / "unbroken.pt")
    RayFineTuner(config, folder / "ray").fit(unbroken, ignore_steps)
    return {"same": job.output.read_bytes() == unbroken.output.read_bytes(), "said": said}


def _run_trial(folder: Path) -> dict[str, Any]:
    settings = ("strategy.rounds=1", "cluster.scorers=0", "cluster.max_failures=0", "training.round_steps=5")
    config = load_config(None, (*TINY, *settings))
    grave, said = folder / "grave", list[str]()

    def execute(run: RunFolder, name: str, report: OnProgress, parts: Parts) -> None:
        class Draining(LocalFineTuner):
            # Pickled by value, without the types.
            def fit(self, job: "TrainingJob", on_step: "OnStep", *more: "OnMeasured") -> "Losses":
                def count(done: int) -> None:
                    on_step(done)
                    if done == 3 and not grave.exists():
                        grave.touch()
                        _drain_own()

                return super().fit(job, count, *more)

        execution.execute_trial(
            run, name, report, replace(parts, fine_tuner=lambda config, heartbeat, *_: Draining(config, heartbeat))
        )

    def note(progress: Progress) -> None:
        if progress.note:
            said.append(progress.note)

    run = RunFolder.create(folder / "run", config)
    with patch.object(sweeping, "execute_trial", execute):
        failures = run_sweep(run, note)
    plain = run_all(folder / "plain", config)
    return {"failures": failures, "same": committed(run) == committed(plain), "said": said}


if __name__ == "__main__":
    tell(globals()[sys.argv[1]], Path(sys.argv[2]))
