"""A sweep is killed at random moments and resumed: does it end as the unbroken one, and what did the kill cost?

`python -m benchmarks.faults [--kills 20] [--seed 0] [--alone]` kills the process tree of a small sweep, Ray and all,
with SIGKILL, each time in a fresh folder and each time at another moment, resumes it, and compares every committed file
with the unbroken sweep's, byte for byte. `--alone` does so with one trial without Ray. It prints

    figure: faults_survived <those that ended right>/<kills>
    figure: recovery_s <median seconds from the resuming command to the first thing written in a trial or warm-up>
    figure: repeated_work_share <mean seconds of work that a kill undid, over those of the unbroken sweep>
"""

import argparse
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ProcessTree
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.runs.stages import StageFolder
from ripu_ray.storage.files import is_leftover

SETTINGS = (
    "data.num_source=6",
    "data.num_pool=5",
    "data.num_validation=3",
    "data.size=[32, 48]",
    "model.width=8",
    "training.warmup_steps=20",
    "training.round_steps=10",
    "training.checkpoint_every=3",
    "strategy.rounds=3",
    "strategy.budget=5",
    "tracking.wandb=disabled",
)
ON_RAY = ("sweep", "--budgets", "5,9px", "--set", "cluster.scorers=1")
ALONE = ("run", "--set", "cluster.scorers=0")
NAME = "x"
PATIENCE_S = 1800.0
COMMITTED = ("purchase.parquet", "purchase.json", "record.json", "weights.pt")


@dataclass(frozen=True)
class Whole:
    """What the unbroken run left, and how long it took.

    Attributes:
        files: every committed file by its path in the run folder.
        wall_s: from the command to its end.
        start_s: from the command to the first write.
        work_s: of warm-ups and trials, added up.
        num_writes: in warm-ups and rounds, as far as they were seen.
    """

    files: dict[str, bytes]
    wall_s: float
    start_s: float
    work_s: float
    num_writes: int

    def moment(self, share: float) -> "Moment":
        """When to kill. Equal shares of [0, 1) are equal numbers of writes: a start is long and writes nothing."""
        place = share * (self.num_writes + 1)
        gap_s = (self.wall_s - self.start_s) / self.num_writes if place >= 1 else self.start_s
        return Moment(int(place), place % 1 * gap_s)


@dataclass(frozen=True)
class Moment:
    """So many seconds after so many writes of a process."""

    num_writes: int
    delay_s: float


@dataclass(frozen=True)
class Kill:
    """One kill and what came of it.

    Attributes:
        phase: where the run was.
        fault: what is wrong in the end; None: nothing.
        recovery_s: see the figure of that name.
        lost_s: of work that was not on disk, added up over the trials at work.
    """

    phase: str
    fault: str | None
    recovery_s: float
    lost_s: float


def run_whole(command: Sequence[str], folder: Path) -> Whole:
    """Run without a kill. Raises RuntimeError if that fails."""
    start = time.perf_counter()
    with _start(command, folder) as tree:
        writes = _Writes(folder / "runs" / NAME)
        tree.wait_until(lambda: writes.count() > 0, PATIENCE_S)
        start_s = time.perf_counter() - start
        tree.wait_until(lambda: writes.count() < 0, PATIENCE_S)
        if tree.process.wait():
            raise RuntimeError(f"the unbroken run failed: {tree.out} {tree.err}")
        wall_s = time.perf_counter() - start
    run = RunFolder(folder / "runs" / NAME)
    work_s = sum(sum(stage.seconds().values()) for stage in _stages(run))
    return Whole(committed(run.path), wall_s, start_s, work_s, writes.count())


def kill_and_resume(command: Sequence[str], folder: Path, moments: Sequence[Moment], whole: Whole) -> Kill:
    """Kill a run, and those that resume it, at a moment each; let the last one end; compare.

    Args:
        command: of `ripu`.
        folder: an empty one.
        moments: of the kills. A run that ends before is killed no more.
        whole: what it has to end like.

    Returns:
        The last kill, with the fault of the end.
    """
    path = folder / "runs" / NAME
    finished: dict[Path, tuple[int, int]] = {}
    for moment in moments:
        with _start(command, folder) as tree:
            started_s, writes = time.time(), _Writes(path)
            tree.wait_until(lambda: writes.count() >= moment.num_writes, PATIENCE_S)  # noqa: B023  # not kept
            with suppress(subprocess.TimeoutExpired):
                tree.process.wait(moment.delay_s)
            tree.kill()
        phase, lost_s = _look(path, started_s)
        finished |= _finished(path)
    writes = _Writes(path)
    start = time.perf_counter()
    # The folder is enough where there is one to speak of; the same command always is.
    again = ["sweep", "--resume", f"runs/{NAME}"] if (path / "config.yaml").exists() else None
    with _start(command, folder, again) as tree:
        tree.wait_until(lambda: writes.count() > 0, PATIENCE_S)
        recovery_s = time.perf_counter() - start
        code = tree.process.wait()
        fault = f"exit code {code}: {tree.err}" if code else None
    if fault is None and (files := committed(path)) != whole.files:
        differ = sorted(name for name in files.keys() | whole.files if files.get(name) != whole.files.get(name))
        fault = f"differ from the unbroken run: {', '.join(differ)}"
    elif fault is None and (again_run := [file for file in finished if _identity(file) != finished[file]]):
        fault = f"done again though finished: {', '.join(map(str, again_run))}"
    return Kill(phase, fault, recovery_s, lost_s)


