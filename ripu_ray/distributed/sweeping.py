"""A sweep: the distinct warm-ups and the trials of the grid as one Ray Tune run with bounded concurrency.

Tune starts and restarts trials. Progress and results are stored in the run folder and read from it.
"""

import os
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from threading import Thread
from typing import TYPE_CHECKING, Any

from ripu_ray.distributed.cluster import start_ray, this_node  # isort: skip (sets Ray's variables)
from ray import tune
from ray.tune import TuneError

from ripu_ray.distributed.capacity import check_capacity, describe_share, num_concurrent, trial_gpus
from ripu_ray.distributed.draining import NodeLeavesError
from ripu_ray.distributed.own_ray import watch_own_ray
from ripu_ray.distributed.prometheus import FailureMetrics
from ripu_ray.distributed.ray_internals import read_secret, share_secret
from ripu_ray.distributed.shared_storage import check_storage, ray_storage
from ripu_ray.distributed.trial_queue import FreeProcessFirst, TrialQueue
from ripu_ray.distributed.watching import FailureMonitor
from ripu_ray.errors import RipuError, StoppedError
from ripu_ray.runs.event_log import Failures, OnProgress, Progress, failed, ignore_progress
from ripu_ray.runs.interrupt import StopRequest
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.tracking.mode import KEY

if TYPE_CHECKING:
    from ripu_ray.simulation.execution import Parts

REPORT_INTERVAL_S = 1.0
"""Minimum interval between two reports of steps by a trial."""


def run_sweep(
    run: RunFolder,
    on_progress: OnProgress,
    on_death: Callable[[str], object] | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Failures:
    """Run every unfinished trial of `run` on Ray.

    Args:
        run: run folder written by `RunFolder.create`.
        on_progress: called in this thread with every report of a warm-up or trial.
        on_death: called in another thread if a Ray of our own dies, with one line; it must end this process. None:
            Ray is not watched.
        meanwhile: called once in another thread when the first process of a trial starts.

    Raises:
        StoppedError: a stop was requested before all trials were finished.
        ConfigError: the cluster cannot hold a single trial.
        RunFolderError, DataError: a node, which the message names, does not see the run folder or the data.
        ClusterError: there is no Ray to join, or a node does not answer.
    """
    cluster = run.config.cluster
    nodes = start_ray(cluster)
    check_capacity(cluster, nodes)
    with watch_own_ray(run.stop, on_death) if on_death else nullcontext():
        check_storage(run)
        concurrent = num_concurrent(cluster, nodes)
        share = describe_share(cluster, nodes, min(concurrent, len(run.trials)))
        on_progress(Progress("", "start", 0, 0, note=share))
        counted = FailureMetrics(run.name, on_progress)
        failures = _tune(run, TrialQueue(run, nodes), concurrent, counted, meanwhile)
        counted.give_up(failures)
    return failures


def _tune(
    run: RunFolder, queue: TrialQueue, concurrent: int, on_progress: OnProgress, meanwhile: Callable[[], object]
) -> Failures:
    """Execute the warm-ups and trials of the queue."""
    if not len(queue):
        return {}
    run.stop.check()
    cluster = run.config.cluster
    # A trial only coordinates: its scorers and Train workers request cores in each phase. Tune refuses an empty
    # request, and a fraction of a core would prevent the last scorer from fitting.
    takes: dict[str, int | float] = {"memory": 1, "GPU": trial_gpus(cluster)}
    forwarder = _Forwarder(on_progress)
    control, monitor = _Control(forwarder, run.stop, meanwhile), FailureMonitor(run.path, cluster, forwarder)
    if key := _key(run):
        share_secret(KEY, key)
    tuner = tune.Tuner(
        # No `with_parameters`: this process would own an object, see `share_secret`.
        tune.with_resources(_trainable(run, has_key=bool(key)), tune.PlacementGroupFactory([takes])),
        tune_config=tune.TuneConfig(
            search_alg=queue,
            scheduler=FreeProcessFirst(),
            num_samples=len(queue),
            max_concurrent_trials=concurrent,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=uuid.uuid4().hex,
            **ray_storage(run.path / "ray"),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=cluster.max_failures),
            callbacks=[control, monitor],
            stop=control,
        ),
    )
    try:
        results = tuner.fit()
    except TuneError:
        if forwarder.error:
            raise forwarder.error from None
        raise
    failures = _failures(results, queue.names, monitor)
    if not all(name in failures or run.is_done(name) for name in (*run.warmups, *run.startable())):
        run.stop.check()
    return failures


