"""What the driver sees of the trials' processes: that one died and is started again, and that none can start."""

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayActorError
from ray.util.placement_group import remove_placement_group

from ripu_ray.config import ClusterConfig
from ripu_ray.distributed.cluster import Patience, first_line
from ripu_ray.distributed.ray_internals import orphaned_groups
from ripu_ray.runs.event_log import Event, EventLog, OnProgress, Progress
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.training.heartbeat import Place, name_suspects, read_place

ORPHAN_INTERVAL_S = 1.0


class DeathWatch(tune.Callback):
    """Reports deaths of trials' processes, and ends a sweep of which no trial can start.

    Args:
        path: of the run.
        cluster: how long to wait.
        listen: gets the reports.
    """

    def __init__(self, path: Path, cluster: ClusterConfig, listen: OnProgress) -> None:
        self._run, self._cluster, self._listen = RunFolder(path), cluster, listen
        self._places: dict[str, list[Place]] = {}
        self._patience: Patience | None = None
        self._looked_s = -ORPHAN_INTERVAL_S

    def __reduce__(self) -> tuple[Any, ...]:
        # Tune writes its callbacks down; the console stays here.
        return DeathWatch, (self._run.path, self._cluster, _deaf)

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Called by Tune when a trial failed and is started again."""
        name = trial.config["name"]
        latest = Progress(**(trial.last_result or {}).get("progress", asdict(Progress(name, "start", 0, 0))))
        note = f"{self._note(trial)}; it is started again, and goes on from what is on disk"
        EventLog(self._run.path, name, self._listen)(replace(latest, note=note, event=Event.TRIAL_DIED))

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Called by Tune when a trial failed for the last time."""
        self._note(trial)

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        """Called by Tune several times a second. Raises ClusterError when no trial has started for too long."""
        self._free_orphans()
        if not any(trial.status == "PENDING" for trial in trials) or any(trial.status == "RUNNING" for trial in trials):
            self._patience = None
            return
        if self._patience is None:
            self._patience = Patience(self._cluster, "trials", EventLog(self._run.path, "", self._listen).warn)
        self._patience.check()

    def _free_orphans(self) -> None:
        """Remove the placement groups of trials whose process died; at most once a second.

        Ray keeps such a group, and its cores, until the job ends. Train's own cleaner needs the dashboard, which a
        local Ray does not have: without this, the next training phase would wait for its own cores.
        """
        now = time.monotonic()
        # A client of ray:// cannot read the table; such clusters have a dashboard.
        is_client: bool = ray.util.client.ray.is_connected()  # type: ignore[no-untyped-call]
        if is_client or now < self._looked_s + ORPHAN_INTERVAL_S:
            return
        self._looked_s = now
        for group in orphaned_groups():
            remove_placement_group(group)

    def explain(self, name: str) -> str | None:
        """Why a trial or warm-up was given up, if that is because its process died."""
        places = self._places.get(name)
        return f"its process died {len(places)} times{name_suspects(places)}; given up" if places else None

    def _note(self, trial: Any) -> str:
        name, error = trial.config["name"], trial.get_pickled_error()
        # Tune has forgotten the error of a trial that it starts again. Our own exceptions never come here.
        if error is not None and not isinstance(error, RayActorError):
            self._places.pop(name, None)
            return f"the trial failed ({first_line(error)})"
        place = read_place(self._run.heartbeat(name)) or Place()
        self._places.setdefault(name, []).append(place)
        return f"the trial's process on node {place.node} died"


def _deaf(progress: Progress) -> None:
    """Nobody listens."""
