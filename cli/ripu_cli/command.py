"""The commands: validation, one call of the API, output. Validation comes before the import of torch and Ray."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import typer

from ripu_cli.interrupts import stop_on_signals
from ripu_cli.jobs import is_job_server
from ripu_ray.config import Config, dump_config, vary
from ripu_ray.distributed.capacity import check_capacity, describe_need, local_cpus
from ripu_ray.errors import ConfigError, DataError
from ripu_ray.runs.data_seal import DataSeal
from ripu_ray.runs.event_log import EventLog
from ripu_ray.runs.grid import expand
from ripu_ray.runs.lock import lock_run
from ripu_ray.runs.run_folder import find_seal, folder_for_changed_data
from ripu_ray.simulation.preflight import check_trials, describe_weights
from ripu_ray.storage.remote import RemotePath, check_readable, check_writable
from ripu_ray.tracking.mode import Decision, check_key, current, decide


@dataclass(frozen=True)
class DataOptions:
    """What a start does about data that were sealed by an earlier one.

    Attributes:
        accept_changed: run changed data in a new run folder; else they are refused.
        rehash: read every file, also those whose size and times are unchanged.
    """

    accept_changed: bool = False
    rehash: bool = False


def describe(config: Config, folder: Path, data: DataOptions) -> None:
    """Print the resolved configuration, the grid and its cost."""
    if not is_job_server(config.cluster.address):
        # A dry run does not ask whether a store behind a URL can be reached.
        folder, _ = _check(config, folder, data, compare=not isinstance(folder, RemotePath))
    from ripu_cli.tables import print_cost

    typer.echo(dump_config(config))
    print_cost(config, folder)
    typer.echo(describe_need(config.cluster))


def check_alone(folder: Path, contradicting: Sequence[str]) -> None:
    """Refuse flags beside `--resume`. Raises ConfigError."""
    if contradicting:
        flags = ", ".join(contradicting)
        raise ConfigError(f"--resume {folder}: all settings are read from its config.yaml; leave out {flags}")


def read_run(folder: Path, address: str | None) -> Config:
    """The configuration of a run folder, with `address` as `cluster.address` if one is given.

    Raises:
        InputError: the folder is behind a URL and cannot be read.
        RunFolderError: it is not a run folder.
    """
    from ripu_ray.runs.run_folder import RunFolder

    check_readable(folder)
    config = RunFolder(folder).config
    return vary(config, {"cluster.address": address}) if address else config


def report(folders: Sequence[Path], output: Path | None) -> Path:
    """Write the report of one or several run folders, finished or not. Returns its path."""
    from ripu_ray.reporting.report import write_report
    from ripu_ray.reporting.results import REPORT
    from ripu_ray.runs.run_folder import RunFolder

    path = output or folders[0] / REPORT
    write_report([RunFolder(folder) for folder in folders], path)
    return path


def execute(config: Config, folder: Path, data: DataOptions = DataOptions()) -> bool:
    """Run the sweep, write its results and print them. Returns whether a trial failed."""
    check_writable(folder)
    folder, seal = _check(config, folder, data)
    with lock_run(folder, lambda line: typer.echo(f"ripu: {line}", err=True)) as before, stop_on_signals(folder) as end:
        if before:
            typer.echo(f"ripu: {folder}: taken over from {before}, which has ended", err=True)
        return _execute(config, folder, seal, end)


def _execute(config: Config, folder: Path, seal: DataSeal, end: Callable[[str], NoReturn]) -> bool:
    from ripu_ray.runs.environment import add_environment
    from ripu_ray.runs.run_folder import RunFolder

    run = RunFolder.create(folder, config, seal)
    run.tidy()
    if changed := add_environment(run.path):
        typer.echo(f"ripu: versions changed since the last start, environment.json keeps both: {changed}", err=True)
    from ripu_cli.display import show_progress
    from ripu_cli.tables import print_outcome
    from ripu_ray.reporting.figures import write_curves
    from ripu_ray.reporting.report import write_report
    from ripu_ray.reporting.results import REPORT, collect, write_tables
    from ripu_ray.reporting.summary_run import log_summary

    decision = decide(config.tracking, run.path)
    _print_offline(decision)
    needs_ray = len(run.trials) > 1 or config.cluster.scorers or config.cluster.train_workers
    with show_progress(run) as on_progress:
        events = EventLog(run.path, "", on_progress)
        for line in describe_weights(run.trials.values()):
            events.warn(line)
        if needs_ray:
            from ripu_ray.distributed.sweeping import run_sweep

            failures = run_sweep(run, on_progress, end)
        else:
            from ripu_ray.simulation.execution import local_parts, run_alone
            from ripu_ray.tracking.group import open_trackers

            failures = run_alone(run, on_progress, local_parts(open_trackers))
    results = collect(run)
    if len(results):
        write_tables(run, results)
        write_curves(run, results)
        write_report([run], run.path / REPORT)
        log_summary(run, results)
    if (afterwards := current(config.tracking, run.path)) != decision:
        _print_offline(afterwards)
    print_outcome(run, results, failures)
    return bool(failures)


def _print_offline(decision: Decision) -> None:
    if decision.why:
        typer.echo(f"ripu: W&B is offline, `wandb sync` uploads later: {decision.why}", err=True)


def _check(config: Config, folder: Path, data: DataOptions, compare: bool = True) -> tuple[Path, DataSeal]:
    """Check everything that can be checked without Ray, and compare the data with those of an earlier start.

    Returns:
        The run folder, another one if changed data are accepted, and the digests of the data.
    """
    check_key(config.tracking)
    if config.cluster.address is None:
        check_capacity(config.cluster, [{"CPU": local_cpus(config.cluster), "GPU": 1e6}])
    earlier = find_seal(folder) if compare else None
    seal = check_trials(expand(config), DataSeal() if data.rehash else earlier or DataSeal())
    if earlier is None or not seal:
        return folder, seal
    if not earlier:
        typer.echo(f"ripu: {folder}: was started without digests of its data; a change is not detected", err=True)
        return folder, DataSeal()
    try:
        earlier.check(seal, folder)
    except DataError as error:
        if not data.accept_changed:
            raise
        new = folder_for_changed_data(folder, seal)
        typer.echo(f"ripu: {folder} stays as it is; {new} is run with the changed data: {error.faults[0]}", err=True)
        return new, seal
    return folder, seal
