"""A data set in the layout of folders, with labels as class ids: `ripu data convert`."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from PIL import Image

from ripu_ray.config import Config, safe_yaml, to_tree
from ripu_ray.data.checking import Watch, read_all
from ripu_ray.data.combining import as_stored
from ripu_ray.data.folder import FolderData
from ripu_ray.data.images import FileImageSet
from ripu_ray.data.labels import ClassTable, class_file
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import ConfigError, DataError
from ripu_ray.storage.files import InMemoryFile, one_line_error, path_beside
from ripu_ray.storage.remote import RemotePath

CONFIG = "ripu.yaml"
_PLACES = (("source", "source", "train"), ("pool", "target", "train"), ("validation", "target", "val"))
"""Name of the split, and the names of domain and split in the layout of folders."""


def convert(config: Config, output: Path, watch: Watch[str]) -> dict[str, int]:
    """See `ripu_ray.convert_data`. Labels keep their own size. Returns name of the split -> number of labels."""
    if isinstance(output, RemotePath):
        raise ConfigError(f"{output}: expected a folder of this machine")
    if output.exists() or output.is_symlink():
        raise DataError(f"{output}: is there already, and is not overwritten: name a new folder")
    data = config.data
    uncached = {"cache": None} if "cache" in type(data).model_fields else {}
    domains = open_domains(data.model_copy(update=uncached), config.opens_source)
    counts: dict[str, int] = {}
    with _made_at_once(output) as folder:
        for name, domain, split in _PLACES:
            images = as_stored(getattr(domains, name))
            if not images.image_ids:
                continue
            if not isinstance(images, FileImageSet):
                raise ConfigError(f"data.dataset {data.dataset} has no files to convert")
            read_all(
                name, images.image_ids, partial(_write_pair, images, _names(images), folder / domain / split), watch
            )
            counts[name] = len(images.image_ids)
        (folder / "classes.json").write_text(_class_table(domains.classes), encoding="utf-8")
        (folder / CONFIG).write_text(_configuration(config), encoding="utf-8")
    return counts


@contextmanager
def _made_at_once(output: Path) -> Iterator[Path]:
    """A temporary folder, which gets its name at the end. It and new parents are removed if anything goes wrong."""
    folder = path_beside(output)
    missing = [parent for parent in output.absolute().parents if not parent.exists()]
    with one_line_error(output):
        try:
            folder.mkdir(parents=True)
            yield folder
            folder.rename(output)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # they are not empty: all went well
                for parent in missing:
                    parent.rmdir()


def _write_pair(images: FileImageSet, names: dict[str, str], place: Path, image_id: str) -> None:
    path = images.files[image_id][0]
    target = place / "images" / f"{names[image_id]}{_suffix(path)}"
    label = place / "labels" / f"{names[image_id]}.png"
    for file in (target, label):
        file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(images.label(image_id)).save(label)
    _link_or_copy(path, target)


def _names(images: FileImageSet) -> dict[str, str]:
    """Image id -> path of its files below `images` and `labels`: the id without the folders that all of them share."""
    folders = [Path(image_id).parent.parts for image_id in images.image_ids]
    shared = os.path.commonpath([Path("/", *parts) for parts in folders])
    depth = len(Path(shared).parts) - 1
    return {image_id: "/".join(Path(image_id).parts[depth:]) for image_id in images.image_ids}


def _suffix(path: Path) -> str:
    if isinstance(path, InMemoryFile):
        return ".png" if path.content.startswith(b"\x89PNG") else ".jpg"
    return path.suffix


def _link_or_copy(path: Path, target: Path) -> None:
    if isinstance(path, RemotePath | InMemoryFile):
        target.write_bytes(path.read_bytes())
        return
    try:
        os.link(path.resolve(), target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(path, target)


def _class_table(classes: ClassTable) -> str:
    named = zip(classes.names, classes.colours, strict=True)
    return class_file({"classes": [{"name": name, "color": list(colour)} for name, colour in named]})


def _configuration(config: Config) -> str:
    """The configuration with the new folder as its data."""
    tree = to_tree(config)
    sizes = {key: tree["data"][key] for key in ("input_size", "label_size", "max_megapixels") if key in tree["data"]}
    data = FolderData(root=Path(), **sizes)
    tree["data"] = {"root": ".", **{key: value for key, value in data.model_dump(mode="json").items() if key != "root"}}
    return safe_yaml.write(tree)
