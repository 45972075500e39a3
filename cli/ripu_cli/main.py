"""`ripu`: parse -> load_config -> one call -> print."""

import os
import sys
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ripu_cli import annotate, jobs
from ripu_cli.options import ConfigOption, SetOption, Shared, with_shared_options
from ripu_ray.config.registry import ACQUISITIONS
from ripu_ray.errors import InputError, RemoteError, RipuError

if TYPE_CHECKING:
    from ripu_ray.config import Config

app = typer.Typer(
    name="ripu",
    help="Which pixels should we pay to label? Active-learning simulation for domain-adaptive segmentation, on Ray.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
)


data_app = typer.Typer(help="Look at a data set.", no_args_is_help=True)
app.add_typer(data_app, name="data")


def _one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Print the expected errors of a command as one line and exit: code 2 for bad input, 1 for other failures."""

    @wraps(command)
    def guarded(*values: Any, **options: Any) -> None:
        try:
            command(*values, **options)
        except (RipuError, RemoteError) as error:
            typer.echo(f"ripu: {error}", err=True)
            raise typer.Exit(2 if isinstance(error, InputError) else 1) from None
        except KeyboardInterrupt:
            typer.echo("ripu: interrupted; `ripu sweep --resume FOLDER` resumes a run that had started", err=True)
            # Ray's exit handlers would print for seconds. All state is on disk.
            sys.stdout.flush()
            os._exit(130)

    return guarded


@app.callback(invoke_without_command=True)
def ripu(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    """Options of the program itself."""
    if show_version:
        typer.echo(f"ripu {version('ripu-ray')}")
        raise typer.Exit


@app.command()
@_one_line_errors
@with_shared_options
def sweep(
    context: typer.Context,
    shared: Shared,
    budgets: Annotated[
        str | None, typer.Option(help="Per cent of each target image's pixels (2.2,5), or pixels (40px).")
    ] = None,
    mode: Annotated[str | None, typer.Option(help="region or pixel, or both: region,pixel.")] = None,
    windows: Annotated[str | None, typer.Option(help="Side of the window in pixels, odd: 3,9.")] = None,
    acquisitions: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(ACQUISITIONS.names())}; source_only, full."),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="0,1,2.")] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=V1,V2", help="Any other setting as a dimension: data.shift=0,1. Repeatable."),
    ] = None,
) -> None:
    """Run a grid: every list is one of its dimensions."""
    flags = {
        "sweep.budgets": _listed(budgets),
        "sweep.modes": _listed(mode),
        "sweep.windows": _listed(windows),
        "sweep.acquisitions": _listed(acquisitions),
        "sweep.seeds": _listed(seeds),
        "sweep.vary": vary,
    }
    _run(context, shared, flags)


@app.command()
@_one_line_errors
@with_shared_options
def run(
    context: typer.Context,
    shared: Shared,
    budget: Annotated[str | None, typer.Option(help="2.2 (per cent of each target image's pixels) or 40px.")] = None,
    mode: Annotated[str | None, typer.Option(help="region or pixel.")] = None,
    window: Annotated[str | None, typer.Option(help="Side of the window in pixels, odd.")] = None,
    acquisition: Annotated[str | None, typer.Option(help="One of those of `ripu sweep`.")] = None,
    seed: Annotated[str | None, typer.Option(help="0 or more.")] = None,
) -> None:
    """Run one trial."""
    flags: dict[str, Any] = {
        "sweep": {},
        "strategy.budget": budget,
        "strategy.mode": mode,
        "strategy.windows.region": window,
        "strategy.windows.pixel": window,
        "strategy.acquisition": acquisition,
        "seed": seed,
    }
    _run(context, shared, flags)


@data_app.command()
@_one_line_errors
def check(
    config: ConfigOption = None,
    settings: SetOption = None,
    overlays: Annotated[Path, typer.Option(help="Picture of 8 labels over their images.")] = Path("overlays.png"),
) -> None:
    """Read every image and label: counts, sizes, class frequencies, and a line for each fault."""
    from ripu_ray.config import load_config

    resolved = load_config(config, settings or ())
    from ripu_cli.data import check

    faults = check(resolved, overlays)
    for fault in faults:
        typer.echo(f"ripu: {fault}", err=True)
    if faults:
        raise typer.Exit(2)


@app.command()
@_one_line_errors
def evaluate(
    checkpoint: Annotated[
        str,
        typer.Option(metavar="FILE", help="Weights: a run's weights.pt, or a checkpoint that the reference published."),
    ],
    config: ConfigOption = None,
    settings: SetOption = None,
    flip: Annotated[bool, typer.Option("--flip", help="Average with the mirror image.")] = False,
    predictions: Annotated[
        Path | None, typer.Option(help="Folder for the predictions, as PNGs in the classes' colours.")
    ] = None,
) -> None:
    """Evaluate one checkpoint on the target's validation split."""
    from ripu_ray.config import load_config
    from ripu_ray.storage.remote import locate

    resolved = load_config(config, settings or ())
    from ripu_cli.evaluation import evaluate

    evaluate(resolved, locate(checkpoint), flip, predictions)


