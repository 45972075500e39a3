"""`ripu`: parse -> load_config -> one call -> print."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

import ripu_ray as ripu
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
from ripu_ray.errors import ConfigError, printable

app = Program(
    name="ripu",
    help="Simulate active learning for domain-adaptive semantic segmentation, and compare strategies by cost.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout and sys.stdout.isatty() else None,
)


app.add_typer(data_app, name="data")


@app.callback(invoke_without_command=True)
def program(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="With --version: print all versions that matter, GPUs and Ray.")
    ] = False,
) -> None:
    """Options of the program itself."""
    if verbose and not show_version:
        raise typer.BadParameter("expected --version beside it", param_hint="--verbose")
    if show_version and verbose:
        for line in ripu.versions():
            typer.echo(line)
    elif show_version:
        typer.echo(f"ripu {ripu.__version__}")
    if show_version:
        raise typer.Exit


class SweepCommand(TyperCommand):
    """`ripu sweep`. Only its help needs the names of the acquisition functions, which imports the configuration."""

    def format_help(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Called by Typer."""
        (option,) = (option for option in self.params if option.name == "acquisitions")
        option.help = f"{', '.join(ripu.acquisition_names())}; source_only, full."  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


@app.command(cls=SweepCommand)
@one_line_errors
@with_shared_options
def sweep(
    context: typer.Context,
    shared: Shared,
    budgets: Annotated[
        str | None, typer.Option(help="Per cent of each target image's pixels (2.2,5), or pixels per image (40px).")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="region or pixel, or both: region,pixel.", autocompletion=complete_modes)
    ] = None,
    windows: Annotated[str | None, typer.Option(help="Side of the window in pixels, odd: 3,9.")] = None,
    acquisitions: Annotated[
        str | None,
        typer.Option(help="Acquisition functions.", autocompletion=complete_acquisitions),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="0,1,2, or 0-4.")] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=V1,V2",
            help="Values of any other setting: data.shift=0,1. Repeatable.",
            autocompletion=complete_setting,
        ),
    ] = None,
) -> None:
    """Run one trial for each combination of the given values. Without --config, the demo's embedded task is used."""
    if shared.resume is not None:
        _resume(context, shared)
        return
    config = ripu.sweep_config(
        shared.config,
        budgets=budgets,
        mode=mode,
        windows=windows,
        acquisitions=acquisitions,
        seeds=seeds,
        vary=vary,
        settings=shared.settings or (),
        plugins=shared.plugins or (),
    )
    _start(shared.placed(config), ripu.name_folder("sweep", shared.name, shared.output), shared)


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
        str | None,
        typer.Option(
            help="Acquisition function; `ripu sweep --help` lists them.", autocompletion=complete_acquisitions
        ),
    ] = None,
    seed: Annotated[str | None, typer.Option(help="Seed of all random numbers, 0 or more.")] = None,
) -> None:
    """Run one trial. Without --config, the demo's embedded task is used."""
    if shared.resume is not None:
        _resume(context, shared)
        return
    config = ripu.run_config(
        shared.config,
        budget=budget,
        mode=mode,
        window=window,
        acquisition=acquisition,
        seed=seed,
        settings=shared.settings or (),
        plugins=shared.plugins or (),
    )
    _start(shared.placed(config), ripu.name_folder("run", shared.name, shared.output), shared)


@app.command()
@one_line_errors
def evaluate(
    checkpoint: Annotated[
        str,
        typer.Option(metavar="FILE", help="Weights: a run's weights.pt, or a checkpoint published by RIPU's authors."),
    ],
    config: ConfigOption = None,
    settings: SetOption = None,
    plugins: PluginOption = None,
    flip: Annotated[bool, typer.Option("--flip", help="Average with the predictions of the mirrored image.")] = False,
    predictions: PredictionsOption = None,
) -> None:
    """Evaluate one checkpoint on the target's validation split."""
    resolved = ripu.load_config(config, settings or (), {"plugins": plugins})
    from ripu_cli.evaluation import evaluate

    evaluate(resolved, checkpoint, flip, predictions)


