"""`ripu data`: the contents of a data set and its faults, its conversion, and a configuration for a new one."""

from pathlib import Path
from shlex import quote

import typer

import ripu_ray as ripu
from ripu_cli.display import new_table, text_console, track_images
from ripu_ray.errors import counted, printable

_MOST_SIZES = 6


def check(config: ripu.Config, overlays: Path) -> tuple[str, ...]:
    """Read all files, print tables and write the overlay picture. Returns the faults, one line each."""
    report = ripu.check_data(config, overlays=overlays, watch=track_images)
    if not report.splits:
        return report.faults
    _print_sizes(report)
    _print_classes(report)
    if report.pictures:
        typer.echo(f"pictures  {printable(report.pictures)}")
    for note in report.notes:
        typer.echo(f"note      {printable(note)}")
    typer.echo(f"faults    {len(report.faults)}")
    return report.faults


def print_questions(config: Path) -> None:
    """Print the questions of the run to which a configuration with people as the oracle belongs, if it is a run's."""
    if config.name != "config.yaml" or not (config.parent / "environment.json").exists():
        typer.echo("questions people answer: `ripu query RUN` asks; `--config RUN/config.yaml` counts them")
        return
    status = ripu.status(config.parent)
    typer.echo(f"questions {printable(status.summary)}")
    typer.echo(f"next      {printable(status.next_step)}")


def init(folder: Path, config: Path | None) -> None:
    """Write `classes.json` and a configuration for a folder, and print what was assumed."""
    file, lines = ripu.init_data(folder, config, track_images)
    for line in lines:
        typer.echo(printable(line))
    typer.echo(f"next      ripu sweep --config {printable(quote(str(file)))}")


def convert(config: ripu.Config, output: Path) -> None:
    """Write the data set with labels as class ids into a new folder."""
    file, counts = ripu.convert_data(output, config, watch=track_images)
    for name, count in counts.items():
        typer.echo(f"{name:10} {counted(count, 'label')}")
    typer.echo(f"wrote     {printable(str(output))}")
    typer.echo(f"next      ripu sweep --config {printable(quote(str(file)))}")


def _print_sizes(found: ripu.DataReport) -> None:
    table = new_table("split", "images", "on disk", "image sizes", "label sizes", "void %", "faults")
    for report in found.splits:
        sizes = map(_listed, (report.stored_sizes, report.image_sizes, report.label_sizes))
        total = report.void_pixels + int(report.pixels_C.sum())
        void = f"{100 * report.void_pixels / total:.2f}" if total else "-"
        table.add_row(report.name, str(report.num_images), *sizes, void, str(len(report.faults)))
    text_console().print(table)


def _listed(counts: dict[tuple[int, ...], int]) -> str:
    """The most frequent sizes, height x width, and their numbers of images."""
    sizes = [f"{height}x{width}: {count}" for (height, width), count in counts.items()]
    more = [counted(len(sizes) - _MOST_SIZES, "more size")] if len(sizes) > _MOST_SIZES else []
    return ", ".join(sizes[:_MOST_SIZES] + more) or "-"


def _print_classes(found: ripu.DataReport) -> None:
    """Print the share of labelled pixels, and of images with the class, by split."""
    table = new_table("class")
    for report in found.splits:
        table.add_column(f"{report.name}: pixels %", justify="right", overflow="fold")
        table.add_column("images %", justify="right", overflow="fold")
    for class_id, name in enumerate(found.classes):
        cells = []
        for report in found.splits:
            labelled, images = int(report.pixels_C.sum()), report.num_images
            cells.append(f"{100 * report.pixels_C[class_id] / labelled:.3f}" if labelled else "-")
            cells.append(f"{100 * report.images_C[class_id] / images:.1f}" if images else "-")
        table.add_row(name, *cells)
    text_console().print(table)
