"""The trackers of a trial, combined in one tracker."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ripu_ray.runs.record import RoundRecord
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.protocols import Tracker
from ripu_ray.storage.files import replace_file
from ripu_ray.storage.remote import RemotePath
from ripu_ray.tracking.jsonl import JsonlTracker
from ripu_ray.tracking.mode import current
from ripu_ray.tracking.target import files_of
from ripu_ray.tracking.wandb import WandbTracker


class TrackerGroup:
    """A `Tracker` that forwards every call to several trackers."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = tuple(trackers)

    def log_round(self, record: RoundRecord, seconds: Mapping[str, float]) -> None:
        """See `Tracker`."""
        for tracker in self._trackers:
            tracker.log_round(record, seconds)

    def close(self, failure: str | None = None) -> None:
        """See `Tracker`."""
        for tracker in self._trackers:
            tracker.close(failure)


class _Uploaded:
    """A tracker that writes to a local folder, which is copied to a remote folder on close.

    A killed process loses these files: the resumed trial logs every round again.
    """

    def __init__(self, tracker: Tracker, local: Path, folder: Path) -> None:
        self._tracker, self._local, self._folder = tracker, local, folder

    def log_round(self, record: RoundRecord, seconds: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self._tracker.log_round(record, seconds)

    def close(self, failure: str | None = None) -> None:
        """See `Tracker`. Raises StorageError: the folder cannot be written."""
        self._tracker.close(failure)
        for path in sorted(self._local.rglob("*")):
            if path.is_file() and not path.is_symlink():
                replace_file(self._folder / path.relative_to(self._local), partial(_copy, path))
        shutil.rmtree(self._local)


def _copy(path: Path, file: BinaryIO) -> None:
    with path.open("rb") as source:
        shutil.copyfileobj(source, file)


def open_trackers(run: RunFolder, trial_id: str) -> TrackerGroup:
    """Open the configured trackers of a trial; `metrics.jsonl` is always written. A warm-up has no tracker."""
    if trial_id not in run.trials:
        return TrackerGroup(())
    folder = run.trial(trial_id).path
    trackers: list[Tracker] = [JsonlTracker(folder)]
    if run.config.tracking.wandb != "disabled" and current(run.config.tracking, run.path).mode != "disabled":
        place = files_of(run, trial_id, folder)
        if isinstance(place, RemotePath):
            local = Path(tempfile.mkdtemp(prefix="ripu-wandb-"))
            trackers.append(_Uploaded(WandbTracker(run, trial_id, local), local, folder))
        else:
            trackers.append(WandbTracker(run, trial_id, place))
    return TrackerGroup(trackers)