def _failures(results: Any, names: Sequence[str], monitor: FailureMonitor) -> Failures:
    """The warm-ups or trials that failed finally, and why. Args: results: of `Tuner.fit`, in the order of `names`."""
    failures = {}
    for planned, result in zip(names, results, strict=True):
        # The result of a trial without a report has no configuration.
        name = result.config["name"] if result.config else planned
        metrics = result.metrics or {}
        if result.error:
            failures[name] = monitor.explain(name) or metrics.get("raised") or _last_line(result.error)
        elif "failure" in metrics:
            failures[name] = metrics["failure"]
    return failures


def _last_line(error: BaseException) -> str:
    """Of a message, or of the traceback that an error of Ray has for its message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _key(run: RunFolder) -> str | None:
    """W&B's key for processes of a Ray of our own that log; those of other clusters have theirs."""
    config = run.config
    return os.environ.get(KEY) if config.tracking.wandb != "disabled" and not config.cluster.address else None


def _trainable(run: RunFolder, has_key: bool) -> Callable[[dict[str, Any]], None]:
    """The function that Tune runs in a trial's process."""
    path, config = run.path, run.config  # pickled with its plug-ins, which run in that process before it is read

    def trainable(parameters: dict[str, Any]) -> None:
        if has_key:
            os.environ[KEY] = read_secret(KEY)
        name = parameters["name"]
        latest, reported_s = Progress(name, "start", 0, 0), 0.0

        def report(progress: Progress) -> None:
            nonlocal latest, reported_s
            now = time.monotonic()
            is_new_phase = (progress.phase, progress.round) != (latest.phase, latest.round)
            if is_new_phase or progress.note or now > reported_s + REPORT_INTERVAL_S:
                latest, reported_s = progress, now
                tune.report({"progress": asdict(progress)})

        from ripu_ray.distributed.parts import ray_parts
        from ripu_ray.simulation.execution import execute_warmup

        try:
            here = RunFolder(path)
            here.config = config
            here.stop.check()  # in a process that is used again, Tune starts a trial before it looks for a stop
            execute = execute_trial if name in here.trials else execute_warmup
            execute(here, name, report, ray_parts(parameters["share"], hand_over=True))
        except StoppedError:
            if here.stop.is_made():
                return
            tune.report({"progress": asdict(latest), "leaves": this_node()})
            raise NodeLeavesError(error_msg="the node is draining") from None
        except RipuError as error:
            # Reported as a result: Tune would retry an exception, and the trial would fail again.
            tune.report({"progress": asdict(failed(name)), "failure": str(error)})
        except Exception as error:
            # Tune drops the error of a trial that it restarts.
            tune.report({"progress": asdict(latest), "raised": _last_line(error)})
            raise

    return trainable


def execute_trial(run: RunFolder, name: str, report: OnProgress, parts: "Parts") -> None:
    """See `simulation.execution`, which is imported here, because it imports torch and the driver does not need it."""
    from ripu_ray.simulation import execution

    execution.execute_trial(run, name, report, parts)


class _Forwarder:
    """Forwards reports, and keeps what the observer raises: Tune raises the text alone of an error in a callback."""

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self.error: Exception | None = None

    def __call__(self, progress: Progress) -> None:
        try:
            self._on_progress(progress)
        except Exception as error:
            self.error = error
            raise


class _Control(tune.Callback, tune.Stopper):
    """Forwards reports. After a stop request it waits for the running trials and starts no others."""

    def __init__(
        self, on_progress: OnProgress, stop: StopRequest, meanwhile: Callable[[], object] = lambda: None
    ) -> None:
        self._on_progress, self._stop = on_progress, stop
        self._beside = Thread(target=meanwhile)
        self._last: set[str] | None = None
        self._running: set[str] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        # Tune pickles its callbacks; the console stays in the driver.
        return _Control, (ignore_progress, self._stop)

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Called by Tune in the driver, once the process of a trial is there."""
        if not self._beside.ident:
            self._beside.start()

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        """Called by Tune in the driver."""
        self._on_progress(Progress(**result["progress"]))

    def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
        """Called by Tune in the driver, several times a second."""
        self._running = {trial.trial_id for trial in trials if trial.status == "RUNNING"}
        if self._last is None and self._stop.is_made():
            self._last = self._running

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Called by Tune: no trial is stopped by its results."""
        return False

    def stop_all(self) -> bool:
        """Called by Tune. Trials that started after the request end by themselves, so Tune may end them."""
        return self._last is not None and not self._last & self._running
