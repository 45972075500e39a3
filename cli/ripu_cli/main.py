"""`ripu`: parse -> load_config -> one call -> print."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from ripu_ray.errors import InputError, RipuError

app = typer.Typer(
    name="ripu",
    help="Which pixels should we pay to label? Active-learning simulation for domain-adaptive segmentation, on Ray.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
)


class Wandb(StrEnum):
    """Where W&B runs go."""

    auto = "auto"
    offline = "offline"
    online = "online"
    disabled = "disabled"


ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="YAML file of settings, such as configs/demo.yaml.", show_default=False)
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one setting: training.round_steps=20. Repeatable."),
]
NameOption = Annotated[str | None, typer.Option(help="Name of the run folder. Default: the date and time.")]
OutputOption = Annotated[Path, typer.Option(help="Folder that holds run folders.")]
WandbOption = Annotated[
    Wandb | None, typer.Option(help="auto: online where a key is known, else offline.", show_default=False)
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print what would run and what it would cost; run nothing.")
]


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
    config: ConfigOption = None,
    settings: SetOption = None,
    budgets: Annotated[
        str | None, typer.Option(help="Per cent of each target image's pixels (2.2,5), or pixels (40px).")
    ] = None,
    mode: Annotated[str | None, typer.Option(help="region or pixel, or both: region,pixel.")] = None,
    windows: Annotated[str | None, typer.Option(help="Side of the window in pixels, odd: 3,9.")] = None,
    acquisitions: Annotated[str | None, typer.Option(help="ripu,random,entropy.")] = None,
    seeds: Annotated[str | None, typer.Option(help="0,1,2.")] = None,
    name: NameOption = None,
    output: OutputOption = Path("runs"),
    wandb: WandbOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Run a grid: every list is a dimension of it."""
    flags = {
        "sweep.budgets": _listed(budgets),
        "sweep.modes": _listed(mode),
        "sweep.windows": _listed(windows),
        "sweep.acquisitions": _listed(acquisitions),
        "sweep.seeds": _listed(seeds),
    }
    _run(config, settings, flags, wandb, output / (name or _dated("sweep")), dry_run)


@app.command()
def run(
    config: ConfigOption = None,
    settings: SetOption = None,
    budget: Annotated[str | None, typer.Option(help="2.2 (per cent of each target image's pixels) or 40px.")] = None,
    mode: Annotated[str | None, typer.Option(help="region or pixel.")] = None,
    window: Annotated[str | None, typer.Option(help="Side of the window in pixels, odd.")] = None,
    acquisition: Annotated[str | None, typer.Option(help="ripu, random or entropy.")] = None,
    seed: Annotated[str | None, typer.Option(help="0 or more.")] = None,
    name: NameOption = None,
    output: OutputOption = Path("runs"),
    wandb: WandbOption = None,
    dry_run: DryRunOption = False,
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
    _run(config, settings, flags, wandb, output / (name or _dated("run")), dry_run)


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
        Path, typer.Option(help="Weights: a run's weights.pt, or a checkpoint that the reference published.")
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

        evaluate(resolved, checkpoint, flip, predictions)


def _run(
    file: Path | None,
    settings: list[str] | None,
    flags: dict[str, Any],
    wandb: Wandb | None,
    folder: Path,
    dry_run: bool,
) -> None:
    # Imported here, so that --help and a mistyped flag answer at once.
    with _one_line_errors(folder):
        from ripu_ray.config import load_config

        config = load_config(file, settings or (), {**flags, "tracking.wandb": wandb.value if wandb else None})
        from ripu_cli import command

        if dry_run:
            command.describe(config, folder)
            return
        failed = command.execute(config, folder)
    if failed:
        raise typer.Exit(1)


@contextmanager
def _one_line_errors(folder: Path | None = None) -> Iterator[None]:
    try:
        yield
    except RipuError as error:
        typer.echo(f"ripu: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, InputError) else 1) from None
    except KeyboardInterrupt:
        again = f"; the same command with --name {folder.name} goes on from the last finished round" if folder else ""
        typer.echo(f"ripu: interrupted{again}", err=True)
        # Ray's own handlers would print for seconds; whatever matters is on disk.
        sys.stdout.flush()
        os._exit(130)


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",")]


def _dated(kind: str) -> str:
    return f"{kind}-{datetime.now():%Y%m%d-%H%M%S}"


if __name__ == "__main__":
    app()