@app.command()
@one_line_errors
def report(
    folders: FoldersArgument,
    output: ReportOption = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Serve the page on this machine and renew it until all trials are finished.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="With --watch: port on 127.0.0.1; 0: a free one.")] = 0,
) -> None:
    """Write the results of one or several sweeps as one HTML page."""
    serve = (lambda address: typer.echo(f"watch    {address} (Ctrl-C ends it)")) if watch else None
    typer.echo(f"report   {printable(str(ripu.report(folders, output, serve, port)))}")


@app.command()
@one_line_errors
def export(
    folder: Annotated[str, typer.Argument(metavar="RUN", help="Folder of the run: runs/<name>.", show_default=False)],
    output: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A .safetensors file, or .pt for torch.save. Default: TRIAL-round_NN.safetensors in this folder.",
            show_default=False,
        ),
    ] = None,
    trial: Annotated[str | None, typer.Option(help="Id of the trial. Required if the run has several.")] = None,
    round_index: Annotated[
        int | None, typer.Option("--round", help="From 0; -1 means the warm-up. Default: the last.", show_default=False)
    ] = None,
) -> None:
    """Write the weights of one round to a file. The file has a state dict, by default in the format safetensors."""
    typer.echo(f"weights  {printable(str(ripu.export_weights(folder, output, trial, round_index)))}")


@app.command()
@one_line_errors
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A run folder, or one trial of it: runs/demo:TRIAL.")],
    second: Annotated[str, typer.Argument(metavar="B", help="A run folder or trial to compare with.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the differences between two runs. Settings, purchases and mIoU are compared."""
    from ripu_cli.comparison import compare

    compare(first, second, as_json)


@app.command()
@one_line_errors
def dashboard(
    folder: RunArgument,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the workspace or report as JSON; contact no server.")
    ] = False,
    as_report: Annotated[
        bool, typer.Option("--report", help="Save a W&B Report instead: text, results, curves, parallel coordinates.")
    ] = False,
) -> None:
    """Save a workspace for a sweep in W&B. It shows mIoU by budget, cost and class. It needs the extra [dashboard]."""
    typer.echo(ripu.dashboard(folder, dry_run, as_report))


for other in (*annotate.COMMANDS, jobs.jobs, jobs.attach, jobs.logs, jobs.stop):
    app.command()(one_line_errors(other))


_BESIDE_RESUME = ("resume", "address", "dry_run", "accept_changed_data", "rehash", "show_config", "each")
"""Options that may be given together with `--resume`."""


def _resume(context: typer.Context, shared: Shared) -> None:
    from ripu_cli import command

    if not shared.resume:
        raise ConfigError("--resume '': expected a run folder")
    folder = ripu.locate(shared.resume)
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in _BESIDE_RESUME
        and (source := context.get_parameter_source(parameter.name or ""))
        and source.name == "COMMANDLINE"
    ]
    command.check_alone(folder, given)
    if shared.address and ripu.is_job_server(shared.address) and not shared.dry_run:
        raise typer.Exit(jobs.submit_resume(shared.address, folder, shared.job_flags))
    _start(ripu.read_run(folder, shared.address), folder, shared)


def _start(config: "ripu.Config", folder: Path, shared: Shared) -> None:
    from ripu_cli import command

    if shared.show_config and not shared.dry_run:
        raise ConfigError("--show-config: expected --dry-run beside it; a run writes its config.yaml")
    data = ripu.DataOptions(shared.accept_changed_data, shared.rehash)
    if shared.dry_run:
        command.describe(config, folder, data, shared.show_config, shared.each)
    elif ripu.is_job_server(config.cluster.address):
        raise typer.Exit(jobs.submit(config, folder, shared.job_flags))
    else:
        command.conclude(ripu.start(config, folder, command.observer(), data), shared.each)
