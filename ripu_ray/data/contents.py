"""Digests of everything in a data set that results depend on, so that a resumed run detects a change.

A file that has the size and times of an earlier reading is not read again.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ripu_ray.data.labels import ClassTable, Encoding
from ripu_ray.errors import DataError
from ripu_ray.storage.files import InMemoryFile, digest
from ripu_ray.storage.remote import RemotePath

_UNKNOWN = "-"
"""State of a file that must be read again."""
_RECENT_NS = 2 * 10**9
"""A file that is younger than this may change again without a change of its times, whose resolution may be 1 s."""
_OF_CHECKPOINT = ("config.json", "preprocessor_config.json", "model.safetensors.index.json")
_DIGITS = 32
"""Hex digits that are kept of each SHA-256."""


@dataclass(frozen=True)
class Mark:
    """One file, or one decoded array of a data set without files.

    Attributes:
        digest: the first 32 hex digits of the SHA-256 of its bytes.
        state: size, modification and status change time in ns, joined by colons; `-` if it must be read again.
    """

    digest: str
    state: str = _UNKNOWN

    @property
    def is_lasting(self) -> bool:
        """Whether the file need not be read again while its state is the same."""
        return self.state != _UNKNOWN


Marks = tuple[Mark, ...]
"""Of an image and its label."""


@dataclass(frozen=True)
class Contents:
    """The contents of one data set.

    Attributes:
        classes: digest of the class table and of the encodings of labels.
        splits: "source", "pool" and "validation" -> image id -> the marks of image and label, as written by `line`.
            The images are in the order of the data set.
    """

    classes: str
    splits: dict[str, dict[str, str]]

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of all contents; the times of files do not count."""
        plain = [
            [split, [[image_id, *line.split()[::2]] for image_id, line in images.items()]]
            for split, images in self.splits.items()
        ]
        return hashlib.sha256(json.dumps([self.classes, plain]).encode()).hexdigest()

    def known(self, split: str, image_id: str) -> Marks:
        """The marks of image and label, or nothing."""
        parts = self.splits.get(split, {}).get(image_id, "").split()
        return tuple(map(Mark, parts[::2], parts[1::2]))


NOTHING = Contents("", {})
"""No earlier reading."""


def line(marks: Marks) -> str:
    """Marks as one text."""
    return " ".join(f"{mark.digest} {mark.state}" for mark in marks)


def mark_file(path: Path, earlier: Mark | None = None) -> Mark:
    """Read a file, unless its size and times are those of an earlier reading.

    Raises:
        DataError: it cannot be read.
    """
    try:
        state = _state(path)
        if earlier and earlier.is_lasting and earlier.state == state:
            return earlier
        return Mark(digest(path)[:_DIGITS], state)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def mark_checkpoint(folder: Path) -> Mark:
    """The mark of what is read of a checkpoint of transformers; a missing file counts, too. Raises DataError."""
    whole = folder / "model.safetensors"
    files = [
        *map(folder.joinpath, _OF_CHECKPOINT),
        *([whole] if whole.exists() else sorted(folder.glob("*.safetensors"))),
    ]
    found = [[path.name, mark_file(path).digest if path.exists() else ""] for path in files]
    return Mark(hashlib.sha256(json.dumps(found).encode()).hexdigest()[:_DIGITS])


def mark_array(array: NDArray[np.uint8]) -> Mark:
    """The mark of a decoded image or label of a data set without files."""
    content = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
    content.update(np.ascontiguousarray(array).data)
    return Mark(content.hexdigest()[:_DIGITS])


def digest_classes(*tables: ClassTable) -> str:
    """Digest of names, order, colours and encodings of classes."""
    usual = asdict(Encoding())
    plain = []
    for classes in tables:
        # Without defaults, so that a field that a later version adds changes nothing.
        encoding = {name: value for name, value in asdict(classes.encoding).items() if value != usual[name]}
        encoding.pop("origin", None)
        plain += [classes.names, classes.colours, encoding]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def find_changes(before: Contents, now: Contents) -> Iterator[str]:
    """A line for each difference: of the class table, then of the images by split, in their order."""
    if before.classes != now.classes:
        yield "the class table, or the encoding of labels, was changed"
    for split in dict.fromkeys((*before.splits, *now.splits)):
        old, new = before.splits.get(split, {}), now.splits.get(split, {})
        for image_id in dict.fromkeys((*old, *new)):
            if image_id not in new:
                yield f"{split}: {image_id} was removed"
            elif image_id not in old:
                yield f"{split}: {image_id} was added"
            else:
                pairs = zip(("image", "label"), before.known(split, image_id), now.known(split, image_id), strict=False)
                for kind, first, second in pairs:
                    if first.digest != second.digest:
                        yield f"{split}: the {kind} of {image_id} was changed"
        if list(old) != list(new) and sorted(old) == sorted(new):
            yield f"{split}: the order of the images was changed"


def _state(path: Path) -> str:
    if isinstance(path, InMemoryFile):
        return _UNKNOWN
    stat = path.stat()
    times = [stat.st_mtime_ns] if isinstance(path, RemotePath) else [stat.st_mtime_ns, stat.st_ctime_ns]
    if time.time_ns() - max(times) < _RECENT_NS:
        return _UNKNOWN
    return ":".join(map(str, (stat.st_size, *times)))
