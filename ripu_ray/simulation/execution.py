"""One warm-up or one trial of a run folder, with the parts that the caller makes; and a whole run in this process."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ripu_ray.config import Config
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import RipuError, StoppedError
from ripu_ray.runs.event_log import EventLog, OnProgress, Progress, Warn
from ripu_ray.runs.grid import warmup_key
from ripu_ray.runs.record import RoundRecord
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.local import LocalFineTuner, LocalScorer, local_device
from ripu_ray.simulation.loop import Workbench, run_trial, run_warmup
from ripu_ray.simulation.protocols import FineTuner, Scorer, Tracker
from ripu_ray.training.heartbeat import Trail

Failures = dict[str, str]
"""Trial id, or warm-up key, -> one line that says why it failed."""

OpenTracker = Callable[[RunFolder, str], Tracker]
"""Makes the tracker of a trial, or of a warm-up, by its name."""


@dataclass(frozen=True)
class Parts:
    """How the parts of a trial, or of a warm-up, are made.

    Attributes:
        scorer: from the configuration, the heartbeat of this process, the run folder, the name, and the event log.
        fine_tuner: likewise.
        tracker: takes the records.
        node: says where this process runs.
    """

    scorer: Callable[[Config, Trail, RunFolder, str, Warn], Scorer]
    fine_tuner: Callable[[Config, Trail, RunFolder, str, Warn], FineTuner]
    tracker: OpenTracker
    node: Callable[[], str] = socket.gethostname


def local_parts(tracker: OpenTracker) -> Parts:
    """Parts that work in this process, without Ray."""
    return Parts(
        lambda config, trail, *_: LocalScorer(config, trail),
        lambda config, trail, *_: LocalFineTuner(config, trail),
        tracker,
    )


def execute_warmup(run: RunFolder, key: str, report: OnProgress, parts: Parts) -> RoundRecord:
    """Train and evaluate one warm-up of `run`, unless it is committed."""
    config, stage = run.warmups[key], run.warmup(key)
    tracker = parts.tracker(run, key)
    with _closing(tracker), _workbench(run, config, key, report, parts) as bench:
        record = run_warmup(key, config, stage, bench)
        tracker.log_round(record, stage.seconds())
    return record


def execute_trial(run: RunFolder, trial_id: str, report: OnProgress, parts: Parts) -> list[RoundRecord]:
    """Run what is not committed of one trial of `run`; its warm-up must be committed."""
    trial, folder = run.trials[trial_id], run.trial(trial_id)
    tracker = parts.tracker(run, trial_id)
    with _closing(tracker), _workbench(run, trial.config, trial_id, report, parts) as bench:
        return run_trial(trial, folder, run.warmup(warmup_key(trial.config)), bench, tracker)


def run_alone(run: RunFolder, report: OnProgress, parts: Parts) -> Failures:
    """Run every trial of `run` that is not finished, one after the other, in this process.

    Returns:
        The trials and warm-ups that failed.

    Raises:
        StoppedError: a stop was requested, and something is left to do.
        ConfigError: a GPU is asked for, and there is none.
    """
    local_device(run.config)
    failures: Failures = {}
    for execute, names in ((execute_warmup, lambda: run.warmups), (execute_trial, run.startable)):
        for name in names():
            run.stop.check()
            try:
                execute(run, name, report, parts)
            except StoppedError:
                raise
            except RipuError as error:
                failures[name] = str(error)
                report(failed(name))
    return failures


def failed(name: str) -> Progress:
    """The last report of a trial, or warm-up, that failed."""
    return Progress(name, "failed", 0, 0)


@contextmanager
def _closing(tracker: Tracker) -> Iterator[None]:
    """Close a tracker when the block ends; a failure is a failed trial, a requested stop is not."""
    try:
        yield
    except StoppedError:
        tracker.close()
        raise
    except RipuError as error:
        tracker.close(failure=str(error))
        raise
    tracker.close()


@contextmanager
def _workbench(run: RunFolder, config: Config, name: str, report: OnProgress, parts: Parts) -> Iterator[Workbench]:
    events = EventLog(run.path, name, report)
    with Trail(run.trail(name), parts.node()) as trail:
        fine_tuner = parts.fine_tuner(config, trail, run, name, events.warn)
        scorer = parts.scorer(config, trail, run, name, events.warn)
        try:
            yield Workbench(open_domains(config.data, config.opens_source), scorer, fine_tuner, events, run.stop)
        finally:
            scorer.close()
