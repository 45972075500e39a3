"""Which files a data set has: images, their labels, and lists that name some of them."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ripu_ray.data.lists import GAP, read_names
from ripu_ray.errors import DataError
from ripu_ray.storage.remote import RemotePath


def list_files(
    folder: Path, suffixes: tuple[str, ...], ending: str = "", beginning: str = "", deep: bool = False
) -> dict[str, Path]:
    """The files of a folder by their stem, sorted; hidden files and files of other kinds are passed over.

    Args:
        folder: looked at.
        suffixes: in small letters with the dot; a file's may be in any case.
        ending: of the stem, taken away; files whose stem has another ending are passed over.
        beginning: of the stem, likewise.
        deep: look at sub-folders as well, through links to folders, too.

    Returns:
        Stem without `beginning` and `ending` -> path; of a file in a sub-folder, `<sub-folder>/<stem>`. Links without
        a target are there: reading them says so.

    Raises:
        DataError: the folder cannot be read, or two files have one stem.
    """
    try:
        names = folder.file_names(deep) if isinstance(folder, RemotePath) else list(_file_names(folder, deep))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from None
    if unnamed := next((name for name in names if not name.isprintable()), None):
        raise DataError(f"{folder}: {unnamed!r}: expected names of files in printable characters, in UTF-8")
    files: dict[str, Path] = {}
    for name in sorted(names):
        path, whole = folder / name, Path(name).stem
        if path.suffix.lower() not in suffixes or any(part.startswith(".") for part in Path(name).parts):
            continue
        stem = whole.removeprefix(beginning).removesuffix(ending)
        if not stem or len(stem) + len(beginning) + len(ending) != len(whole):
            continue
        stem = (Path(name).parent / stem).as_posix()
        if stem in files:
            raise DataError(f"{path}: {files[stem].name} has the same stem")
        files[stem] = path
    return dict(sorted(files.items()))


def _file_names(folder: Path, deep: bool, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Paths below `folder`, with "/". `above`: the folders that lead here, so that a circle of links ends."""
    here = (*above, os.path.realpath(folder))
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError:  # a circle of links
                is_folder, is_file = False, False
            if is_file or not Path(entry.path).exists():  # a link without a target; pipes and devices are not files
                yield entry.name
            elif deep and is_folder and not entry.name.startswith(".") and os.path.realpath(entry.path) not in here:
                yield from (f"{entry.name}/{name}" for name in _file_names(Path(entry.path), deep, here))


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
            them are passed over unless they tell images of one name apart.

    Raises:
        DataError: the list cannot be read or is empty, or names an image twice or one that is not there.
    """
    entries, stems = read_names(names), _by_name(files)
    chosen: set[str] = set()
    for place, text in entries:
        # Columns are told by names that are there; a file's own name may hold spaces and commas.
        (name, found), *columns = (_look_up(part, stems) for part in (text, *GAP.split(text)))
        if len(columns) > 1 and (columns[0][1] or not found):
            raise DataError(f"{names}: {place}: {text!r}: expected one name a line")
        if len(found) != 1:
            what = f"{len(found)} images are called" if found else "there is no image"
            raise DataError(f"{names}: {place}: {what} {name}")
        if found[0] in chosen:
            raise DataError(f"{names}: {place}: {name} is there twice")
        chosen.update(found)
    return {stem: path for stem, path in files.items() if stem in chosen}


def _by_name(files: dict[str, Path]) -> dict[str, list[str]]:
    """Every way to name an image, with and without its suffix and folders -> the stems that are meant."""
    stems: dict[str, list[str]] = {}
    for stem, path in files.items():
        folders = stem.split("/")
        for start in range(len(folders)):
            rest = "/".join(folders[start:])
            for name in {rest, _full_name(rest, path)}:
                stems.setdefault(name, []).append(stem)
    # What names one image in full does not mean one of the same name in a sub-folder.
    return stems | {stem: [stem] for stem in files} | {_full_name(*item): [item[0]] for item in files.items()}


def _full_name(stem: str, path: Path) -> str:
    return "/".join((*stem.split("/")[:-1], path.name))


def _look_up(text: str, stems: dict[str, list[str]]) -> tuple[str, list[str]]:
    """The last part of a path, and the stems that its longest known ending means."""
    parts = text.split("/")
    for start in range(len(parts)):
        if found := stems.get("/".join(parts[start:])):
            return parts[-1], found
    return parts[-1], []


def counted(faults: Sequence[str]) -> str:
    """The first fault, and how many others there are, in one line."""
    return f"{faults[0]} (and {len(faults) - 1} more faults)" if len(faults) > 1 else faults[0]
