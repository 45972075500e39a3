"""Overhead of logging: the seconds that a trial waits for its trackers, JSON lines and an offline W&B run with images.

`python -m benchmarks.tracking` runs one trial of the demo in this process, for about a minute, and prints

    figure: tracking_share <seconds in trackers / seconds of the trial>

The work of W&B's own process is not included; its import and start are.
"""

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from ripu_ray.config import load_config
from ripu_ray.runs.event_log import Progress
from ripu_ray.runs.record import RoundRecord
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.execution import execute_trial, execute_warmup, local_parts
from ripu_ray.simulation.protocols import Tracker
from ripu_ray.tracking.group import open_trackers
from ripu_ray.training.job import Measurement

Result = TypeVar("Result")


class Timed:
    """A tracker, and the seconds that were spent in each of its methods."""

    def __init__(self, start: Callable[[], Tracker]) -> None:
        self.seconds: dict[str, float] = {}
        self._tracker: Tracker = self._time("start", start)

    def log_training(self, round_index: int, measured: Measurement) -> None:
        """See `Tracker`."""
        self._time("training", lambda: self._tracker.log_training(round_index, measured))

    def log_line(self, line: str) -> None:
        """See `Tracker`."""
        self._time("lines", lambda: self._tracker.log_line(line))

    def log_round(self, record: RoundRecord, seconds: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self._time("rounds", lambda: self._tracker.log_round(record, seconds))

    def close(self, failure: str | None = None) -> None:
        """See `Tracker`."""
        self._time("end", lambda: self._tracker.close(failure))

    def _time(self, name: str, do: Callable[[], Result]) -> Result:
        start = time.perf_counter()
        done = do()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
        return done


def main() -> None:
    """Measure and print."""
    config = load_config(None, ("cluster.scorers=0", "tracking.wandb=offline"))
    timed: list[Timed] = []

    def open_timed(run: RunFolder, trial_id: str) -> Timed:
        timed.append(Timed(lambda: open_trackers(run, trial_id)))
        return timed[-1]

    parts = local_parts(open_timed)
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder.create(Path(folder) / "run", config)
        for key in run.warmups:
            execute_warmup(run, key, _ignore, parts)
        (trial_id,) = run.trials
        start = time.perf_counter()
        execute_trial(run, trial_id, _ignore, parts)
        total = time.perf_counter() - start
    tracker = timed[-1]  # the first is of the warm-up
    for name, seconds in tracker.seconds.items():
        print(f"{name:8} {seconds:6.2f} s")
    print(f"trial    {total:6.2f} s")
    print(f"figure: tracking_share {sum(tracker.seconds.values()) / total:.3f}")


def _ignore(progress: Progress) -> None:
    """Drop a report."""


if __name__ == "__main__":
    main()
