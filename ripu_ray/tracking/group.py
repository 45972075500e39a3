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
from ripu_ray.training.job import Measurement


class TrackerGroup:
    """A `Tracker` that forwards every call to several trackers."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = tuple(trackers)

    def log_training(self, round_index: int, measured: Measurement) -> None:
        """See `Tracker`."""
        for tracker in self._trackers:
            tracker.log_training(round_index, measured)

    def log_line(self, line: str) -> None:
        """See `Tracker`."""
        for tracker in self._trackers:
            tracker.log_line(line)

    def log_round(self, record: RoundRecord, seconds: Mapping[str, float]) -> None:
        """See `Tracker`."""
        for tracker in self._trackers:
            tracker.log_round(record, seconds)

    def close(self, failure: str | None = None) -> None:
        """See `Tracker`."""
        for tracker in self._trackers:
            tracker.close(failure)


class _Uploaded(TrackerGroup):
    """A tracker that writes to a local folder, which is copied to a remote folder on close.

    A killed process loses these files: the resumed trial logs every round again.
    """

    def __init__(self, tracker: Tracker, local: Path, folder: Path) -> None:
        super().__init__([tracker])
        self._local, self._folder = local, folder

    def close(self, failure: str | None = None) -> None:
        """See `Tracker`. Raises StorageError: the folder cannot be written."""
        super().close(failure)
        for path in sorted(self._local.rglob("*")):
            if path.is_file() and not path.is_symlink():
                replace_file(self._folder / path.relative_to(self._local), partial(_copy, path))
        shutil.rmtree(self._local)


def _copy(path: Path, file: BinaryIO) -> None:
    with path.open("rb") as source:
        shutil.copyfileobj(source, file)


def open_trackers(run: RunFolder, name: str) -> TrackerGroup:
    """Open the configured trackers of a trial, or of a warm-up by its key.

    `metrics.jsonl` of a trial is always written. A warm-up is in W&B only for its training: not without
    `tracking.log_every`.
    """
    is_trial, tracking = name in run.trials, run.config.tracking
    folder = run.trial(name).path if is_trial else run.warmup(name).path
    trackers: list[Tracker] = [JsonlTracker(folder)] if is_trial else []
    if not is_trial and not tracking.log_every:
        return TrackerGroup(trackers)
    if tracking.wandb != "disabled" and current(tracking, run.path).mode != "disabled":
        place = files_of(run, name if is_trial else f"warmup-{name}", folder)
        if isinstance(place, RemotePath):
            local = Path(tempfile.mkdtemp(prefix="ripu-wandb-"))
            trackers.append(_Uploaded(WandbTracker(run, name, local), local, folder))
        else:
            trackers.append(WandbTracker(run, name, place))
    return TrackerGroup(trackers)
