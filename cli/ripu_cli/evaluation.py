"""`ripu evaluate`: the metrics of one checkpoint as a table."""

from functools import partial
from math import isnan
from pathlib import Path

import typer

import ripu_ray as ripu
from ripu_cli.display import new_table, text_console, track_images
from ripu_ray.errors import counted, printable


def evaluate(config: ripu.Config, checkpoint: str, flip: bool, predictions: Path | None) -> None:
    """Evaluate a checkpoint on the validation split and print its metrics in per cent."""
    watch = partial(track_images, "evaluating")
    result = ripu.evaluate(checkpoint, config, flip=flip, predictions=predictions, watch=watch)
    table = new_table("class")
    table.add_column("IoU %", justify="right")
    for name, value in result.iou.items():
        table.add_row(name, "-" if isnan(value) else f"{100 * value:.2f}")
    text_console().print(table)
    typer.echo(f"mIoU      {100 * result.miou:.2f} %, {counted(len(result.iou), 'class')}")
    if result.miou_13 is not None:
        typer.echo(f"mIoU      {100 * result.miou_13:.2f} %, 13 classes: without wall, fence and pole")
    typer.echo(f"accuracy  {100 * result.accuracy:.2f} %")
    if predictions is not None:
        typer.echo(f"pictures  {printable(str(predictions))}")
