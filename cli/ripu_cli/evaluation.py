"""`ripu evaluate`: one checkpoint's figures as a table."""

from collections.abc import Iterable
from math import isnan
from pathlib import Path

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ripu_ray.config import Config
from ripu_ray.simulation.evaluation import evaluate_checkpoint


def evaluate(config: Config, checkpoint: Path, flip: bool, predictions: Path | None) -> None:
    """Evaluate a checkpoint on the validation split and print its figures, in per cent."""
    result = evaluate_checkpoint(config, checkpoint, flip, predictions, _watch)
    table = Table(box=SIMPLE_HEAD)
    table.add_column("class")
    table.add_column("IoU %", justify="right")
    for name, value in result.iou.items():
        table.add_row(name, "-" if isnan(value) else f"{100 * value:.2f}")
    Console(highlight=False).print(table)
    typer.echo(f"mIoU      {100 * result.miou:.2f} %, {len(result.iou)} classes")
    if result.miou_13 is not None:
        typer.echo(f"mIoU      {100 * result.miou_13:.2f} %, 13 classes: without wall, fence and pole")
    typer.echo(f"accuracy  {100 * result.accuracy:.2f} %")
    if predictions is not None:
        typer.echo(f"pictures  {predictions}")


def _watch(image_ids: Iterable[str]) -> Iterable[str]:
    console = Console(stderr=True)
    return track(image_ids, "evaluating", console=console, transient=True, disable=not console.is_terminal)
