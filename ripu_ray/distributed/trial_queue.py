"""The order of a sweep: the warm-ups, and each trial after its own warm-up.

Both are trials of one Tune run, so that the process of a warm-up can run a trial afterwards.
"""

from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from ripu_ray.distributed.capacity import Nodes, num_concurrent, num_scorers
from ripu_ray.runs.run_folder import RunFolder


class TrialQueue(Searcher):
    """Names of the unfinished warm-ups and trials of a run, each with its share of the scorers, as Tune asks for them.

    A trial waits for its warm-up; also for the other warm-ups if those have another share of the scorers.

    Args:
        run: the run.
        nodes: resources of the nodes.

    Attributes:
        names: what was started, in this order.
    """

    def __init__(self, run: RunFolder, nodes: Nodes) -> None:
        super().__init__()
        self._run, cluster = run, run.config.cluster
        self._warmups = [key for key in run.warmups if not run.is_done(key)]
        self._waiting = {
            name: run.warmup_key(trial.config) for name, trial in run.trials.items() if not run.is_finished(name)
        }
        self._pending = set(self._warmups)
        self._of_tune: dict[str, str] = {}
        self.names: list[str] = []
        fits = num_concurrent(cluster, nodes)
        self._shares = [
            num_scorers(cluster, nodes, min(fits, len(names)) or 1) for names in (self._warmups, self._waiting)
        ]

    def __len__(self) -> int:
        return len(self._warmups) + len(self._waiting)

    def suggest(self, trial_id: str) -> Any:
        """Called by Tune. Returns the next name, None if it has to wait for a warm-up, or that no name is left."""
        if self._run.stop.is_made() or not len(self):
            return self.FINISHED
        warmups, trials = self._shares
        if self._warmups:
            name, share = self._warmups.pop(0), warmups
        elif (ready := self._next_ready()) and (warmups == trials or not self._pending):
            name, share = ready, trials
            del self._waiting[name]
        else:
            return None
        self._of_tune[trial_id] = name
        self.names.append(name)
        return {"name": name, "share": share}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Called by Tune when a warm-up or trial has ended. The trials of a warm-up that failed are dropped."""
        name = self._of_tune.get(trial_id, "")
        if name not in self._pending:
            return
        self._pending.remove(name)
        if not self._run.is_done(name):
            self._waiting = {trial: key for trial, key in self._waiting.items() if key != name}

    def _next_ready(self) -> str | None:
        return next((name for name, key in self._waiting.items() if key not in self._pending), None)

    def save(self, checkpoint_path: str) -> None:
        """Called by Tune, for a restart that we do not use: a run is resumed from its folder."""
        Path(checkpoint_path).touch()


class FreeProcessFirst(FIFOScheduler):
    """Chooses the trial that Tune starts next: the first pending one for which it has started no process.

    Tune's own scheduler always chooses the first pending trial. When another process became free, Tune gave it to a
    trial whose own process was still starting, and ended the starting process. With short trials, this wasted the start
    of one process for each trial.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._chosen: set[str] = set()

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Called by Tune, several times a second."""
        pending = {trial.trial_id: trial for trial in tune_controller.get_trials() if trial.status == Trial.PENDING}
        self._chosen &= pending.keys()  # a trial that is pending once more has lost its process
        chosen = next((trial for name, trial in pending.items() if name not in self._chosen), None)
        if chosen:
            self._chosen.add(chosen.trial_id)
        return chosen
