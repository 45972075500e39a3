"""`ripu query`, `answer`, `train` and `status`: a run with people as the oracle."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ripu_cli.interrupts import stop_on_signals
from ripu_cli.jobs import is_job_server
from ripu_cli.options import ConfigOption, PathText, RunArgument, SetOption
from ripu_ray.errors import ConfigError, RunFolderError

if TYPE_CHECKING:
    from ripu_ray.annotation.asking import AskedTrial, Question
    from ripu_ray.config import Config
    from ripu_ray.runs.run_folder import RunFolder

_FORMATS = ("coco", "cvat", "labelstudio", "png")
AddressOption = Annotated[
    str | None, typer.Option(help="A Ray cluster to join: auto, HOST:PORT or ray://HOST:PORT.", show_default=False)
]


def query(
    folder: RunArgument,
    round_index: Annotated[
        int | None, typer.Option("--round", help="0-based. Default: the next one.", show_default=False)
    ] = None,
    export: Annotated[str, typer.Option(metavar="FORMAT", help=f"{', '.join(_FORMATS)}.")] = "coco",
    output: Annotated[
        Path | None,
        typer.Option(
            parser=PathText,
            metavar="FOLDER",
            help="Folder for the files. Default: in the run folder.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    address: AddressOption = None,
) -> None:
    """Ask people: select the regions of a round and write them for an annotation tool. Repeated, it asks the same."""
    if export not in _FORMATS:
        raise ConfigError(f"--export {export}: expected {', '.join(_FORMATS)}")
    from ripu_cli import command
    from ripu_ray.api.starting import open_run

    resolved = _resolve(folder, config, settings, address)
    if resolved.oracle.kind != "human":
        raise ConfigError(f"{folder}: oracle.kind is simulated: its labels answer; expected oracle.kind human")
    with open_run(resolved, folder, command.say, guard=stop_on_signals) as (opened, end):
        # The warm-up, or the rest of a round that was interrupted, ends where people are asked.
        if not all(opened.is_done(key) for key in opened.warmups) and command.finish(opened, end):
            raise typer.Exit(1)
        questions, asked = _ask(opened, round_index)
        from ripu_ray.annotation.exporting import export as write

        place = output or folder / f"questions_{questions[0].round:02d}_{export}" if questions else folder
        if questions:
            write(asked, questions, export, place)
    typer.echo(f"questions  {len(questions)} in {len({question.key[0] for question in questions})} images")
    typer.echo(f"files      {place}")
    _print_next(asked)


def answer(
    folder: RunArgument,
    files: Annotated[
        list[Path],
        typer.Argument(
            parser=PathText, metavar="FILE...", help="Of the annotation tool; or folders of label maps (PNG)."
        ),
    ],
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Skip images and files with a fault, and list them.")
    ] = False,
    accept_extra: Annotated[
        bool, typer.Option("--accept-extra", help="Train on labels outside the questions, too.")
    ] = False,
) -> None:
    """Take answers: all of the files, or none if one has a fault."""
    from ripu_cli import command
    from ripu_ray.annotation.answering import answer
    from ripu_ray.annotation.asking import AskedTrial
    from ripu_ray.runs.lock import lock_run

    opened = _open(folder)
    with lock_run(folder, command.say), stop_on_signals(folder):
        asked = AskedTrial(opened)
        outcome = answer(asked, files, skip_bad, accept_extra)
    for line in outcome.skipped:
        typer.echo(f"ripu: skipped: {line}", err=True)
    typer.echo(f"answered   {outcome.answered} questions, {outcome.partly} of them in part; {outcome.repeated} again")
    if outcome.outside:
        fate = "used" if outcome.accepted else "not used: --accept-extra uses them"
        images = ", ".join(list(outcome.outside)[:3]) + (", ..." if len(outcome.outside) > 3 else "")
        typer.echo(f"outside    {sum(outcome.outside.values())} pixels outside the questions ({images}), {fate}")
    _print_next(asked)


def train(folder: RunArgument, address: AddressOption = None) -> None:
    """Train the next round on what is answered, and evaluate it if there are validation images."""
    from ripu_cli import command
    from ripu_ray.annotation.asking import AskedTrial, buy_answered
    from ripu_ray.api.starting import open_run

    resolved = _resolve(folder, None, None, address)
    with open_run(resolved, folder, command.say, guard=stop_on_signals) as (opened, end):
        buy_answered(AskedTrial(opened))
        if command.finish(opened, end):
            raise typer.Exit(1)
    _print_next(AskedTrial(opened))


def status(folder: RunArgument) -> None:
    """Show rounds, open and answered questions, what they cost, mIoU, and what to do next."""
    from ripu_cli.display import new_table, wide_console
    from ripu_ray.annotation.asking import AskedTrial
    from ripu_ray.annotation.status import read_status

    state = read_status(AskedTrial(_open(folder)))
    table = new_table("round", "asked", "answered", "open", "clicks", "seconds", "mIoU %")
    for each in state.rounds:
        cells = (
            "warm-up" if each.round < 0 else str(each.round),
            *map(str, (each.asked, each.answered, each.open)),
            "-" if each.clicks is None else str(each.clicks),
            "-" if each.seconds is None else f"{each.seconds:.1f}",
            "-" if each.miou is None else f"{100 * each.miou:.2f}",
        )
        table.add_row(*cells)
    wide_console().print(table)
    typer.echo(f"next       {state.next_step}")


COMMANDS = (query, answer, train, status)


def _resolve(folder: Path, config: Path | None, settings: list[str] | None, address: str | None) -> "Config":
    """The configuration of a run folder, or of `config` and `settings` for one that is to be created."""
    from ripu_ray.api.starting import read_run
    from ripu_ray.config import load_config

    if config or settings or not (folder / "config.yaml").exists():
        if not (config or settings):
            raise RunFolderError(f"{folder}: not a run folder: create it with --config or --set")
        resolved = load_config(config, settings or (), {"cluster.address": address})
    else:
        resolved = read_run(folder, address)
    if is_job_server(resolved.cluster.address):
        raise ConfigError(
            f"cluster.address {resolved.cluster.address}: no jobs with oracle.kind human: expected auto, HOST:PORT or "
            "ray://HOST:PORT"
        )
    return resolved


def _open(folder: Path) -> "RunFolder":
    from ripu_ray.runs.run_folder import RunFolder
    from ripu_ray.storage.remote import check_readable

    check_readable(folder)
    return RunFolder(folder)


def _ask(run: "RunFolder", round_index: int | None) -> "tuple[list[Question], AskedTrial]":
    from ripu_cli.display import show_progress
    from ripu_ray.annotation.asking import AskedTrial, ask
    from ripu_ray.simulation.execution import Parts, local_parts
    from ripu_ray.tracking.group import open_trackers

    asked, cluster = AskedTrial(run), run.config.cluster
    parts: Parts = local_parts(open_trackers)
    if cluster.scorers:
        from ripu_ray.distributed.capacity import check_capacity, num_scorers
        from ripu_ray.distributed.cluster import start_ray
        from ripu_ray.distributed.parts import ray_parts

        nodes = start_ray(cluster)
        check_capacity(cluster, nodes)
        parts = ray_parts(num_scorers(cluster, nodes, 1))
    with show_progress(run) as on_progress:
        return ask(asked, asked.next_round if round_index is None else round_index, on_progress, parts), asked


def _print_next(asked: "AskedTrial") -> None:
    from ripu_ray.annotation.status import read_status

    typer.echo(f"next       {read_status(asked).next_step}")