@app.command()
@_one_line_errors
def report(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Run folders, finished or not.")],
    output: Annotated[
        Path | None, typer.Option(help="The file. Default: report.html in the first folder.", show_default=False)
    ] = None,
) -> None:
    """Write the results of one or several sweeps as one HTML page."""
    from ripu_cli import command

    typer.echo(f"report   {command.report(folders, output)}")


@app.command()
@_one_line_errors
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A run folder, or one trial of it: runs/demo:TRIAL.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show the differences of two runs: settings, purchases, mIoU."""
    from ripu_cli.comparison import compare

    compare(first, second, as_json)


@app.command()
@_one_line_errors
def dashboard(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run: runs/<name>.", show_default=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the workspace as JSON; contact no server.")] = False,
) -> None:
    """Build a workspace for a sweep in W&B: mIoU by budget, cost and class. Needs the extra [dashboard]."""
    from ripu_cli.dashboard import dashboard

    dashboard(folder, dry_run)


for other in (*annotate.COMMANDS, jobs.jobs, jobs.attach, jobs.logs, jobs.stop):
    app.command()(_one_line_errors(other))


def _run(context: typer.Context, shared: Shared, flags: dict[str, Any]) -> None:
    """Start what `sweep` or `run` describes, or resume a run folder."""
    # Imported here, so that --help and validation of flags are fast.
    from ripu_ray.config import load_config
    from ripu_ray.storage.remote import locate

    if shared.resume:
        _resume(context, locate(shared.resume), shared)
        return
    wandb = shared.wandb.value if shared.wandb else None
    flags |= {"cluster.address": shared.address, "tracking.wandb": wandb}
    name = shared.name or f"{context.info_name}-{datetime.now():%Y%m%d-%H%M%S}"
    _start(load_config(shared.config, shared.settings or (), flags), locate(shared.output) / name, shared.dry_run)


def _resume(context: typer.Context, folder: Path, shared: Shared) -> None:
    from ripu_cli import command

    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in ("resume", "address", "dry_run")
        and (source := context.get_parameter_source(parameter.name or ""))
        and source.name == "COMMANDLINE"
    ]
    command.check_alone(folder, given)
    if shared.address and jobs.is_job_server(shared.address) and not shared.dry_run:
        raise typer.Exit(jobs.submit_resume(shared.address, folder))
    _start(command.read_run(folder, shared.address), folder, shared.dry_run)


def _start(config: "Config", folder: Path, dry_run: bool) -> None:
    from ripu_cli import command

    if dry_run:
        command.describe(config, folder)
    elif jobs.is_job_server(config.cluster.address):
        raise typer.Exit(jobs.submit(config, folder))
    elif command.execute(config, folder):
        raise typer.Exit(1)


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",")]


if __name__ == "__main__":
    app()
