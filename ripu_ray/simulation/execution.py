"""Execution of one warm-up or one trial with the caller's scorer and fine-tuner, or of a whole run in this process."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ripu_ray.config import Config
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import CodeError, RipuError, StoppedError, naming_memory
from ripu_ray.runs.event_log import EventLog, Failures, OnProgress, Warn, failed
from ripu_ray.runs.interrupt import StopRequest
from ripu_ray.runs.record import RoundRecord
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.local import LocalFineTuner, LocalScorer, local_device
from ripu_ray.simulation.loop import Workbench, run_trial, run_warmup
from ripu_ray.simulation.protocols import FineTuner, NoTracker, Scorer, Tracker
from ripu_ray.training.heartbeat import Heartbeat

OpenTracker = Callable[[RunFolder, str], Tracker]
"""Creates the tracker of a trial or of a warm-up, given its name."""


@dataclass(frozen=True)
class Parts:
    """Factories of the parts of a trial or of a warm-up.

    Attributes:
        scorer: from the configuration, the heartbeat of this process, the run folder, the name, and a `Warn`.
        fine_tuner: from the same arguments.
        tracker: of the records.
        node: describes this machine.
        stop: the stop request of the run folder.
    """

    scorer: Callable[[Config, Heartbeat, RunFolder, str, Warn], Scorer]
    fine_tuner: Callable[[Config, Heartbeat, RunFolder, str, Warn], FineTuner]
    tracker: OpenTracker
    node: Callable[[], str] = socket.gethostname
    stop: Callable[[Path], StopRequest] = StopRequest.of


def local_parts(tracker: OpenTracker) -> Parts:
    """The parts of a run in this process, without Ray."""
    return Parts(
        lambda config, heartbeat, *_: LocalScorer(config, heartbeat),
        lambda config, heartbeat, *_: LocalFineTuner(config, heartbeat),
        tracker,
    )


def execute_warmup(run: RunFolder, key: str, report: OnProgress, parts: Parts) -> RoundRecord:
    """Train and evaluate one warm-up of `run`, unless it is committed."""
    config, stage = run.warmups[key], run.warmup(key)
    tracker = parts.tracker(run, key)
    with _closing(tracker), naming_memory(), workbench(run, config, key, report, parts, tracker) as bench:
        return run_warmup(key, config, stage, bench)


def execute_trial(run: RunFolder, trial_id: str, report: OnProgress, parts: Parts) -> list[RoundRecord]:
    """Run the uncommitted rounds of one trial of `run`; its warm-up must be committed."""
    trial, folder = run.trials[trial_id], run.trial(trial_id)
    tracker = parts.tracker(run, trial_id)
    with _closing(tracker), naming_memory(), workbench(run, trial.config, trial_id, report, parts, tracker) as bench:
        return run_trial(trial, folder, run.warmup(run.warmup_key(trial.config)), bench)


def run_alone(run: RunFolder, report: OnProgress, parts: Parts) -> Failures:
    """Run every unfinished trial of `run` in this process, one after the other.

    Returns:
        The trials and warm-ups that failed.

    Raises:
        StoppedError: a stop was requested before the run was complete.
        ConfigError: a GPU is configured, and there is none.
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
            except (RipuError, CodeError) as error:
                failures[name] = str(error)
                report(failed(name))
    return failures


@contextmanager
def _closing(tracker: Tracker) -> Iterator[None]:
    """Close a tracker when the block ends. A requested stop is not a failure of the trial."""
    try:
        yield
    except StoppedError:
        tracker.close()
        raise
    except (RipuError, CodeError) as error:
        tracker.close(failure=str(error))
        raise
    tracker.close()


@contextmanager
def workbench(
    run: RunFolder,
    config: Config,
    name: str,
    report: OnProgress,
    parts: Parts,
    tracker: Tracker = NoTracker(),  # noqa: B008 (without state)
) -> Iterator[Workbench]:
    """The workbench of a trial or a warm-up of `run` until the block ends; `name` is its id or key."""
    events = EventLog(run.path, name, report, tracker.log_line)
    with Heartbeat(run.heartbeat(name), parts.node()) as heartbeat:
        fine_tuner = parts.fine_tuner(config, heartbeat, run, name, events.warn)
        scorer = parts.scorer(config, heartbeat, run, name, events.warn)
        try:
            domains = open_domains(config.data, config.opens_source)
            yield Workbench(domains, scorer, fine_tuner, tracker, events, parts.stop(run.path))
        finally:
            scorer.close()
