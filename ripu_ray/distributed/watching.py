"""Monitoring of the trials' processes by the driver: deaths, restarts, and trials that cannot start."""

import logging
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ray import tune
from ray.exceptions import RayActorError

from ripu_ray.config import ClusterConfig
from ripu_ray.distributed.cluster import WaitLimit
from ripu_ray.distributed.ray_internals import remove_orphaned_groups
from ripu_ray.errors import CodeError, counted
from ripu_ray.runs.event_log import Event, EventLog, OnProgress, Progress, ignore_progress
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.training.heartbeat import Place, name_suspects, read_place

ORPHAN_INTERVAL_S = 1.0
_logger = logging.getLogger(__name__)


class FailureMonitor(tune.Callback):
    """Reports deaths of trials' processes, and ends a sweep if no trial can start.

    Args:
        path: run folder.
        cluster: its `start_timeout_s` limits the wait.
        on_progress: receives the reports.
    """

    def __init__(self, path: Path, cluster: ClusterConfig, on_progress: OnProgress) -> None:
        self._run, self._cluster, self._on_progress = RunFolder(path), cluster, on_progress
        self._places: dict[str, list[Place]] = {}
        self._wait_limit: WaitLimit | None = None
        self._checked_s = -ORPHAN_INTERVAL_S

    def __reduce__(self) -> tuple[Any, ...]:
        # Tune pickles its callbacks; the console stays in the driver.
        return FailureMonitor, (self._run.path, self._cluster, ignore_progress)

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Called by Tune when a trial failed and is restarted."""
        name = trial.config["name"]
        result = trial.last_result or {}
        latest = Progress(**result.get("progress", asdict(Progress(name, "start", 0, 0))))
        event = Event.NOTICE if "leaves" in result else Event.TRIAL_DIED
        if "leaves" in result:
            why = f"the trial's node {result['leaves']} is draining"
        elif "raised" in result:
            why = f"the trial failed ({result['raised']})"
        else:
            why = self._note_death(trial)
        note = f"{why}; it is restarted from its folder"
        EventLog(self._run.path, name, self._on_progress)(replace(latest, note=note, event=event))

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Called by Tune when a trial failed for the last time. A RipuError is a result and never arrives here."""
        name, error = trial.config["name"], trial.get_pickled_error()
        # Tune may not have stored an error yet that the trial has reported.
        has_died = isinstance(error, RayActorError) or not (error or "raised" in (trial.last_result or {}))
        if has_died:
            self._note_death(trial)
            return
        if error and not isinstance(error, CodeError):  # its line has file and line number already
            _logger.error("%s failed", name, exc_info=error)
        self._places.pop(name, None)

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        """Called by Tune several times a second. Raises ClusterError if no trial starts within the limit."""
        self._free_orphans()
        if not any(trial.status == "PENDING" for trial in trials) or any(trial.status == "RUNNING" for trial in trials):
            self._wait_limit = None
            return
        if self._wait_limit is None:
            warn = EventLog(self._run.path, "", self._on_progress).warn
            self._wait_limit = WaitLimit(self._cluster, "trials", warn)
        self._wait_limit.check()

    def _free_orphans(self) -> None:
        """Remove the placement groups of trials whose process died, at most once a second.

        Ray keeps such a group and its cores until the job ends, and the next training phase would wait for them.
        Train removes it only with the dashboard, which a local Ray does not have.
        """
        now = time.monotonic()
        if now < self._checked_s + ORPHAN_INTERVAL_S:
            return
        self._checked_s = now
        remove_orphaned_groups()

    def explain(self, name: str) -> str | None:
        """Why a trial or warm-up was given up, or None if its process did not die."""
        places = self._places.get(name)
        return f"its process died {counted(len(places), 'time')}{name_suspects(places)}; given up" if places else None

    def _note_death(self, trial: Any) -> str:
        """Remember where the process of a trial died, and return that in words."""
        name = trial.config["name"]
        place = read_place(self._run.heartbeat(name)) or Place()
        self._places.setdefault(name, []).append(place)
        return f"the trial's process on node {place.node} died"
