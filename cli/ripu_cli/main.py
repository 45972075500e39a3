"""`ripu`: parse -> load_config -> one call -> print."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ripu_cli import annotate, jobs
from ripu_cli.completion import complete_acquisitions, complete_modes, complete_setting
from ripu_cli.data_commands import data_app
from ripu_cli.guard import one_line_errors
from ripu_cli.options import (
    ConfigOption,
    FoldersArgument,
    PluginOption,
    PredictionsOption,
    ReportOption,
    RunArgument,
    SetOption,
    Shared,
    with_shared_options,
)
from ripu_cli.streams import Program
from ripu_ray.config.registry import ACQUISITIONS
from ripu_ray.errors import ConfigError, printable

if TYPE_CHECKING:
    from ripu_ray.config import Config

app = Program(
    name="ripu",
    help="Which pixels should we pay to label? Active-learning simulation for domain-adaptive segmentation, on Ray.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout and sys.stdout.isatty() else None,
)


app.add_typer(data_app, name="data")


@app.callback(invoke_without_command=True)
def ripu(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="With --version: all versions that matter, GPUs and Ray.")
    ] = False,
) -> None:
    """Options of the program itself."""
    if show_version and verbose:
        from ripu_cli.about import about

        about()
    elif show_version:
        typer.echo(f"ripu {version('ripu-ray')}")
    if show_version:
        raise typer.Exit


@app.command()
@one_line_errors
@with_shared_options
def sweep(
    context: typer.Context,
    shared: Shared,
    budgets: Annotated[
        str | None, typer.Option(help="Per cent of each target image's pixels (2.2,5), or pixels (40px).")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="region or pixel, or both: region,pixel.", autocompletion=complete_modes)
    ] = None,
    windows: Annotated[str | None, typer.Option(help="Side of the window in pixels, odd: 3,9.")] = None,
    acquisitions: Annotated[
        str | None,
        typer.Option(
            help=f"{', '.join(ACQUISITIONS.names())}; source_only, full.", autocompletion=complete_acquisitions
        ),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="0,1,2, or 0-4.")] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=V1,V2",
            help="Any other setting as a dimension: data.shift=0,1. Repeatable.",
            autocompletion=complete_setting,
        ),
    ] = None,
) -> None:
    """Run a grid: every list is one of its dimensions."""
    from ripu_ray.api.running import as_list

    flags = {
        "sweep.budgets": as_list(budgets),
        "sweep.modes": as_list(mode),
        "sweep.windows": as_list(windows),
        "sweep.acquisitions": as_list(acquisitions),
        "sweep.seeds": as_list(seeds),
        "sweep.vary": vary,
    }
    _run(context, shared, flags)


@app.command()
@one_line_errors
@with_shared_options
def run(
    context: typer.Context,
    shared: Shared,
    budget: Annotated[str | None, typer.Option(help="2.2 (per cent of each target image's pixels) or 40px.")] = None,
    mode: Annotated[str | None, typer.Option(help="region or pixel.")] = None,
    window: Annotated[str | None, typer.Option(help="Side of the window in pixels, odd.")] = None,
    acquisition: Annotated[
        str | None, typer.Option(help="One of those of `ripu sweep`.", autocompletion=complete_acquisitions)
    ] = None,
    seed: Annotated[str | None, typer.Option(help="0 or more.")] = None,
) -> None:
    """Run one trial."""
    from ripu_ray.api.running import trial_flags

    _run(context, shared, trial_flags(budget, mode, window, acquisition, seed))


@app.command()
@one_line_errors
def evaluate(
    checkpoint: Annotated[
        str,
        typer.Option(metavar="FILE", help="Weights: a run's weights.pt, or a checkpoint that the reference published."),
    ],
    config: ConfigOption = None,
    settings: SetOption = None,
    plugins: PluginOption = None,
    flip: Annotated[bool, typer.Option("--flip", help="Average with the mirror image.")] = False,
    predictions: PredictionsOption = None,
) -> None:
    """Evaluate one checkpoint on the target's validation split."""
    from ripu_ray.config import load_config
    from ripu_ray.storage.remote import locate

    resolved = load_config(config, settings or (), {"plugins": plugins})
    from ripu_cli.evaluation import evaluate

    evaluate(resolved, locate(checkpoint), flip, predictions)


