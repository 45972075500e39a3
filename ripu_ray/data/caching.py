"""Decoded and resized images and labels on disk, so that a picture is decoded once and not once an epoch.

Entries are .npy files that are mapped into memory, so that processes on one machine share them. An entry's name is the
digest of what it was made from: the contents of the files, and how they are read. It ends with a digest of its name and
content, which is checked at each opening. It appears by rename and never changes, so any number of processes may share
the folder.

For each file there is a mark: its digest, with its size and times. An unchanged file is not read again.
"""

import io
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray

from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.contents import Mark, mark_file
from ripu_ray.data.images import FileImageSet, ImageSet
from ripu_ray.data.pairs import PairedImages
from ripu_ray.errors import DataError, StorageError
from ripu_ray.storage.files import replace_file, replace_text

_DIGEST_BYTES = 32


class CachedImages:
    """An `ImageSet` that reads each image and label of another one once.

    Its arrays are those of the other one, but read-only.

    Args:
        images: whose files are decoded.
        folder: of the cache; made if missing. Nothing in it is ever deleted.
        reading: whatever else the arrays depend on, the same in every process: reader, classes, sizes.
        num_classes: of the labels.
    """

    image_ids: tuple[str, ...]
    files: Mapping[str, tuple[Path, Path]]
    """Those of the other."""

    def __init__(self, images: FileImageSet, folder: Path, reading: Mapping[str, object], num_classes: int) -> None:
        self._images, self._folder, self._num_classes = images, folder, num_classes
        self._reading = json.dumps([reading, PIL.__version__], sort_keys=True)
        self._marks: dict[Path, Mark] = {}
        self.image_ids, self.files, self.label_size = images.image_ids, images.files, images.label_size

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 RGB. Raises DataError: as the other's, or the cache cannot be written."""
        return self._cached("image", image_id, self._images.image)

    def label(self, image_id: str) -> NDArray[np.uint8]:
        """(H, W) uint8 class ids, 255 = void. Raises DataError: as the other's, or the cache cannot be written."""
        return self._cached("label", image_id, self._images.label)

    def _cached(self, kind: str, image_id: str, read: Callable[[str], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        # A label's reader looks at its image, too: it refuses one of another size.
        paths = self.files[image_id][: 1 if kind == "image" else 2]
        try:
            origin = [(str(path.resolve()), self._mark(path).digest) for path in paths]
        except (OSError, DataError):
            return read(image_id)  # which says what is wrong with the file
        key = sha256(json.dumps([kind, origin, self._reading]).encode()).hexdigest()
        entry = self._folder / key[:2] / f"{key[2:]}.npy"
        if (found := self._open(kind, entry)) is not None:
            return found
        array = read(image_id)
        try:
            replace_file(entry, lambda file: file.write(_with_digest(entry, array)))
        except StorageError as error:
            raise DataError(f"{self._folder}: data.cache cannot be written ({error})") from None
        return _map(entry)

    def _mark(self, path: Path) -> Mark:
        """The digest of a file's content. Raises DataError, OSError: it cannot be read."""
        name = sha256(str(path.absolute()).encode()).hexdigest()
        note = self._folder / "files" / name[:2] / name[2:]
        earlier = self._marks.get(path)
        if earlier is None:
            with suppress(OSError, ValueError, TypeError):
                earlier = Mark(*note.read_text(encoding="utf-8").split())
        mark = mark_file(path, earlier)
        if mark != earlier and mark.is_lasting:
            # The mark only saves reading. A cache that cannot be written is reported with the first entry.
            with suppress(StorageError):
                replace_text(note, f"{mark.digest} {mark.state}\n")
        self._marks[path] = mark
        return mark

    def _open(self, kind: str, entry: Path) -> NDArray[np.uint8] | None:
        """The content of an entry; None if there is none, or if it was damaged."""
        try:
            content = np.memmap(entry, np.uint8, "r")
            if _digest(entry, content[:-_DIGEST_BYTES].data) != content[-_DIGEST_BYTES:].tobytes():
                return None
            array = _map(entry)
        except (OSError, ValueError, EOFError):
            return None
        if array.dtype != np.uint8 or array.ndim != (3 if kind == "image" else 2):
            return None
        if kind == "label" and ((array >= self._num_classes) & (array != IGNORE_LABEL)).any():
            return None
        return array


def cached(images: PairedImages, folder: Path | None) -> ImageSet:
    """`images`, read through the cache in `folder`; None: `images`."""
    if folder is None:
        return images
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: data.cache cannot be written ({error.strerror})") from None
    reading = {"classes": repr(images.classes), "sizes": images.sizes}
    return CachedImages(images, folder, reading, images.classes.num_classes)


def _with_digest(entry: Path, array: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue() + _digest(entry, file.getbuffer())


def _digest(entry: Path, content: memoryview) -> bytes:
    """Of the name, too, so that an entry is not read in place of another one."""
    found = sha256(f"{entry.parent.name}{entry.stem}".encode())
    found.update(content)
    return found.digest()


def _map(entry: Path) -> NDArray[np.uint8]:
    return np.asarray(np.load(entry, mmap_mode="r", allow_pickle=False))