def committed(path: Path) -> dict[str, bytes]:
    """Every committed file of a run folder by its path in it."""
    files = [file for file in sorted(path.rglob("*")) if file.name in COMMITTED]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def main() -> None:
    """Kill, resume, compare, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--alone", action="store_true")
    options = parser.parse_args()
    command = ALONE if options.alone else ON_RAY
    rng = random.Random(options.seed)
    kills: list[Kill] = []
    with tempfile.TemporaryDirectory() as root:
        whole = run_whole(command, _fresh(Path(root) / "whole"))
        print(f"unbroken: {whole.wall_s:.1f} s, of which work {whole.work_s:.1f} s", flush=True)
        for index in range(options.kills):
            # Every part of the run gets its share of the kills.
            moment = whole.moment((index + rng.random()) / options.kills)
            folder = _fresh(Path(root) / "killed")
            kills.append(kill := kill_and_resume(command, folder, [moment], whole))
            print(f"{moment}, {kill.phase}: {kill.fault or 'survived'}; {kill.recovery_s:.1f} s", flush=True)
            shutil.rmtree(folder)
    survived = sum(kill.fault is None for kill in kills)
    print(", ".join(f"{phase} {count}" for phase, count in Counter(kill.phase for kill in kills).most_common()))
    print(f"figure: faults_survived {survived}/{len(kills)}")
    print(f"figure: recovery_s {statistics.median(kill.recovery_s for kill in kills):.1f}")
    print(f"figure: repeated_work_share {statistics.mean(kill.lost_s for kill in kills) / whole.work_s:.3f}")


def _fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _start(command: Sequence[str], folder: Path, instead: Sequence[str] | None = None) -> ProcessTree:
    flags = [flag for setting in SETTINGS for flag in ("--set", setting)]
    return ProcessTree(instead or [*command, *flags, "--name", NAME], folder)


def _stages(run: RunFolder) -> list[StageFolder]:
    """Of every warm-up and every round."""
    stages = [run.warmup(key) for key in run.warmups]
    for trial_id, trial in run.trials.items():
        stages += map(run.trial(trial_id).stage, range(trial.config.strategy.rounds))
    return stages


def _look(path: Path, started_s: float) -> tuple[str, float]:
    """Where a killed run was, and for how many seconds its unfinished warm-up and trials had written nothing down."""
    killed_s = time.time()
    if not (path / "config.yaml").exists():
        return "start-up", 0.0
    run = RunFolder(path)
    warmups = [run.warmup(key) for key in run.warmups if not run.warmup(key).is_committed()]
    trials = [run.trial(name) for name in run.trials if not run.is_finished(name)]
    if not warmups and not trials:
        return "report", 0.0
    at_work = [part for part in (warmups or trials) if part.path.exists()]
    if not at_work:
        return "start-up", 0.0
    written_s = [max((file.stat().st_mtime for file in part.path.rglob("*")), default=0.0) for part in at_work]
    lost_s = sum(killed_s - max(started_s, last_s) for last_s in written_s)
    part = at_work[0]
    if isinstance(part, StageFolder):
        return "evaluation" if part.weights.exists() else "warm-up", lost_s
    stage = part.stage(part.num_committed())
    if not (stage.path / "purchase.json").exists():
        return "scoring", lost_s
    return "evaluation" if stage.weights.exists() else "fine-tuning", lost_s


class _Writes:
    """Counts what is written in warm-ups and rounds from now on."""

    def __init__(self, path: Path) -> None:
        self._path, self._count = path, 0
        self._seen = self._look()

    def count(self) -> int:
        """Files that were written since the beginning; one that was written twice between two calls counts once."""
        seen = self._look()
        self._count += sum(self._seen.get(file) != written_ns for file, written_ns in seen.items())
        self._seen = seen
        return self._count

    def _look(self) -> dict[Path, int]:
        seen = {}
        for file in (*self._path.glob("warmups/*/*.*"), *self._path.glob("trials/*/round_*/*.*")):
            # What is written aside, and a partial, may go away in this moment.
            with suppress(FileNotFoundError):
                if not is_leftover(file):
                    seen[file] = file.stat().st_mtime_ns
        return seen


def _finished(path: Path) -> dict[Path, tuple[int, int]]:
    """The committed files of warm-ups and trials that are done, each with its identity."""
    if not (path / "config.yaml").exists():
        return {}
    run = RunFolder(path)
    done = [run.warmup(key).path for key in run.warmups if run.warmup(key).is_committed()]
    done += [run.trial(name).path for name in run.trials if run.is_finished(name)]
    return {file: _identity(file) for part in done for file in part.rglob("*") if file.name in COMMITTED}


def _identity(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_ino, status.st_mtime_ns


if __name__ == "__main__":
    main()
