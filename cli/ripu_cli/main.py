"""`ripu`: parse -> load_config -> one call -> print."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ripu_cli import jobs
from ripu_cli.options import (
    AddressOption,
    ConfigOption,
    DryRunOption,
    NameOption,
    OutputOption,
    ResumeOption,
    SetOption,
    Wandb,
    WandbOption,
)
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


@app.callback(invoke_without_command=True)
def ripu(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    """Options of the program itself."""
    if show_version:
        typer.echo(f"ripu {version('ripu-ray')}")
        raise typer.Exit


@app.command()
def sweep(
    context: typer.Context,
    config: ConfigOption = None,
    settings: SetOption = None,
    budgets: Annotated[
        str | None, typer.Option(help="Per cent of each target image's pixels (2.2,5), or pixels (40px).")
    ] = None,
    mode: Annotated[str | None, typer.Option(help="region or pixel, or both: region,pixel.")] = None,
    windows: Annotated[str | None, typer.Option(help="Side of the window in pixels, odd: 3,9.")] = None,
    acquisitions: Annotated[
        str | None,
        typer.Option(help="ripu, impurity, uncertainty, entropy, margin, confidence, random; source_only, full."),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="0,1,2.")] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=V1,V2", help="Any other setting as a dimension: data.shift=0,1. Repeatable."),
    ] = None,
    name: NameOption = None,
    output: OutputOption = "runs",
    resume: ResumeOption = None,
    wandb: WandbOption = None,
    address: AddressOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Run a grid: every list is a dimension of it."""
    if resume:
        _resume(context, _place(resume), address, dry_run)
        return
    flags = {
        "sweep.budgets": _listed(budgets),
        "sweep.modes": _listed(mode),
        "sweep.windows": _listed(windows),
        "sweep.acquisitions": _listed(acquisitions),
        "sweep.seeds": _listed(seeds),
        "sweep.vary": vary,
        "cluster.address": address,
    }
    _run(config, settings, flags, wandb, _place(output) / (name or _dated("sweep")), dry_run)


@app.command()
def run(
    context: typer.Context,
    config: ConfigOption = None,
    settings: SetOption = None,
    budget: Annotated[str | None, typer.Option(help="2.2 (per cent of each target image's pixels) or 40px.")] = None,
    mode: Annotated[str | None, typer.Option(help="region or pixel.")] = None,
    window: Annotated[str | None, typer.Option(help="Side of the window in pixels, odd.")] = None,
    acquisition: Annotated[str | None, typer.Option(help="One of those of `ripu sweep`.")] = None,
    seed: Annotated[str | None, typer.Option(help="0 or more.")] = None,
    name: NameOption = None,
    output: OutputOption = "runs",
    resume: ResumeOption = None,
    wandb: WandbOption = None,
    address: AddressOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Run one trial."""
    if resume:
        _resume(context, _place(resume), address, dry_run)
        return
    flags: dict[str, Any] = {
        "sweep": {},
        "strategy.budget": budget,
        "strategy.mode": mode,
        "strategy.windows.region": window,
        "strategy.windows.pixel": window,
        "strategy.acquisition": acquisition,
        "seed": seed,
        "cluster.address": address,
    }
    _run(config, settings, flags, wandb, _place(output) / (name or _dated("run")), dry_run)


data_app = typer.Typer(help="Look at a data set.", no_args_is_help=True)
app.add_typer(data_app, name="data")


@data_app.command()
def check(
    config: ConfigOption = None,
    settings: SetOption = None,
    overlays: Annotated[Path, typer.Option(help="Picture of 8 labels over their images.")] = Path("overlays.png"),
) -> None:
    """Read every image and label: counts, sizes, class frequencies, and a line for each fault."""
    with _one_line_errors():
        from ripu_ray.config import load_config

        resolved = load_config(config, settings or ())
        from ripu_cli.data import check

        faults = check(resolved, overlays)
    for fault in faults:
        typer.echo(f"ripu: {fault}", err=True)
    if faults:
        raise typer.Exit(2)


@app.command()
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
    with _one_line_errors():
        from ripu_ray.config import load_config

        resolved = load_config(config, settings or ())
        from ripu_cli.evaluation import evaluate

        evaluate(resolved, _place(checkpoint), flip, predictions)


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Run folders, finished or not.")],
    output: Annotated[
        Path | None, typer.Option(help="The file. Default: report.html in the first folder.", show_default=False)
    ] = None,
) -> None:
    """Write one HTML page that says what a sweep found, or several together."""
    with _one_line_errors():
        from ripu_cli import command

        typer.echo(f"report   {command.report(folders, output)}")


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A run folder, or one trial of it: runs/demo:TRIAL.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say where two runs part: settings, purchases, mIoU."""
    with _one_line_errors():
        from ripu_cli.comparison import compare

        compare(first, second, as_json)


@app.command()
def dashboard(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run: runs/<name>.", show_default=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the workspace as JSON; ask no server.")] = False,
) -> None:
    """Build a workspace for a sweep in W&B: mIoU by budget, cost and class. Needs the extra [dashboard]."""
    with _one_line_errors():
        from ripu_cli.dashboard import dashboard

        dashboard(folder, dry_run)


