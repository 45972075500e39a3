"""A sweep is killed at random moments and resumed: checks that it ends as the unbroken one, and measures the cost.

`python -m benchmarks.faults [--kills 60] [--seed 0] [--log FILE] [--alone]` kills the process tree of a small sweep,
Ray included, with SIGKILL, and the processes that resume it, until one of them ends. Then it compares every
committed file with that of the unbroken sweep, byte for byte, and starts again in a new folder. `--alone` does this
with one trial without Ray, 200 times. With `--log`, the same command continues after an interruption. It prints

    figure: faults_survived <kills whose run ended as the unbroken one>/<kills>
    figure: recovery_s <median seconds from the resuming command to the first thing written in a trial or warm-up>
    figure: repeated_work_share <mean seconds of work that a kill undid, over those of the unbroken sweep>
    figure: faults_minutes <minutes for all runs>
"""

import argparse
import json
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

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
KILLS_IN_A_RUN = 5
COMMITTED = ("purchase.parquet", "purchase.json", "record.json", "weights.pt")


@dataclass(frozen=True)
class Whole:
    """Files and duration of the unbroken run.

    Attributes:
        files: every committed file by its path in the run folder.
        wall_s: from the command to its end.
        start_s: from the command to the first write.
        work_s: of warm-ups and trials, in all.
        num_writes: writes in warm-ups and rounds that were observed.
    """

    files: dict[str, bytes]
    wall_s: float
    start_s: float
    work_s: float
    num_writes: int

    def moment(self, share: float) -> "Moment":
        """When to kill. Equal shares of [0, 1) are equal numbers of writes, since the start writes nothing."""
        place = share * (self.num_writes + 1)
        gap_s = (self.wall_s - self.start_s) / self.num_writes if place >= 1 else self.start_s
        return Moment(int(place), place % 1 * gap_s)


@dataclass(frozen=True)
class Moment:
    """A number of seconds after a number of writes of a process."""

    num_writes: int
    delay_s: float


@dataclass(frozen=True)
class Kill:
    """One kill and its consequences.

    Attributes:
        phase: of the run at this moment.
        lost_s: of work that was not on disk, in all running trials.
        recovery_s: see the figure of that name; None: the next process was killed first.
    """

    phase: str
    lost_s: float
    recovery_s: float | None = None


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


def kill_and_resume(
    command: Sequence[str], folder: Path, moments: Sequence[Moment], whole: Whole
) -> tuple[list[Kill], str | None]:
    """Kill a run, and each process that resumes it, at the given moments; let the last one end; compare.

    Args:
        command: of `ripu`.
        folder: an empty one.
        moments: of the kills. A run that ends before its moment is not killed.
        whole: the unbroken run.

    Returns:
        The kills, and what differs at the end; None: nothing.
    """
    path = folder / "runs" / NAME
    finished: dict[Path, tuple[int, int]] = {}
    kills: list[Kill] = []
    for moment in (*moments, None):
        # The folder alone resumes a run where one was created; the same command always does.
        again = ["sweep", "--resume", f"runs/{NAME}"] if kills and (path / "config.yaml").exists() else None
        started_s = time.time()
        with _start(command, folder, again) as tree:
            recovery_s, code = _run_until(moment, tree, _Writes(path))
            if kills:
                kills[-1] = replace(kills[-1], recovery_s=recovery_s)
            if code is not None:
                fault = f"exit code {code}: {tree.err}" if code else _compare(path, whole, finished)
                return kills, fault
            tree.kill()
        kills.append(Kill(*_look(path, started_s)))
        finished |= _finished(path)
    raise AssertionError("the last process runs to its end")


def _run_until(moment: Moment | None, tree: ProcessTree, writes: "_Writes") -> tuple[float | None, int | None]:
    """Wait for the moment, or the end. Returns the seconds to the first write, and the exit code; None if not there."""
    start, first_s = time.perf_counter(), None
    if (moment is None or moment.num_writes) and tree.wait_until(lambda: writes.count() > 0, PATIENCE_S):
        first_s = time.perf_counter() - start
    if moment is None:
        return first_s, tree.process.wait()
    tree.wait_until(lambda: writes.count() >= moment.num_writes, PATIENCE_S)
    with suppress(subprocess.TimeoutExpired):
        tree.process.wait(moment.delay_s)
    return first_s, tree.process.poll()


