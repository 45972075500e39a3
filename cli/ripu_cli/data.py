"""`ripu data`: the contents of a data set and its faults, its conversion, and a start for a new one."""

from collections.abc import Iterable
from pathlib import Path
from shlex import quote

import typer
from PIL import Image

from ripu_cli.display import new_table, text_console, track_images
from ripu_ray.annotation.asking import AskedTrial
from ripu_ray.annotation.status import read_status
from ripu_ray.config import Config
from ripu_ray.data import converting
from ripu_ray.data.checking import Size, SplitReport, inspect_domains
from ripu_ray.data.images import FileImageSet
from ripu_ray.data.labels import ClassTable
from ripu_ray.data.loading import Domains, open_domains
from ripu_ray.data.overlays import draw_overlays
from ripu_ray.data.starting import initialise
from ripu_ray.errors import ConfigError, DataError, printable
from ripu_ray.runs.environment import ENVIRONMENT
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.storage.files import replace_file

_MOST_SIZES = 6


def check(config: Config, overlays: Path) -> list[str]:
    """Read all files, print tables and write the overlay picture. Returns the faults, one line each."""
    try:
        domains = open_domains(config.data, config.opens_source)
    except DataError as error:
        return list(error.faults)
    reports = inspect_domains(domains, config.data, track_images)
    _print_sizes(reports)
    _print_classes(reports, domains.classes)
    if any(report.image_sizes for report in reports):
        typer.echo(f"pictures  {printable(_write_overlays(domains, overlays))}")
    for note in (note for report in reports for note in report.notes):
        typer.echo(f"note      {printable(note)}")
    faults = [fault for report in reports for fault in report.faults]
    typer.echo(f"faults    {len(faults)}")
    return faults


def print_questions(config: Path) -> None:
    """Print the questions of the run to which a configuration with people as the oracle belongs, if it is a run's."""
    if config.name != "config.yaml" or not (config.parent / ENVIRONMENT).exists():
        typer.echo("questions people answer: `ripu query RUN` asks; `--config RUN/config.yaml` counts them")
        return
    status = read_status(AskedTrial(RunFolder(config.parent)))
    typer.echo(f"questions {printable(status.summary)}")
    typer.echo(f"next      {printable(status.next_step)}")


def init(folder: Path, config: Path) -> None:
    """Write `classes.json` and a configuration for a folder, and print what was assumed."""
    for line in initialise(folder, config, track_images):
        typer.echo(printable(line))
    typer.echo(f"next      ripu sweep --config {quote(str(config))}")


def convert(config: Config, output: Path) -> None:
    """Write the data set with labels as class ids into a new folder."""
    for name, count in converting.convert(config, output, track_images).items():
        typer.echo(f"{name:9} {count} labels")
    typer.echo(f"wrote     {printable(str(output))}")
    typer.echo(f"next      ripu sweep --config {quote(str(output / converting.CONFIG))}")


def _write_overlays(domains: Domains, path: Path) -> str:
    """Write the picture. Returns its path, or why there is none."""
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind not in ("PNG", "JPEG"):
        raise ConfigError(f"--overlays {path}: expected the name of a .png or .jpg file")
    parts = (domains.source, domains.pool, domains.validation)
    pairs = (pair for images in parts if isinstance(images, FileImageSet) for pair in images.files.values())
    if path.parent.resolve() in {file.parent.resolve() for pair in pairs for file in pair}:
        return f"not drawn: {path} would lie among the images: name another place with --overlays"
    try:
        sheet = Image.fromarray(draw_overlays(domains))
    except DataError as error:
        return str(error)
    replace_file(path, lambda file: sheet.save(file, format=kind))
    return str(path)


def _print_sizes(reports: Iterable[SplitReport]) -> None:
    table = new_table("split", "images", "on disk", "image sizes", "label sizes", "void %", "faults")
    for report in reports:
        sizes = map(_listed, (report.stored_sizes, report.image_sizes, report.label_sizes))
        total = report.void_pixels + int(report.pixels_C.sum())
        void = f"{100 * report.void_pixels / total:.2f}" if total else "-"
        table.add_row(report.name, str(report.num_images), *sizes, void, str(len(report.faults)))
    text_console().print(table)


def _listed(counts: dict[Size, int]) -> str:
    """The most frequent sizes, height x width, and their numbers of images."""
    sizes = [f"{height}x{width}: {count}" for (height, width), count in counts.items()]
    more = [f"{len(sizes) - _MOST_SIZES} more sizes"] if len(sizes) > _MOST_SIZES else []
    return ", ".join(sizes[:_MOST_SIZES] + more) or "-"


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
