"""Growth of memory, file descriptors, processes and temporary files over many tiny trials of one sweep.

`python -m benchmarks.soak [--trials 200]` runs the sweep with W&B offline, measures after each trial, and prints

    figure: soak_growth_mb <MiB of the driver: median of the last fifth of the trials minus that of the second fifth>

and beside it the same difference for the file descriptors of the driver, for the memory and the number of all
processes, for temporary files, and for the run folder's files by trial.
"""

import argparse
import os
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.processes import ProcessTree
from benchmarks.trials import TINY


@dataclass(frozen=True)
class Look:
    """State of the sweep at one moment. `driver_mb`, `all_mb`: MiB that are not shared. Files: MiB, those in `run_mb`
    by finished trial."""

    driver_mb: float
    driver_files: float
    all_mb: float
    processes: float
    temporary_mb: float
    run_mb: float


def main() -> None:
    """Run, look, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=200)
    trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as name:
        folder, start = Path(name), time.perf_counter()
        (folder / "tmp").mkdir()
        os.environ |= {"TMPDIR": str(folder / "tmp"), "RAY_TMPDIR": str(folder / "tmp")}
        looks = list(_sweep(folder, trials))
        left = [path.name for path in (folder / "tmp").iterdir()]
    fifth = len(looks) // 5
    second, last = (_medians(part) for part in (looks[fifth : 2 * fifth], looks[-fifth:]))
    print(f"{trials} trials, {len(looks)} of them seen, {(time.perf_counter() - start) / 60:.0f} min; left: {left}")
    for key, value in last.items():
        print(f"{key}: {second[key]:.2f} -> {value:.2f}")
    print(f"figure: soak_growth_mb {last['driver_mb'] - second['driver_mb']:.1f}")


def _sweep(folder: Path, trials: int) -> Iterator[Look]:
    """Yields what is seen after each trial. Raises RuntimeError if the sweep fails."""
    budgets = ",".join(f"{budget}px" for budget in range(40, 40 + trials))
    flags = [f"--set={setting}" for setting in (*TINY, "cluster.concurrent_trials=2", "cluster.scorers=1")]
    with ProcessTree(["sweep", "--name=x", "--wandb=offline", "--budgets", budgets, *flags], folder) as tree:
        before = 0
        while tree.process.poll() is None:
            time.sleep(0.5)
            if (done := len(list(folder.glob("runs/x/trials/*/finished.json")))) in (before, trials):
                continue
            before = done
            with suppress(FileNotFoundError):  # the process ended in this moment
                yield _look(tree, folder, done)
        if tree.process.wait():
            raise RuntimeError(f"the sweep failed: {tree.out} {tree.err}")


def _look(tree: ProcessTree, folder: Path, done: int) -> Look:
    driver, members = tree.process.pid, tree.members()
    return Look(
        _memory_mb(driver),
        len(list(Path(f"/proc/{driver}/fd").iterdir())),
        sum(map(_memory_mb, members)),
        len(members),
        _files_mb(folder / "tmp"),
        _files_mb(folder / "runs") / done,
    )


def _memory_mb(pid: int) -> float:
    with suppress(FileNotFoundError, ProcessLookupError):
        found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0
    return 0.0


def _files_mb(folder: Path) -> float:
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.lstat().st_blocks * 512
    return total / 2**20


def _medians(looks: list[Look]) -> dict[str, float]:
    columns = [asdict(look) for look in looks]
    return {key: statistics.median(column[key] for column in columns) for key in columns[0]}


if __name__ == "__main__":
    main()
