"""`ripu data init`, `check` and `convert`."""

from pathlib import Path
from typing import Annotated

import typer

import ripu_ray as ripu
from ripu_cli.guard import one_line_errors
from ripu_cli.options import ConfigOption, OverlaysOption, PathText, PluginOption, SetOption
from ripu_ray.errors import printable

data_app = typer.Typer(help="Check, configure or convert a data set.", no_args_is_help=True)


@data_app.command()
@one_line_errors
def init(
    folder: Annotated[
        Path,
        typer.Argument(
            parser=PathText,
            metavar="FOLDER",
            help="Pictures and labels, in any common arrangement.",
            show_default=False,
        ),
    ],
    config: Annotated[
        Path | None,
        typer.Option(
            parser=PathText,
            metavar="FILE",
            help="The configuration to write. Default: ripu.yaml in FOLDER.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write classes.json and a configuration for a folder of pictures and labels, and print the assumptions."""
    from ripu_cli.data import init

    init(folder, config)


@data_app.command()
@one_line_errors
def check(
    config: ConfigOption = None,
    settings: SetOption = None,
    plugins: PluginOption = None,
    overlays: OverlaysOption = Path("overlays.png"),
) -> None:
    """Read every image and label. Counts, sizes, class frequencies, and a line for each fault are printed."""
    resolved = ripu.load_config(config, settings or (), {"plugins": plugins})
    from ripu_cli.data import check, print_questions

    faults = check(resolved, overlays)
    if config is not None and resolved.oracle.kind == "human":
        print_questions(config)
    for fault in faults:
        typer.echo(f"ripu: {printable(fault)}", err=True)
    if faults:
        raise typer.Exit(2)


@data_app.command()
@one_line_errors
def convert(
    output: Annotated[str, typer.Argument(metavar="FOLDER", help="A new folder.", show_default=False)],
    config: ConfigOption = None,
    settings: SetOption = None,
    plugins: PluginOption = None,
) -> None:
    """Write a data set into a new folder, with labels as class ids, images linked, and a configuration."""
    resolved = ripu.load_config(config, settings or (), {"plugins": plugins})
    from ripu_cli.data import convert

    convert(resolved, ripu.locate(output))
