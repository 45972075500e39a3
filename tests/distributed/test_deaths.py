"""Processes killed during a sweep: a line names each, the others continue, and the results are the same bytes."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from numpy.typing import NDArray

from ripu_ray.config import Config, load_config
from ripu_ray.data.synthetic import images as synthetic
from ripu_ray.distributed import cluster, sweeping
from ripu_ray.distributed.sweeping import run_sweep
from ripu_ray.errors import ClusterError
from ripu_ray.runs.event_log import OnProgress, Progress
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation import execution
from ripu_ray.simulation.execution import Parts
from tests.conftest import TINY
from tests.running import committed, dying, ignore, run_all


def _config(*more: str) -> Config:
    return load_config(None, (*TINY, *more), {"sweep.budgets": ["5", "9px", "9"]})


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the same grid leaves behind without deaths."""
    return committed(run_all(tmp_path_factory.mktemp("plain") / "run", _config("cluster.scorers=0")))


def _of(trial_id: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {path: content for path, content in files.items() if path.startswith(f"trials/{trial_id}/")}


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cpus")
def test_trials_whose_processes_die(plain: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder.create(tmp_path / "run", _config("cluster.scorers=1", "cluster.max_failures=1"))
    mortal, poisoned, healthy = run.trials
    grave = tmp_path / "grave"

    class Poisoned(synthetic.SyntheticImages):
        def image(self, image_id: str) -> NDArray[np.uint8]:
            if image_id == "target/train/00002":
                os.kill(os.getpid(), signal.SIGKILL)
            return super().image(image_id)

    def execute(run: RunFolder, name: str, report: OnProgress, parts: Parts) -> None:
        if name == mortal:
            report = dying(report, grave)
        if name == poisoned:
            synthetic.SyntheticImages = Poisoned  # type: ignore[misc]
        execution.execute_trial(run, name, report, parts)

    monkeypatch.setattr(sweeping, "execute_trial", execute)
    reports: list[Progress] = []
    failures = run_sweep(run, reports.append)
    assert grave.exists()
    assert failures.keys() == {poisoned}
    assert failures[poisoned] == "its process died 2 times, while reading target/train/00002; given up"
    files = committed(run)
    for trial_id in (mortal, healthy):
        assert _of(trial_id, files) == _of(trial_id, plain)

    log = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    # On a busy machine, that scorers are slow to start is said as well.
    warnings = [line for line in log if line["level"] == "warning" and "have waited for" not in line["text"]]
    told = [(line["trial"], line["round"], line["phase"], line["text"]) for line in warnings]
    shown = [(r.trial_id, r.round, r.phase, r.note) for r in reports if " died" in r.note]
    assert sorted(told) == sorted(shown)
    # Training reports after its first step: until then, the driver knows of the phase before it.
    assert {line[:3] for line in told} == {(mortal, 1, "evaluate"), (poisoned, 0, "score")}
    dead = r"the trial's process on node \S+ \(\w{8}\) died; it is restarted from its folder"
    assert len(told) == 2
    assert all(re.fullmatch(dead, text) for *_, text in told)
    # Round 0 of the trial that died in round 1 was not run again.
    assert sum((line["trial"], line["round"], line["phase"]) == (mortal, 0, "score") for line in log) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cpus")
def test_what_the_training_of_a_dead_trial_held_is_free_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # 3 of 4 cores: the next group fits once those of the first one are free.
    asks = ("cluster.train_workers=1", "cluster.threads=3", "cluster.scorers=0")
    config = load_config(None, (*TINY, "strategy.rounds=1", "training.round_steps=30", *asks))
    run = RunFolder.create(tmp_path / "run", config)
    grave = tmp_path / "grave"

    def execute(run: RunFolder, name: str, report: OnProgress, parts: Parts) -> None:
        def deadly(progress: Progress) -> None:
            report(progress)
            if progress.phase == "train" and not grave.exists():
                grave.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        execution.execute_trial(run, name, deadly, parts)

    monkeypatch.setattr(sweeping, "execute_trial", execute)
    assert run_sweep(run, ignore) == {}
    assert grave.exists()
    assert all(map(run.is_finished, run.trials))
    groups = ray.util.placement_group_table().values()
    assert {group["state"] for group in groups} == {"REMOVED"}


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cpus")
def test_trials_that_cannot_start_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Greedy:
        def ready(self) -> None:
            """Nothing more to do."""

    # Not what is available now: a process of an earlier test may hold a byte until it has ended.
    everything: float = ray.cluster_resources()["memory"]  # type: ignore[no-untyped-call]
    greedy: Any = ray.remote(Greedy).options(memory=everything, num_cpus=0).remote()
    ray.get(greedy.ready.remote())
    monkeypatch.setattr(cluster, "NOTICE_S", 0.5)
    run = RunFolder.create(tmp_path / "run", _config("cluster.scorers=0", "cluster.start_timeout_s=2"))
    reports: list[Progress] = []
    there_is = r"the cluster has 4 CPU \(4 free\), 0 GPU \(0 free\)"
    try:
        with pytest.raises(ClusterError, match=rf"trials did not start within 2 s; {there_is}"):
            run_sweep(run, reports.append)
    finally:
        ray.kill(greedy)
    _, waiting = [report.note for report in reports]
    assert re.fullmatch(rf"trials have waited for \d+ s; {there_is}", waiting)


@pytest.mark.slow
def test_the_driver_is_killed_and_its_run_goes_on(plain: dict[str, bytes], tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "run", _config("cluster.scorers=1", "cluster.cpus=2"))
    command = [sys.executable, "-m", "ripu_cli", "sweep", "--resume", str(tmp_path / "run")]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert first.stdout
    while "round 1 (2 of 2), score" not in first.stdout.readline():
        assert first.poll() is None
    first.kill()
    first.communicate()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"taken over from process {first.pid}" in done.stderr
    assert committed(RunFolder(tmp_path / "run")) == plain