def _run(
    file: Path | None, settings: list[str] | None, flags: dict[str, Any], wandb: Wandb | None, folder: Path, dry: bool
) -> None:
    # Imported here, so that --help and a mistyped flag answer at once.
    with _one_line_errors(folder):
        from ripu_ray.config import load_config

        config = load_config(file, settings or (), {**flags, "tracking.wandb": wandb.value if wandb else None})
        _start(config, folder, dry)


def _resume(context: typer.Context, folder: Path, address: str | None, dry_run: bool) -> None:
    with _one_line_errors(folder):
        from ripu_cli import command

        given = [
            parameter.opts[0]
            for parameter in context.command.params
            if parameter.name not in ("resume", "address", "dry_run")
            and (source := context.get_parameter_source(parameter.name or ""))
            and source.name == "COMMANDLINE"
        ]
        command.check_alone(folder, given)
        if address and jobs.is_job_server(address) and not dry_run:
            raise typer.Exit(jobs.submit_resume(address, folder))
        _start(command.read_run(folder, address), folder, dry_run)


def _start(config: "Config", folder: Path, dry_run: bool) -> None:
    from ripu_cli import command

    if dry_run:
        command.describe(config, folder)
    elif jobs.is_job_server(config.cluster.address):
        raise typer.Exit(jobs.submit(config, folder))
    elif command.execute(config, folder):
        raise typer.Exit(1)


@contextmanager
def _one_line_errors(folder: Path | None = None) -> Iterator[None]:
    try:
        yield
    except (RipuError, RemoteError) as error:
        typer.echo(f"ripu: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, InputError) else 1) from None
    except KeyboardInterrupt:
        again = f"; `ripu sweep --resume {folder}` goes on where it stopped" if folder else ""
        typer.echo(f"ripu: interrupted{again}", err=True)
        # Ray's own handlers would print for seconds; whatever matters is on disk.
        sys.stdout.flush()
        os._exit(130)


def _place(text: str) -> Path:
    """A folder or file, or what a URL names."""
    with _one_line_errors():
        from ripu_ray.storage.remote import locate

        return locate(text)


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    @wraps(command)
    def guarded(*values: Any, **options: Any) -> None:
        with _one_line_errors():
            command(*values, **options)

    return guarded


for remote in (jobs.jobs, jobs.attach, jobs.logs, jobs.stop):
    app.command()(_guarded(remote))


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",")]


def _dated(kind: str) -> str:
    return f"{kind}-{datetime.now():%Y%m%d-%H%M%S}"


if __name__ == "__main__":
    app()
