"""The commands: validation, one call of the API, output. Validation comes before the import of torch and Ray."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ripu_cli.interrupts import stop_on_signals
from ripu_cli.jobs import is_job_server
from ripu_cli.streams import tell_if_lost
from ripu_ray.api.starting import DataOptions, Notify, check, execute, open_run
from ripu_ray.config import Config, dump_config
from ripu_ray.distributed.capacity import describe_need
from ripu_ray.errors import ConfigError, RipuError, printable
from ripu_ray.runs.event_log import EventLog, log_path
from ripu_ray.tracking.mode import describe_plan

if TYPE_CHECKING:
    from ripu_ray.runs.run_folder import RunFolder

_AS_SEALED = DataOptions()


def describe(config: Config, folder: Path, data: DataOptions, show_config: bool, each: bool) -> None:
    """Print the configuration if it is asked for, the grid and its cost. Whatever a run refuses is refused."""
    if not is_job_server(config.cluster.address):
        folder = check(config, folder, say, data).folder
    from ripu_cli.cost import print_cost

    if show_config:
        typer.echo(dump_config(config))
    print_cost(config, folder, each)
    is_remote = is_job_server(config.cluster.address)
    typer.echo("W&B: as the cluster has it" if is_remote else printable(describe_plan(config.tracking, folder)))
    typer.echo(describe_need(config.cluster))


def check_alone(folder: Path, contradicting: Sequence[str]) -> None:
    """Refuse flags beside `--resume`. Raises ConfigError."""
    if contradicting:
        flags = ", ".join(contradicting)
        raise ConfigError(f"--resume {folder}: all settings are read from its config.yaml; leave out {flags}")


def run_and_print(config: Config, folder: Path, data: DataOptions = _AS_SEALED, each: bool = False) -> bool:
    """Run a sweep or a trial and print its results, by arm or `each` trial. Returns whether a trial failed."""
    with open_run(config, folder, say, data, stop_on_signals) as (run, end):
        return finish(run, end, each)


def finish(run: "RunFolder", on_death: Notify | None, each: bool = False) -> bool:
    """Run what is left of an open run and print its results. `on_death`: what `open_run` yielded."""

    def tell(line: str) -> None:
        text = f"{line}: the run goes on without it, and its log is {log_path(run.path)}"
        say(text)
        with suppress(RipuError):
            EventLog(run.path, "", lambda progress: None).warn(text)

    with tell_if_lost(tell):
        from ripu_cli.display import show_progress
        from ripu_cli.tables import print_outcome

        results = execute(run, show_progress, say, on_death)
        print_outcome(run, results.frame, results.failures, each)
    return bool(results.failures)


def say(line: str) -> None:
    """Print a line of the program on standard error."""
    typer.echo(f"ripu: {printable(line)}", err=True)