@app.command()
@one_line_errors
def report(
    folders: FoldersArgument,
    output: ReportOption = None,
) -> None:
    """Write the results of one or several sweeps as one HTML page."""
    from ripu_ray.api.results import report

    typer.echo(f"report   {printable(str(report(folders, output)))}")


@app.command()
@one_line_errors
def export(
    folder: Annotated[str, typer.Argument(metavar="RUN", help="Folder of the run: runs/<name>.", show_default=False)],
    output: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Ends in .safetensors, or in .pt for torch.save. Default: TRIAL-round_NN.safetensors in this folder.",
            show_default=False,
        ),
    ] = None,
    trial: Annotated[str | None, typer.Option(help="Needed where the run has several.")] = None,
    round_index: Annotated[
        int | None, typer.Option("--round", help="From 0; -1 is the warm-up. Default: the last.", show_default=False)
    ] = None,
) -> None:
    """Write the weights of one round as a state dict, by default as safetensors."""
    from ripu_ray.api.results import export_weights

    typer.echo(f"weights  {printable(str(export_weights(folder, output, trial, round_index)))}")


@app.command()
@one_line_errors
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A run folder, or one trial of it: runs/demo:TRIAL.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show the differences of two runs: settings, purchases, mIoU."""
    from ripu_cli.comparison import compare

    compare(first, second, as_json)


@app.command()
@one_line_errors
def dashboard(
    folder: RunArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the workspace as JSON; contact no server.")] = False,
) -> None:
    """Build a workspace for a sweep in W&B: mIoU by budget, cost and class. Needs the extra [dashboard]."""
    from ripu_cli.dashboard import dashboard

    dashboard(folder, dry_run)


for other in (*annotate.COMMANDS, jobs.jobs, jobs.attach, jobs.logs, jobs.stop):
    app.command()(one_line_errors(other))


def _run(context: typer.Context, shared: Shared, flags: dict[str, Any]) -> None:
    """Start what `sweep` or `run` describes, or resume a run folder."""
    # Imported here, so that --help and validation of flags are fast.
    from ripu_ray.api.running import name_folder
    from ripu_ray.config import load_config
    from ripu_ray.storage.remote import locate

    if shared.resume:
        _resume(context, locate(shared.resume), shared)
        return
    wandb = shared.wandb.value if shared.wandb else None
    flags |= {"cluster.address": shared.address, "tracking.wandb": wandb, "plugins": shared.plugins}
    folder = name_folder(context.info_name or "", shared.name, shared.output)
    _start(load_config(shared.config, shared.settings or (), flags), folder, shared)


_BESIDE_RESUME = ("resume", "address", "dry_run", "accept_changed_data", "rehash", "show_config", "each")
"""Options that `--resume` allows."""


def _resume(context: typer.Context, folder: Path, shared: Shared) -> None:
    from ripu_cli import command
    from ripu_ray.api.starting import read_run

    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in _BESIDE_RESUME
        and (source := context.get_parameter_source(parameter.name or ""))
        and source.name == "COMMANDLINE"
    ]
    command.check_alone(folder, given)
    if shared.address and jobs.is_job_server(shared.address) and not shared.dry_run:
        raise typer.Exit(jobs.submit_resume(shared.address, folder, shared.job_flags))
    _start(read_run(folder, shared.address), folder, shared)


def _start(config: "Config", folder: Path, shared: Shared) -> None:
    from ripu_cli import command
    from ripu_ray.api.starting import DataOptions

    if shared.show_config and not shared.dry_run:
        raise ConfigError("--show-config: expected --dry-run beside it; a run writes its config.yaml")
    data = DataOptions(shared.accept_changed_data, shared.rehash)
    if shared.dry_run:
        command.describe(config, folder, data, shared.show_config, shared.each)
    elif jobs.is_job_server(config.cluster.address):
        raise typer.Exit(jobs.submit(config, folder, shared.job_flags))
    elif command.run_and_print(config, folder, data, shared.each):
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
