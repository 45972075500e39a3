"""`ripu query`, `answer`, `train` and `status`: a run with people as the oracle."""

from pathlib import Path
from typing import Annotated

import typer

import ripu_ray as ripu
from ripu_cli.options import ConfigOption, PathText, RunArgument, SetOption
from ripu_ray.errors import DataError, counted, printable

_FORMATS = ("coco", "cvat", "labelstudio", "png")
AddressOption = Annotated[
    str | None, typer.Option(help="A Ray cluster to join: auto, HOST:PORT or ray://HOST:PORT.", show_default=False)
]


def query(
    folder: RunArgument,
    round_index: Annotated[
        int | None, typer.Option("--round", help="Round, counted from 0. Default: the next round.", show_default=False)
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
    """Write the questions of a round for annotators. The regions are selected first. The command can be repeated."""
    from ripu_cli import command

    asked = ripu.query(
        folder,
        round_index,
        export=export,
        output=output,
        config=config,
        settings=settings or (),
        address=address,
        observer=command.observer(),
    )
    if asked.results:
        command.conclude(asked.results)
    images = {question.key[0] for question in asked.questions}
    typer.echo(f"questions  {len(asked.questions)} in {counted(len(images), 'image')}")
    typer.echo(f"files      {printable(str(asked.folder))}")
    _print_next(folder)


def answer(
    folder: RunArgument,
    files: Annotated[
        list[Path],
        typer.Argument(
            parser=PathText, metavar="FILE...", help="Files of the annotation tool, or folders of label maps (PNG)."
        ),
    ],
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Skip and list images, files and answers that have a fault.")
    ] = False,
    accept_extra: Annotated[
        bool, typer.Option("--accept-extra", help="Train on labels outside the questions, too.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace answers that no round has bought, where the new ones differ.")
    ] = False,
) -> None:
    """Take answers from files of an annotation tool. If a file has a fault, no answer is taken."""
    from ripu_cli import command

    try:
        outcome = ripu.answer(
            folder,
            files,
            skip_bad=skip_bad,
            accept_extra=accept_extra,
            replace=replace,
            observer=command.observer(),
        )
    except DataError as error:
        for line in error.faults:  # one for each file
            typer.echo(f"ripu: {line}", err=True)
        raise typer.Exit(2) from None
    for line in outcome.skipped:
        typer.echo(f"ripu: skipped: {printable(line)}", err=True)
    answered = counted(outcome.answered, "question")
    typer.echo(f"answered   {answered}, {outcome.partly} of them in part; {outcome.repeated} again")
    if outcome.replaced:
        typer.echo(f"replaced   {counted(outcome.replaced, 'answer')}")
    if outcome.outside:
        fate = "used" if outcome.accepted else "not used: --accept-extra uses them"
        images = printable(", ".join(list(outcome.outside)[:3])) + (", ..." if len(outcome.outside) > 3 else "")
        typer.echo(f"outside    {sum(outcome.outside.values())} pixels outside the questions ({images}), {fate}")
    _print_next(folder)


def train(folder: RunArgument, address: AddressOption = None) -> None:
    """Train the next round on the answers. The round is evaluated if there are validation images."""
    from ripu_cli import command

    command.conclude(ripu.train(folder, address=address, observer=command.observer()))
    _print_next(folder)


def status(folder: RunArgument) -> None:
    """Show the rounds and questions of a run. Costs, mIoU and the next command are shown, too."""
    from ripu_cli.display import new_table, wide_console

    state = ripu.status(folder)
    table = new_table("round", "asked", "answered", "open", "clicks", "labelled %", "seconds", "mIoU %")
    for each in state.rounds:
        cells = (
            "warm-up" if each.round < 0 else str(each.round),
            *map(str, (each.asked, each.answered, each.open)),
            "-" if each.clicks is None else str(each.clicks),
            "-" if each.labelled_share is None else f"{100 * each.labelled_share:.1f}",
            "-" if each.seconds is None else f"{each.seconds:.1f}",
            "-" if each.miou is None else f"{100 * each.miou:.2f}",
        )
        table.add_row(*cells)
    wide_console().print(table)
    typer.echo(f"next       {printable(state.next_step)}")


COMMANDS = (query, answer, train, status)


def _print_next(folder: Path) -> None:
    typer.echo(f"next       {printable(ripu.status(folder).next_step)}")
