"""The commands: validation, one call of the API, output. Validation comes before the import of torch and Ray."""

from collections.abc import Sequence
from pathlib import Path

import typer

from ripu_cli.interrupts import stop_on_signals
from ripu_cli.jobs import is_job_server
from ripu_ray.config import Config, dump_config, vary
from ripu_ray.distributed.capacity import check_capacity, describe_need, local_cpus
from ripu_ray.errors import ConfigError
from ripu_ray.runs.event_log import EventLog
from ripu_ray.runs.grid import expand
from ripu_ray.runs.lock import lock_run
from ripu_ray.simulation.preflight import check_trials, describe_weights
from ripu_ray.storage.remote import check_readable, check_writable
from ripu_ray.tracking.mode import Decision, check_key, current, decide


def describe(config: Config, folder: Path, show_config: bool) -> None:
    """Print the resolved configuration if it is asked for, the grid and its cost."""
    if not is_job_server(config.cluster.address):
        _check(config)
    from ripu_cli.tables import print_cost

    if show_config:
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


def execute(config: Config, folder: Path, each: bool = False) -> bool:
    """Run the sweep, write its results and print them, by arm or `each` trial. Returns whether a trial failed."""
    _check(config)
    check_writable(folder)
    with lock_run(folder, lambda line: typer.echo(f"ripu: {line}", err=True)) as before, stop_on_signals(folder):
        if before:
            typer.echo(f"ripu: {folder}: taken over from {before}, which has ended", err=True)
        return _execute(config, folder, each)


def _execute(config: Config, folder: Path, each: bool) -> bool:
    from ripu_ray.runs.run_folder import RunFolder

    run = RunFolder.create(folder, config)
    run.tidy()
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

            failures = run_sweep(run, on_progress)
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
    print_outcome(run, results, failures, each)
    return bool(failures)


def _print_offline(decision: Decision) -> None:
    if decision.why:
        typer.echo(f"ripu: W&B is offline, `wandb sync` uploads later: {decision.why}", err=True)


def _check(config: Config) -> None:
    check_key(config.tracking)
    if config.cluster.address is None:
        check_capacity(config.cluster, [{"CPU": local_cpus(config.cluster), "GPU": 1e6}])
    check_trials(expand(config))
