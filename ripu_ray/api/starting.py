"""From a configuration to a locked run folder, and then to results. All functions that run something use it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ripu_ray.api.results import Results
from ripu_ray.config import Config, override
from ripu_ray.distributed.capacity import check_capacity, local_cpus
from ripu_ray.errors import ConfigError, DataError
from ripu_ray.runs.event_log import EventLog, OnProgress, ignore_progress
from ripu_ray.runs.grid import expand
from ripu_ray.runs.interrupt import StopRequest
from ripu_ray.runs.lock import Owner, lock_run
from ripu_ray.simulation.preflight import check_trials, describe_weights
from ripu_ray.storage.locks import Release
from ripu_ray.storage.remote import check_readable, check_writable, locate
from ripu_ray.tracking.mode import check_key, current, decide
from ripu_ray.tracking.target import check_variables, find_target

if TYPE_CHECKING:
    from ripu_ray.runs.data_seal import DataSeal
    from ripu_ray.runs.run_folder import RunFolder


Notify = Callable[[str], object]
"""Receives one line for the user."""
Guard = Callable[[Path], AbstractContextManager[Notify | None]]
"""Entered with the run folder once it is locked. It yields `on_death` of `run_sweep`, or None."""
Show = Callable[["RunFolder", bool], AbstractContextManager[OnProgress]]
"""Opens a display, and yields the function that receives its reports."""


@dataclass(frozen=True)
class Observer:
    """What a program shows of a run, and how it stops the run. The defaults do nothing.

    Attributes:
        notify: receives lines for the user, such as a lock that was taken over.
        show: a context manager around the trials; it gets the run folder, and whether Ray is started for them, and
            yields a function that receives each `Progress`.
        guard: a context manager around everything that is done with the run folder; it gets its path once it is locked.
            It yields None, or a function that takes one line and ends this process if the Ray that it started dies.
    """

    notify: Notify = lambda line: None
    show: Show = lambda run, needs_ray: nullcontext(ignore_progress)
    guard: Guard = lambda folder: nullcontext()


SILENT = Observer()


def read_run(folder: str | Path, address: str | None = None) -> Config:
    """The configuration of a run folder that is to be resumed. Its plug-ins are run.

    Args:
        folder: run folder, or a URL.
        address: replaces `cluster.address`.

    Raises:
        InputError: the folder is behind a URL and cannot be read.
        RunFolderError: it is not a run folder, or the file of a plug-in has changed.
    """
    from ripu_ray.runs.run_folder import RunFolder

    path = locate(folder)
    check_readable(path)
    run = RunFolder(path)
    run.run_plugins()
    return override(run.config, {"cluster.address": address}) if address else run.config


@dataclass(frozen=True)
class DataOptions:
    """What a start does about data that were sealed by an earlier one.

    Attributes:
        accept_changed: if the data changed, run with them in a new run folder; otherwise they are refused.
        rehash: read every file, also those whose size and times are unchanged.
    """

    accept_changed: bool = False
    rehash: bool = False


AS_SEALED = DataOptions()


def check_options(observer: object, data: object = AS_SEALED) -> None:
    """Raise ConfigError unless these are what a function of this interface takes."""
    if not isinstance(observer, Observer) or not isinstance(data, DataOptions):
        raise ConfigError(f"expected an Observer and DataOptions, found {observer!r} and {data!r}")


@dataclass(frozen=True)
class Checked:
    """What `check` found.

    Attributes:
        folder: the run folder. If changed data are accepted, it is a new one.
        seal: digests of the data.
        needs_ray: whether the run needs Ray.
    """

    folder: Path
    seal: "DataSeal"
    needs_ray: bool


def check(
    config: Config,
    folder: Path,
    notify: Notify = lambda line: None,
    data: DataOptions = AS_SEALED,
) -> Checked:
    """Check before the start: the run folder, the data, the weights, W&B's key, and the resources that a trial needs.

    Raises:
        InputError: one line that says what is wrong.
    """
    from ripu_ray.runs.data_seal import DataSeal
    from ripu_ray.runs.run_folder import RunFolder, folder_for_changed_data

    check_writable(folder)
    found = RunFolder.find(folder, config)
    check_key(config.tracking)
    find_target(config.tracking, folder)
    if config.cluster.address is None:
        check_capacity(config.cluster, [{"CPU": local_cpus(config.cluster), "GPU": 1e6}])
    trials = expand(config)
    needs_ray = config.cluster.needs_ray(len(trials))
    seal = check_trials(trials, found.seal if found and not data.rehash else DataSeal(), notify)
    check_variables(config.tracking)  # last, since it may import W&B
    if not found or not seal:
        return Checked(folder, seal, needs_ray)
    if not found.seal:
        notify(f"{folder}: was started without digests of its data; a change is not detected")
        return Checked(folder, DataSeal(), needs_ray)
    try:
        found.seal.check(seal, folder)
    except DataError as error:
        if not data.accept_changed:
            raise
        new = folder_for_changed_data(folder, config, seal)
        notify(f"{folder} stays as it is; {new} is run with the changed data: {error.faults[0]}")
        return Checked(new, seal, needs_ray)
    return Checked(folder, seal, needs_ray)


@contextmanager
def open_run(
    config: Config, folder: Path, observer: Observer = SILENT, data: DataOptions = AS_SEALED
) -> Iterator[tuple["RunFolder", Notify | None]]:
    """Check a configuration, lock its run folder until the block ends, and write or open it. Errors: see `sweep`.

    Yields:
        The run folder, and `on_death` of `run_sweep`.
    """
    check_options(observer, data)
    notes: list[str] = []

    def note(line: str) -> None:
        notes.append(line)
        observer.notify(line)

    checked = check(config, folder, note, data)
    folder = checked.folder
    if not checked.needs_ray:
        from ripu_ray.simulation.local import local_device

        local_device(config)
    with hold_run(folder, observer) as (before, release, end):
        if before:
            observer.notify(f"{folder}: taken over from {before}, which has ended")
        from ripu_ray.runs.environment import add_environment
        from ripu_ray.runs.run_folder import RunFolder

        run = RunFolder.create(folder, config, checked.seal)
        run.tidy()
        for line in notes:
            run.warn(line)
        if changed := add_environment(run.path, run.trials.values()):
            observer.notify(f"versions changed since the last start, environment.json keeps both: {changed}")
        yield run, None if end is None else partial(_leave, run.stop, release, end)


@contextmanager
def hold_run(folder: Path, observer: Observer) -> Iterator[tuple[Owner | None, Release, Notify | None]]:
    """Lock a run folder and enter the observer's guard until the block ends. Errors: see `lock_run`.

    A stop request of an earlier start is withdrawn at first, and that of the block at its end: it would stop the next
    start.

    Yields:
        What `lock_run` yields, and what the guard yields.
    """
    stop = StopRequest.of(folder)
    with lock_run(folder, observer.notify) as (before, release):
        stop.withdraw()
        try:
            with observer.guard(folder) as end:
                yield before, release, end
        finally:
            with suppress(OSError):
                stop.withdraw()


def _leave(stop: StopRequest, release: Release, end: Notify, reason: str) -> None:
    """Withdraw the stop request, release the lock, and end this process with `end`."""
    with suppress(OSError):
        stop.withdraw()
    release()
    end(reason)


def execute(run: "RunFolder", observer: Observer = SILENT, on_death: Notify | None = None) -> Results:
    """Run what is left of a locked run folder, and write its results and its report. Errors: see `sweep`.

    Args:
        run: of `open_run`.
        observer: receives the events of the run.
        on_death: what `open_run` yielded.
    """
    decision = decide(run.config.tracking, run.path)
    if decision.why:
        observer.notify(_offline(decision.why))
    needs_ray = not run.is_complete() and run.config.cluster.needs_ray(len(run.trials))
    with observer.show(run, needs_ray) as on_progress:
        failures = _run_trials(run, on_progress, on_death)
    from ripu_ray.reporting.figures import write_curves
    from ripu_ray.reporting.report import write_report
    from ripu_ray.reporting.results import REPORT, write_tables
    from ripu_ray.reporting.summary_run import log_summary

    results = Results(run.path, failures)
    if len(results.frame):
        write_tables(run, results.frame)
        write_curves(run, results.frame)
        write_report([run], run.path / REPORT)
        log_summary(run, results.frame)
    afterwards = current(run.config.tracking, run.path)
    if afterwards != decision and afterwards.why:
        observer.notify(_offline(afterwards.why))
    return results


def _run_trials(run: "RunFolder", on_progress: OnProgress, on_death: Notify | None) -> dict[str, str]:
    if run.is_complete():
        return {}  # a Ray would start for nothing
    events = EventLog(run.path, "", on_progress)
    for line in describe_weights(run.trials.values()):
        events.warn(line)
    if run.config.cluster.needs_ray(len(run.trials)):
        from ripu_ray.distributed.sweeping import run_sweep

        return run_sweep(run, on_progress, on_death, _import_reporting)
    from ripu_ray.simulation.execution import local_parts, run_alone
    from ripu_ray.tracking.group import open_trackers

    return run_alone(run, on_progress, local_parts(open_trackers))


def _import_reporting() -> None:
    """Import torch and the plot libraries, which takes 5 s. What it raises is raised again where they are used."""
    with suppress(Exception):
        import_module("ripu_ray.reporting.report")


def _offline(why: str) -> str:
    return f"W&B is offline, `wandb sync` uploads later: {why}"
