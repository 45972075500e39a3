"""Running trials in tests, and comparing what they leave behind."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from ripu_cli.main import app
from typer.testing import CliRunner, Result

from ripu_ray.config import Config
from ripu_ray.data.loading import open_domains
from ripu_ray.distributed.parts import ray_parts
from ripu_ray.runs.event_log import Event, Failures, OnProgress, Progress, Warn
from ripu_ray.runs.record import Losses, RoundRecord
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation import execution
from ripu_ray.simulation.local import LocalFineTuner
from ripu_ray.training.checkpoint import TrainingState, load_training_state
from ripu_ray.training.job import TrainingJob

COMMITTED = ("purchase.parquet", "purchase.json", "classes.json", "confusion.json", "record.json", "weights.pt")


def ripu_here(cwd: Path, *arguments: str) -> Result:
    """Run `ripu` in this process, on the tests' Ray if there is one. An error that is not expected is raised."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        done = CliRunner(env={"COLUMNS": "200", "HOME": str(cwd)}).invoke(app, arguments)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def execute_warmup(run: RunFolder, key: str, report: OnProgress) -> RoundRecord:
    """Run one warm-up in this process, with the parts that its configuration asks for."""
    return execution.execute_warmup(run, key, report, ray_parts())


def execute_trial(run: RunFolder, trial_id: str, report: OnProgress) -> list[RoundRecord]:
    """Run one trial in this process, with the parts that its configuration asks for."""
    return execution.execute_trial(run, trial_id, report, ray_parts())


def run_alone(run: RunFolder, report: OnProgress) -> Failures:
    """Run what is left of a run in this process."""
    return execution.run_alone(run, report, ray_parts())


def run_all(folder: Path, config: Config) -> RunFolder:
    """Run every warm-up and trial of a configuration in this process, one after the other."""
    run = RunFolder.create(folder, config)
    for key in run.warmups:
        execute_warmup(run, key, ignore)
    for trial_id in run.trials:
        execute_trial(run, trial_id, ignore)
    return run


def ignore(progress: Progress) -> None:
    """Drop a report."""


def into(lines: list[str]) -> Warn:
    """A `Warn` that appends each line to a list."""

    def warn(text: str, event: Event = Event.NOTICE) -> None:
        lines.append(text)

    return warn


def ignore_steps(done: int) -> None:
    """Drop a count of steps."""


def interrupt_third_step(done: int) -> None:
    """Interrupt a phase after its third step, as Ctrl-C does."""
    if done == 3:
        raise KeyboardInterrupt


def committed(run: RunFolder, names: tuple[str, ...] = COMMITTED) -> dict[str, bytes]:
    """Every committed file of a run by its path in the run folder."""
    files = [path for path in sorted(run.path.rglob("*")) if path.name in names]
    return {str(path.relative_to(run.path)): path.read_bytes() for path in files}


def trained(config: Config, output: Path, num_steps: int = 4) -> tuple[TrainingState, Losses]:
    """What a few steps on source and target, with one region bought in each image, come to in this process."""
    annotated = {image_id: np.array([[9, 9]], np.int32) for image_id in open_domains(config.data).pool.image_ids}
    job = TrainingJob(config, 0, num_steps, None, output, "round 0", annotated)
    losses = LocalFineTuner(config).fit(job, ignore_steps)
    return load_training_state(output), losses


def dying(report: OnProgress, grave: Path) -> OnProgress:
    """`report`, which once, when round 1 is evaluated, kills its process and leaves a file `grave`."""

    def deadly(progress: Progress) -> None:
        report(progress)
        if (progress.round, progress.phase) == (1, "evaluate") and not grave.exists():
            grave.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return deadly
