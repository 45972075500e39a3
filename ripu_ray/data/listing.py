"""Which files a data set has: images, their labels, and lists that name some of them."""

import os
from collections.abc import Sequence
from pathlib import Path

from ripu_ray.data.lists import GAP, read_names
from ripu_ray.errors import DataError
from ripu_ray.storage.remote import RemotePath


def list_files(folder: Path, suffixes: tuple[str, ...], ending: str = "") -> dict[str, Path]:
    """The files of a folder by their stem, sorted; hidden files and files of other kinds are passed over.

    Args:
        folder: looked at without its subfolders.
        suffixes: in small letters with the dot; a file's may be in any case.
        ending: of the stem, taken away; files whose stem has another ending are passed over.

    Returns:
        Stem without `ending` -> path.

    Raises:
        DataError: the folder cannot be read, or two files have one stem.
    """
    try:
        names = folder.file_names() if isinstance(folder, RemotePath) else _file_names(folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from None
    if unnamed := next((name for name in names if not name.isprintable()), None):
        raise DataError(f"{folder}: {unnamed!r}: expected names of files in printable characters, in UTF-8")
    files: dict[str, Path] = {}
    for path in (folder / name for name in sorted(names) if not name.startswith(".")):
        if path.suffix.lower() not in suffixes or not path.stem.endswith(ending):
            continue
        stem = path.stem.removesuffix(ending)
        if stem in files:
            raise DataError(f"{path}: {files[stem].name} has the same stem")
        files[stem] = path
    return dict(sorted(files.items()))


def _file_names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.is_file()]


def match_pairs(images: dict[str, Path], labels: dict[str, Path]) -> dict[str, tuple[Path, Path]]:
    """Image and label of each stem, in the images' order.

    Raises:
        DataError: names the first image without label, or label without image, and counts the others.
    """
    faults = [f"{path}: has no label" for stem, path in images.items() if stem not in labels]
    faults += [f"{path}: has no image" for stem, path in labels.items() if stem not in images]
    if faults:
        raise DataError(counted(faults), faults)
    return {stem: (images[stem], labels[stem]) for stem in images}


def keep_listed(files: dict[str, Path], names: Path) -> dict[str, Path]:
    """The images that a list names, in the order of `files`.

    Args:
        files: stem -> image.
        names: text or Parquet file of names, as `read_names` reads them, with or without suffix; folders in front of
            them are passed over.

    Raises:
        DataError: the list cannot be read or is empty, or names an image twice or one that is not there.
    """
    entries = read_names(names)
    stems = {stem: stem for stem in files} | {path.name: stem for stem, path in files.items()}
    chosen: set[str] = set()
    for place, text in entries:
        # Columns are told by names that are there; a file's own name may hold spaces and commas.
        name, *columns = (part.rpartition("/")[2] for part in (text, *GAP.split(text)))
        if len(columns) > 1 and (columns[0] in stems or name not in stems):
            raise DataError(f"{names}: {place}: {text!r}: expected one name a line")
        if name not in stems:
            raise DataError(f"{names}: {place}: there is no image {name}")
        if stems[name] in chosen:
            raise DataError(f"{names}: {place}: {name} is there twice")
        chosen.add(stems[name])
    return {stem: path for stem, path in files.items() if stem in chosen}


def counted(faults: Sequence[str]) -> str:
    """The first fault, and how many others there are, in one line."""
    return f"{faults[0]} (and {len(faults) - 1} more faults)" if len(faults) > 1 else faults[0]