def _compare(path: Path, whole: Whole, finished: dict[Path, tuple[int, int]]) -> str | None:
    """What differs in a run folder at the end."""
    if (files := committed(path)) != whole.files:
        differ = sorted(name for name in files.keys() | whole.files if files.get(name) != whole.files.get(name))
        return f"differ from the unbroken run: {', '.join(differ)}"
    if again := [file for file in finished if _identity(file) != finished[file]]:
        return f"done again though finished: {', '.join(map(str, again))}"
    return None


def committed(path: Path) -> dict[str, bytes]:
    """Every committed file of a run folder by its path in it."""
    files = [file for file in sorted(path.rglob("*")) if file.name in COMMITTED]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def main() -> None:
    """Kill, resume, compare, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, help="default: 60, and 200 with --alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, help="file of the finished runs, a line each")
    parser.add_argument("--alone", action="store_true")
    options = parser.parse_args()
    command, wanted = (ALONE, options.kills or 200) if options.alone else (ON_RAY, options.kills or 60)
    lines = options.log.read_text().splitlines() if options.log and options.log.exists() else []
    runs = [json.loads(line) for line in lines]
    with tempfile.TemporaryDirectory() as root:
        whole = run_whole(command, Path(tempfile.mkdtemp(dir=root)))
        print(f"unbroken: {whole.wall_s:.1f} s, of which work {whole.work_s:.1f} s", flush=True)
        while (left := wanted - sum(len(run["kills"]) for run in runs)) > 0:
            rng = random.Random(f"{options.seed} {len(runs)}")
            # On average, the kills are spread over the whole run.
            moments = [whole.moment(rng.random() * 2 / (KILLS_IN_A_RUN + 1)) for _ in range(min(left, KILLS_IN_A_RUN))]
            start, folder = time.perf_counter(), Path(tempfile.mkdtemp(dir=root))
            kills, fault = kill_and_resume(command, folder, moments, whole)
            minutes = (time.perf_counter() - start) / 60
            runs.append({"fault": fault, "minutes": minutes, "kills": list(map(asdict, kills))})
            if options.log:
                with options.log.open("a") as log:
                    log.write(json.dumps(runs[-1]) + "\n")
            print(f"{', '.join(kill.phase for kill in kills)}: {fault or 'survived'}; {minutes:.1f} min", flush=True)
            shutil.rmtree(folder)
    _print_figures(runs, whole)


def _print_figures(runs: Sequence[dict[str, Any]], whole: Whole) -> None:
    kills = [Kill(**kill) for run in runs for kill in run["kills"]]
    survived = sum(len(run["kills"]) for run in runs if run["fault"] is None)
    recoveries_s = [kill.recovery_s for kill in kills if kill.recovery_s is not None]
    print(", ".join(f"{phase} {count}" for phase, count in Counter(kill.phase for kill in kills).most_common()))
    print(f"figure: faults_survived {survived}/{len(kills)}")
    print(f"figure: recovery_s {statistics.median(recoveries_s):.1f}")
    print(f"figure: repeated_work_share {statistics.mean(kill.lost_s for kill in kills) / whole.work_s:.3f}")
    print(f"figure: faults_minutes {sum(run['minutes'] for run in runs):.0f}")


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
    """Phase of a killed run, and the seconds since the last writes of its unfinished warm-up and trials."""
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
    """Counts the writes in warm-ups and rounds from now on."""

    def __init__(self, path: Path) -> None:
        self._path, self._count = path, 0
        self._seen = self._look()

    def count(self) -> int:
        """Number of files written since the beginning; a file that was written twice between two calls counts once."""
        seen = self._look()
        self._count += sum(self._seen.get(file) != written_ns for file, written_ns in seen.items())
        self._seen = seen
        return self._count

    def _look(self) -> dict[Path, int]:
        seen = {}
        for file in (*self._path.glob("warmups/*/*.*"), *self._path.glob("trials/*/round_*/*.*")):
            # Temporary files and mid-phase checkpoints may be removed in this moment.
            with suppress(FileNotFoundError):
                if not is_leftover(file):
                    seen[file] = file.stat().st_mtime_ns
        return seen


def _finished(path: Path) -> dict[Path, tuple[int, int]]:
    """The committed files of warm-ups and trials that are done, each with its inode and time."""
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
