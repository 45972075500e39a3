"""The heartbeat of a process: a small file with its current images, to identify an image that kills the process."""

import io
import json
import math
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ripu_ray.data.images import ImageSet
from ripu_ray.data.loading import Domains
from ripu_ray.errors import RemoteError
from ripu_ray.storage.bounded import read_json_value
from ripu_ray.storage.files import replace_file
from ripu_ray.storage.remote import RemotePath

STORE_INTERVAL_S = 1.0
"""Shortest interval of heartbeats in a remote folder."""


@dataclass(frozen=True)
class Place:
    """The content of a heartbeat.

    Attributes:
        node: description of the process's machine.
        done: completed steps of the phase.
        reading: images that are being read, scored or evaluated.
        batch: images of the current training step.
    """

    node: str = ""
    done: int = 0
    reading: tuple[str, ...] = ()
    batch: tuple[str, ...] = ()


def join_places(places: Sequence[Place]) -> Place:
    """Join the heartbeats of processes that work together; the node is that of the first."""
    first = places[0] if places else Place()
    return Place(
        first.node,
        max((place.done for place in places), default=0),
        tuple(image_id for place in places for image_id in place.reading),
        tuple(image_id for place in places for image_id in place.batch),
    )


def name_suspects(places: Sequence[Place]) -> str:
    """Name the images that all last heartbeats of dead processes have in common, as the end of a sentence, or "".

    An image that was being read is the likelier cause; without one, the images of the step are named.
    """
    reading, batch = (
        set[str].intersection(*map(set, images))
        for images in ([place.reading for place in places], [place.batch for place in places])
    )
    if reading:
        return f", while reading {', '.join(sorted(reading))}"
    return f", in a step on images {', '.join(sorted(batch))}" if batch else ""


class Heartbeat:
    """Writes the place of this process to a file, without sync; to a remote file once a second at most.

    Args:
        path: the file; its folder is created if missing.
        node: description of this machine.
    """

    def __init__(self, path: Path, node: str) -> None:
        self._path, self._written_s = path, -math.inf
        self._file: io.FileIO | None = None
        if not isinstance(path, RemotePath):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = io.FileIO(path, "w")
        self._lock, self._reading, self._length = Lock(), Counter[str](), 0
        self._place = Place(node)
        self._write()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file, without removing it."""
        if self._file:
            self._file.close()

    def count(self, done: int) -> None:
        """Write the number of completed steps of the phase."""
        with self._lock:
            self._place = replace(self._place, done=done)
            self._write()

    def compute(self, batch: Sequence[str]) -> None:
        """Write the images of the step that starts."""
        with self._lock:
            self._place = replace(self._place, batch=tuple(batch))
            self._write()

    @contextmanager
    def at(self, image_id: str) -> Iterator[None]:
        """List an image as being read, scored or evaluated during the block."""
        with self._lock:
            self._reading[image_id] += 1
            self._write()
        try:
            yield
        finally:
            with self._lock:
                self._reading[image_id] -= 1
                self._write()

    def watch(self, domains: Domains) -> Domains:
        """Wrap the image sets so that each image is listed while it is read."""
        source, pool, validation = (
            _Watched(images, self) for images in (domains.source, domains.pool, domains.validation)
        )
        return Domains(domains.classes, source, pool, validation)

    def _write(self) -> None:
        place = replace(self._place, reading=tuple(sorted(+self._reading)))
        line = json.dumps(asdict(place)).encode()
        if not self._file:
            if (now_s := time.monotonic()) > self._written_s + STORE_INTERVAL_S:
                self._written_s = now_s
                replace_file(self._path, lambda file: file.write(line))
            return
        # Spaces overwrite the rest of a longer line.
        os.pwrite(self._file.fileno(), line.ljust(self._length), 0)
        self._length = max(self._length, len(line))


def read_place(path: Path) -> Place | None:
    """Read the last heartbeat; None if there is none, or if it is being written."""
    try:
        tree = read_json_value(path)
        return Place(tree["node"], tree["done"], tuple(tree["reading"]), tuple(tree["batch"]))
    except (OSError, RemoteError, ValueError, KeyError, TypeError):
        return None


class _Watched:
    """An `ImageSet` that writes a heartbeat for each image that is read."""

    def __init__(self, images: ImageSet, heartbeat: Heartbeat) -> None:
        self._images, self._heartbeat = images, heartbeat
        self.image_ids, self.label_size = images.image_ids, images.label_size

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """See `ImageSet`."""
        with self._heartbeat.at(image_id):
            return self._images.image(image_id)

    def label(self, image_id: str) -> NDArray[np.uint8]:
        """See `ImageSet`."""
        with self._heartbeat.at(image_id):
            return self._images.label(image_id)
