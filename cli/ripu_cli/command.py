"""Shared by the commands that run something: lines for the user, signals, and results on the console."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import typer

import ripu_ray as ripu
from ripu_cli.interrupts import stop_on_signals
from ripu_cli.streams import tell_if_lost
from ripu_ray.errors import ConfigError, RipuError, printable


def observer() -> "ripu.Observer":
    """Lines on standard error, progress on the console, signals as stop requests."""
    return ripu.Observer(say, _show, stop_on_signals)


def describe(config: "ripu.Config", folder: Path, data: "ripu.DataOptions", show_config: bool, each: bool) -> None:
    """Print the grid and its cost, after the configuration if that is asked for. Raises the errors of a start."""
    plan = ripu.plan(config, folder, observer(), data)
    from ripu_cli.cost import print_cost

    if show_config:
        typer.echo("\n".join(map(printable, ripu.dump_config(config).split("\n"))))
    print_cost(plan, each)


def check_alone(folder: Path, contradicting: list[str]) -> None:
    """Refuse flags beside `--resume`. Raises ConfigError."""
    if contradicting:
        flags = ", ".join(contradicting)
        raise ConfigError(f"--resume {folder}: all settings are read from its config.yaml; leave out {flags}")


def conclude(results: "ripu.Results", each: bool = False) -> None:
    """Print results, by arm or `each` trial. Raises typer.Exit if a trial failed."""
    from ripu_cli.tables import print_outcome

    with tell_if_lost(partial(_tell, results.run)):
        print_outcome(results, each)
    if results.failures:
        raise typer.Exit(1)


def say(line: str) -> None:
    """Print a line of the program on standard error."""
    typer.echo(f"ripu: {printable(line)}", err=True)


@contextmanager
def _show(run: "ripu.RunFolder", needs_ray: bool) -> "Iterator[Callable[[ripu.Progress], None]]":
    from ripu_cli.progress import show_progress

    with tell_if_lost(partial(_tell, run)), show_progress(run, needs_ray) as on_progress:
        yield on_progress


def _tell(run: "ripu.RunFolder", line: str) -> None:
    text = f"{line}: the run goes on without it, and its log is {run.log}"
    say(text)
    with suppress(RipuError):
        run.warn(text)
