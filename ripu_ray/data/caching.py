"""Decoded and resized images and labels on disk, so that a picture is decoded once and not once an epoch.

Entries are .npy files that are mapped into memory, so that processes on one machine share them. An entry's name says
what it was made from; it appears by rename and never changes, so any number of processes may share the folder.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray

from ripu_ray.data.images import FileImageSet, ImageSet
from ripu_ray.data.labels import ClassTable
from ripu_ray.errors import DataError, StorageError
from ripu_ray.storage.files import replace_file


class CachedImages:
    """An `ImageSet` that reads each image and label of another one once.

    What it hands out is the other's, but not to be written to.

    Args:
        images: whose files are decoded.
        folder: of the cache; made if missing. Nothing in it is ever deleted.
        reading: whatever else the arrays depend on, the same in every process: reader, classes, sizes.
    """

    image_ids: tuple[str, ...]

    def __init__(self, images: FileImageSet, folder: Path, reading: Mapping[str, object]) -> None:
        self._images, self._folder = images, folder
        self._reading = json.dumps([reading, PIL.__version__], sort_keys=True)
        self.image_ids, self.files = images.image_ids, images.files

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 RGB. Raises DataError: as the other's, or the cache cannot be written."""
        return self._cached("image", image_id, self._images.image)

    def label(self, image_id: str) -> NDArray[np.uint8]:
        """(H, W) uint8 class ids, 255 = void. Raises DataError: as the other's, or the cache cannot be written."""
        return self._cached("label", image_id, self._images.label)

    def label_size(self, image_id: str) -> tuple[int, int]:
        """(H, W) of the label map. Raises DataError: as the other's."""
        return self._images.label_size(image_id)

    def _cached(self, kind: str, image_id: str, read: Callable[[str], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        try:
            entry = self._entry(kind, image_id)
        except OSError:
            return read(image_id)  # which says what is wrong with the file
        try:
            cached = _map(entry)
            if cached.dtype == np.uint8 and cached.ndim == (3 if kind == "image" else 2):
                return cached
        except (OSError, ValueError, EOFError):
            pass  # not there yet, or spoilt by the disk
        array = read(image_id)
        try:
            replace_file(entry, lambda file: np.save(file, array))
        except StorageError as error:
            raise DataError(f"{self._folder}: data.cache cannot be written ({error})") from None
        return _map(entry)

    def _entry(self, kind: str, image_id: str) -> Path:
        # A label's reader looks at its image, too: it refuses one of another size.
        paths = self._images.files[image_id][: 1 if kind == "image" else 2]
        stats = [(str(path.resolve()), path.stat()) for path in paths]
        origin = [(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats]
        key = hashlib.sha256(json.dumps([kind, origin, self._reading]).encode()).hexdigest()
        return self._folder / key[:2] / f"{key[2:]}.npy"


def cached(
    images: FileImageSet,
    folder: Path | None,
    reader: str,
    classes: ClassTable,
    input_size: tuple[int, int] | None,
    label_size: tuple[int, int] | None,
) -> ImageSet:
    """`images`, read through the cache in `folder`; None: `images`. The other arguments are what entries depend on."""
    if folder is None:
        return images
    reading = {"reader": reader, "classes": repr(classes), "input_size": input_size, "label_size": label_size}
    return CachedImages(images, folder, reading)


def _map(entry: Path) -> NDArray[np.uint8]:
    return np.asarray(np.load(entry, mmap_mode="r", allow_pickle=False))
