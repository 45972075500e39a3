"""`ripu data check`: the contents of a data set, and its faults."""

from collections.abc import Iterable
from pathlib import Path

import typer
from PIL import Image

from ripu_cli.display import new_table, text_console, track_images
from ripu_ray.config import Config
from ripu_ray.data.checking import SplitReport, draw_overlays, inspect_domains
from ripu_ray.data.labels import ClassTable
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import ConfigError, DataError, printable
from ripu_ray.storage.files import replace_file


def check(config: Config, overlays: Path) -> list[str]:
    """Read all files, print tables and write the overlay picture. Returns the faults, one line each."""
    try:
        domains = open_domains(config.data, config.opens_source)
    except DataError as error:
        return list(error.faults)
    reports = inspect_domains(domains, config.data, track_images)
    _print_sizes(reports)
    _print_classes(reports, domains.classes)
    faults = [fault for report in reports for fault in report.faults]
    if any(report.image_sizes for report in reports):
        kind = Image.registered_extensions().get(overlays.suffix.lower())
        if kind not in ("PNG", "JPEG"):
            raise ConfigError(f"--overlays {overlays}: expected the name of a .png or .jpg file")
        try:
            sheet = Image.fromarray(draw_overlays(domains))
            replace_file(overlays, lambda file: sheet.save(file, format=kind))
            typer.echo(f"pictures  {printable(str(overlays))}")
        except DataError as error:
            typer.echo(f"pictures  {error}")
    typer.echo(f"faults    {len(faults)}")
    return faults


def _print_sizes(reports: Iterable[SplitReport]) -> None:
    table = new_table("split", "images", "image sizes", "label sizes", "void %", "faults")
    for report in reports:
        sizes = (
            ", ".join(f"{height}x{width}: {count}" for (height, width), count in counts.items())
            for counts in (report.image_sizes, report.label_sizes)
        )
        total = report.void_pixels + int(report.pixels_C.sum())
        void = f"{100 * report.void_pixels / total:.2f}" if total else "-"
        table.add_row(report.name, str(report.num_images), *sizes, void, str(len(report.faults)))
    text_console().print(table)


def _print_classes(reports: tuple[SplitReport, ...], classes: ClassTable) -> None:
    """Print the share of labelled pixels, and of images with the class, by split."""
    table = new_table("class")
    for report in reports:
        table.add_column(f"{report.name}: pixels %", justify="right")
        table.add_column("images %", justify="right")
    for class_id, name in enumerate(classes.names):
        cells = []
        for report in reports:
            labelled, images = int(report.pixels_C.sum()), report.num_images
            cells.append(f"{100 * report.pixels_C[class_id] / labelled:.3f}" if labelled else "-")
            cells.append(f"{100 * report.images_C[class_id] / images:.1f}" if images else "-")
        table.add_row(name, *cells)
    text_console().print(table)
