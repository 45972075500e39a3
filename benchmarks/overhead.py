"""Overhead of Ray in a sweep: the loop through Ray Tune, with a scoring actor, compared with the same loop without Ray.

Both run a trial of the embedded task with few rounds and with many. The difference is the time of the further rounds
alone, without the start of Ray, of processes and of actors. Both train in the trial's process.

`python -m benchmarks.overhead` takes 6 minutes on an idle machine and prints, at the end,

    figure: orchestration_ratio <seconds of the further rounds with Ray / without>
"""

import statistics
import tempfile
import time
from pathlib import Path

from ripu_ray.config import ClusterConfig, load_config
from ripu_ray.distributed.cluster import start_ray
from ripu_ray.distributed.sweeping import run_sweep
from ripu_ray.runs.event_log import Progress
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.execution import local_parts, run_alone
from ripu_ray.tracking.group import open_trackers

FEW, MANY = 1, 4
REPEATS = 3


def main() -> None:
    """Measure and print."""
    start_ray(ClusterConfig())
    further: dict[int, list[float]] = {0: [], 1: []}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(REPEATS):
            for scorers, taken in further.items():
                few, many = (seconds(Path(folder) / f"{repeat}-{scorers}-{n}", scorers, n) for n in (FEW, MANY))
                print(f"{'Ray' if scorers else 'no Ray'}: {FEW} round {few:.1f} s, {MANY} rounds {many:.1f} s")
                taken.append(many - few)
    print(f"figure: orchestration_ratio {statistics.median(further[1]) / statistics.median(further[0]):.3f}")


def seconds(folder: Path, scorers: int, rounds: int) -> float:
    """Of a sweep of one trial with a short warm-up and the demo's rounds."""
    short = ("training.warmup_steps=10", f"strategy.rounds={rounds}", f"cluster.scorers={scorers}")
    run = RunFolder.create(folder, load_config(None, (*short, "tracking.wandb=disabled")))
    start = time.perf_counter()
    failures = run_sweep(run, _ignore) if scorers else run_alone(run, _ignore, local_parts(open_trackers))
    assert not failures, failures
    return time.perf_counter() - start


def _ignore(progress: Progress) -> None:
    """Drop a report."""


if __name__ == "__main__":
    main()
