"""Data sets: check one, write a configuration for one, convert one."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ripu_ray.api.arguments import Settings
from ripu_ray.api.running import resolve
from ripu_ray.config import Config
from ripu_ray.errors import ConfigError, DataError, StorageError
from ripu_ray.storage.remote import locate

if TYPE_CHECKING:
    from ripu_ray.data.checking import SplitReport
    from ripu_ray.data.loading import Domains

T = TypeVar("T")
Watch = Callable[[str, Iterable[str], int], Iterable[str]]
"""Goes over image ids as they are done, to show progress: name of the split, ids, how many there are."""


def unwatched(name: str, items: Iterable[T], total: int) -> Iterable[T]:
    """A `Watch` that shows nothing."""
    return items


@dataclass(frozen=True)
class DataReport:
    """What `check_data` found.

    Attributes:
        splits: sizes, class frequencies, notes and faults of source, pool and validation; empty if the data set cannot
            be opened.
        classes: names by class id.
        faults: one line for each fault of all splits.
        notes: one line for each input that is read, but may be a mistake.
        pictures: the file of labels over images, or why there is none; empty if no image can be read, or none was
            asked for.
    """

    splits: tuple["SplitReport", ...]
    classes: tuple[str, ...]
    faults: tuple[str, ...]
    notes: tuple[str, ...] = ()
    pictures: str = ""


def check_data(
    config: Config | str | Path | None = None,
    *,
    overlays: str | Path | None = None,
    settings: Settings | None = None,
    plugins: Sequence[str] = (),
    watch: Watch = unwatched,
) -> DataReport:
    """Read every image and label of a data set.

    Args:
        config, settings, plugins: see `sweep`.
        overlays: file (.png or .jpg) for a picture of 8 labels over their images; None: no picture.
        watch: shows progress.

    Returns:
        What it holds; faults are in it, not raised.

    Raises:
        ConfigError: a wrong configuration, or `overlays` has another ending.
    """
    from ripu_ray.data.checking import inspect_domains
    from ripu_ray.data.loading import open_domains

    resolved = resolve(config, settings, plugins=plugins)
    picture = None if overlays is None else locate(overlays)
    kind = "" if picture is None else _kind_of_picture(picture)
    try:
        domains = open_domains(resolved.data, resolved.opens_source)
    except DataError as error:
        return DataReport((), (), error.faults)
    reports = inspect_domains(domains, resolved.data, watch)
    has_images = any(report.image_sizes for report in reports)
    return DataReport(
        reports,
        domains.classes.names,
        tuple(fault for report in reports for fault in report.faults),
        tuple(note for report in reports for note in report.notes),
        _write_overlays(domains, picture, kind) if picture and has_images else "",
    )


def init_data(
    folder: str | Path,
    config: str | Path | None = None,
    watch: Callable[[str, Iterable[Path], int], Iterable[Path]] = unwatched,
) -> tuple[Path, tuple[str, ...]]:
    """Write `classes.json` and a configuration for a folder of pictures and labels: `ripu data init`.

    Args:
        folder: with pictures and labels, in any arrangement of docs/data.md.
        config: the file to be written; None: ripu.yaml in the folder.
        watch: goes over the labels' files as they are read, as in `check_data`.

    Returns:
        The configuration's file, and a line for each assumption and file.

    Raises:
        DataError: the folder has no labelled images, or labels that are refused; a file is there already.
        StorageError: a file cannot be written.
    """
    from ripu_ray.data.init_folder import initialise

    place = locate(folder)
    file = place / "ripu.yaml" if config is None else locate(config)
    return file, tuple(initialise(place, file, watch))


def convert_data(
    output: str | Path,
    config: Config | str | Path | None = None,
    *,
    settings: Settings | None = None,
    plugins: Sequence[str] = (),
    watch: Watch = unwatched,
) -> tuple[Path, dict[str, int]]:
    """Write a data set into a new folder, with labels as class ids: `ripu data convert`.

    Args:
        output: the new folder. It appears when all of it is written. Images become hard links where the file system
            has them, and copies elsewhere.
        config, settings, plugins: see `sweep`.
        watch: shows progress.

    Returns:
        The configuration in the folder, and name of the split -> number of labels.

    Raises:
        ConfigError: the data set has no files, or `output` is behind a URL.
        DataError: `output` is there already, or a label cannot be read.
        StorageError: a file cannot be written.
    """
    from ripu_ray.data.converting import CONFIG, convert

    place = locate(output)
    counts = convert(resolve(config, settings, plugins=plugins), place, watch)
    return place / CONFIG, counts


def _kind_of_picture(path: Path) -> str:
    """PNG or JPEG. Raises ConfigError: the name says neither."""
    from PIL import Image

    kind = Image.registered_extensions().get(path.suffix.lower(), "")
    if kind not in ("PNG", "JPEG"):
        raise ConfigError(f"--overlays {path}: expected the name of a .png or .jpg file")
    return kind


def _write_overlays(domains: "Domains", path: Path, kind: str) -> str:
    """Write the picture. Returns its path, or why there is none."""
    from PIL import Image

    from ripu_ray.data.images import FileImageSet
    from ripu_ray.data.overlays import draw_overlays
    from ripu_ray.storage.files import replace_file

    parts = (domains.source, domains.pool, domains.validation)
    pairs = (pair for images in parts if isinstance(images, FileImageSet) for pair in images.files.values())
    if path.parent.resolve() in {file.parent.resolve() for pair in pairs for file in pair}:
        return f"not drawn: {path} would lie among the images: name another place with --overlays"
    try:
        sheet = Image.fromarray(draw_overlays(domains))
        replace_file(path, lambda file: sheet.save(file, format=kind))
    except DataError as error:
        return str(error)
    except StorageError as error:  # what was read may have taken an hour
        return f"not drawn: {error}: name another place with --overlays"
    return str(path)
