"""Running trials in tests, and comparing what they leave behind."""

from pathlib import Path

from ripu_ray.config import Config
from ripu_ray.distributed.execution import execute_trial, execute_warmup
from ripu_ray.simulation.protocols import Progress
from ripu_ray.simulation.run_folder import RunFolder

COMMITTED = ("purchase.parquet", "purchase.json", "record.json", "weights.pt")


def run_all(folder: Path, config: Config) -> RunFolder:
    """Run every warm-up and trial of a configuration in this process, one after the other."""
    run = RunFolder.create(folder, config)
    for key in run.warmups:
        execute_warmup(run, key, ignore)
    for trial_id in run.trials:
        execute_trial(run, trial_id, ignore)
    return run


def ignore(progress: Progress) -> None:
    """Nobody watches."""


def ignore_steps(done: int) -> None:
    """Nobody counts."""


def committed(run: RunFolder, names: tuple[str, ...] = COMMITTED) -> dict[str, bytes]:
    """Every committed file of a run by its path in the run folder."""
    files = [path for path in sorted(run.path.rglob("*")) if path.name in names]
    return {str(path.relative_to(run.path)): path.read_bytes() for path in files}
