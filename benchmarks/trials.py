"""Time of a further trial of a sweep that is not work: processes, actors, W&B and the run folder.

`python -m benchmarks.trials` runs two sweeps of tiny trials that share a warm-up, as a user does, and prints

    figure: per_trial_overhead_s <seconds of a further trial that are not scoring, training or evaluation>
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from benchmarks.sweep import WORK

FEW, MANY = 2, 12
TINY = (
    *("data.num_source=6", "data.num_pool=5", "data.num_validation=3", "data.size=[32,48]", "model.width=8"),
    *("training.warmup_steps=3", "training.round_steps=2", "strategy.rounds=2", "sweep.acquisitions=[ripu]"),
)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        (few, work_few), (many, work_many) = (_sweep(Path(folder), number) for number in (FEW, MANY))
    print(f"{FEW} trials {few:.1f} s, {MANY} trials {many:.1f} s, of which work {work_few:.1f} and {work_many:.1f} s")
    print(f"figure: per_trial_overhead_s {(many - few - (work_many - work_few)) / (MANY - FEW):.2f}")


def _sweep(folder: Path, number: int) -> tuple[float, float]:
    """Wall time of a sweep of `number` trials, one at a time, and the seconds of their phases."""
    command = [str(Path(sys.executable).with_name("ripu")), "sweep", "--name", str(number), "--wandb", "offline"]
    budgets = ",".join(f"{budget}px" for budget in range(40, 40 + number))
    settings = [f"--set={setting}" for setting in (*TINY, "cluster.concurrent_trials=1")]
    start = time.perf_counter()
    subprocess.run([*command, "--budgets", budgets, *settings], cwd=folder, check=True)
    wall = time.perf_counter() - start
    results = pd.read_csv(folder / "runs" / str(number) / "results.csv")
    return wall, float(results[results["round"] >= 0][WORK].sum().sum())


if __name__ == "__main__":
    main()
