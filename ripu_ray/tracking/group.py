"""All trackers of a trial behind one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ripu_ray.config import Config
from ripu_ray.simulation.protocols import RoundRecord, Tracker
from ripu_ray.tracking.jsonl import JsonlTracker
from ripu_ray.tracking.wandb import WandbTracker


class TrackerGroup:
    """Hands everything on; with no trackers, it keeps nothing."""

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


def open_trackers(config: Config, sweep: str, trial_id: str, folder: Path) -> TrackerGroup:
    """The trackers that the configuration asks for; JSON lines always."""
    trackers: list[Tracker] = [JsonlTracker(folder)]
    if config.tracking.wandb != "disabled":
        trackers.append(WandbTracker(config, sweep, trial_id, folder))
    return TrackerGroup(trackers)
