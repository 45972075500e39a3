"""Wall time of the README's command, and the part of it that is neither training nor scoring.

`python -m benchmarks.sweep` runs `ripu sweep --budgets 2.2,5 --mode region` as a user does and prints

    figure: sweep_wall_s <seconds>
    figure: sweep_overhead_s <seconds that are not warm-up, scoring, training or evaluation>
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

WORK = ["seconds_train", "seconds_score", "seconds_evaluate"]


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).with_name("ripu")), "sweep", "--budgets", "2.2,5", "--mode", "region"]
        start = time.perf_counter()
        subprocess.run([*command, "--name", "demo"], cwd=folder, check=True)
        wall = time.perf_counter() - start
        results = pd.read_csv(Path(folder) / "runs" / "demo" / "results.csv")
    warmup = results[results["round"] == -1].groupby("seed")[WORK].first().sum(axis=1).sum()
    # Two trials run side by side.
    trials = results[results["round"] >= 0][WORK].sum().sum() / 2
    print(f"warm-up {warmup:.1f} s, trials {trials:.1f} s")
    print(f"figure: sweep_wall_s {wall:.1f}")
    print(f"figure: sweep_overhead_s {wall - warmup - trials:.1f}")


if __name__ == "__main__":
    main()
