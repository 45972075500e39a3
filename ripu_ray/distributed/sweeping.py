"""A sweep: the distinct warm-ups, then the trials of the grid, each as a Ray Tune run with bounded concurrency.

Tune only starts, bounds and restarts; what is done and with what result stands in the run folder, and is read from it.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ripu_ray.distributed.cluster import start_ray  # isort: skip (sets Ray's variables)
from ray import tune

from ripu_ray.distributed.capacity import check_capacity, num_concurrent
from ripu_ray.distributed.execution import execute_trial, execute_warmup
from ripu_ray.errors import RipuError
from ripu_ray.simulation.protocols import OnProgress, Progress
from ripu_ray.simulation.run_folder import RunFolder

REPORT_INTERVAL_S = 1.0
"""Steps are reported at most this often by each trial."""


Failures = dict[str, str]
"""Trial id, or warm-up key, -> one line that says why it failed."""


def run_sweep(run: RunFolder, listen: OnProgress) -> Failures:
    """Run every trial of `run` that is not done, on Ray.

    Args:
        run: written by `RunFolder.create`.
        listen: called in this thread with every report of a warm-up or trial.

    Raises:
        ConfigError: the cluster cannot hold a single trial.
        ClusterError: there is no Ray to join.
    """
    has = start_ray(run.config.cluster)
    check_capacity(run.config.cluster, has)
    concurrent = num_concurrent(run.config, has)
    warmups = [key for key in run.warmups if not run.warmup(key).is_committed()]
    failures = _tune(execute_warmup, run, warmups, concurrent, listen)
    trials = [trial_id for trial_id in run.trials if not run.is_finished(trial_id)]
    return failures or _tune(execute_trial, run, trials, concurrent, listen)


def run_alone(run: RunFolder, listen: OnProgress) -> Failures:
    """The same without Ray: one trial after the other, in this process."""
    failures: Failures = {}
    for execute, names in ((execute_warmup, run.warmups), (execute_trial, run.trials)):
        for name in names:
            if name in run.trials and run.is_finished(name):
                continue
            try:
                execute(run, name, listen)
            except RipuError as error:
                failures[name] = str(error)
                listen(_failed(name))
        if failures:
            break
    return failures


def _tune(
    execute: Callable[[RunFolder, str, OnProgress], object],
    run: RunFolder,
    names: Sequence[str],
    concurrent: int,
    listen: OnProgress,
) -> Failures:
    """Run `execute` once for each name."""
    if not names:
        return {}
    tuner = tune.Tuner(
        # A trial only coordinates: its scorers and Train workers ask for cores themselves, phase by phase. Tune refuses
        # to be asked for nothing, and any part of a core would keep the last scorer from fitting.
        tune.with_resources(_trainable(execute, run.path), tune.PlacementGroupFactory([{"memory": 1}])),
        param_space={"name": tune.grid_search(list(names))},
        tune_config=tune.TuneConfig(max_concurrent_trials=concurrent),
        run_config=tune.RunConfig(
            name=uuid.uuid4().hex,
            storage_path=str(run.path / "ray"),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=run.config.cluster.max_failures),
            callbacks=[_Listener(listen)],
        ),
    )
    results = tuner.fit()
    failures = {}
    for result in (results[index] for index in range(len(results))):
        name = result.config["name"] if result.config else "?"
        metrics = result.metrics or {}
        if result.error:
            failures[name] = str(result.error).strip().splitlines()[-1]
        elif "failure" in metrics:
            failures[name] = metrics["failure"]
    return failures


def _trainable(execute: Callable[[RunFolder, str, OnProgress], object], path: Path) -> Callable[[dict[str, Any]], None]:
    """What Tune runs in a trial's process."""

    def trainable(config: dict[str, Any]) -> None:
        name = config["name"]
        latest, reported_s = Progress(name, "start", 0, 0), 0.0

        def report(progress: Progress) -> None:
            nonlocal latest, reported_s
            now = time.monotonic()
            news = (progress.phase, progress.round) != (latest.phase, latest.round)
            if news or now > reported_s + REPORT_INTERVAL_S:
                latest, reported_s = progress, now
                tune.report({"progress": asdict(progress)})

        try:
            execute(RunFolder(path), name, report)
        except RipuError as error:
            # A failure that is understood is a result: Tune would try it again, and it would fail again.
            tune.report({"progress": asdict(_failed(name)), "failure": str(error)})

    return trainable


class _Listener(tune.Callback):
    """Hands reports to the caller."""

    def __init__(self, listen: OnProgress) -> None:
        self._listen = listen

    def __reduce__(self) -> tuple[Any, ...]:
        # Tune writes its callbacks down; the console stays here.
        return _Listener, (_deaf,)

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        """Called by Tune in the driver."""
        self._listen(Progress(**result["progress"]))


def _deaf(progress: Progress) -> None:
    """Nobody listens."""


def _failed(name: str) -> Progress:
    return Progress(name, "failed", 0, 0)
