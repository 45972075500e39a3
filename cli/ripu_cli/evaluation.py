"""`ripu evaluate`: the metrics of one checkpoint as a table."""

from functools import partial
from math import isnan
from pathlib import Path

import typer

from ripu_cli.display import new_table, text_console, track_images
from ripu_ray.config import Config
from ripu_ray.errors import counted, printable
from ripu_ray.simulation.evaluation import evaluate_checkpoint


def evaluate(config: Config, checkpoint: Path, flip: bool, predictions: Path | None) -> None:
    """Evaluate a checkpoint on the validation split and print its metrics in per cent."""
    result = evaluate_checkpoint(config, checkpoint, flip, predictions, partial(track_images, "evaluating"))
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
