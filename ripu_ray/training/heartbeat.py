"""Which images a process is at: a small file that outlives it, so that an image which kills its reader has a name."""

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
from torch import Tensor, nn

from ripu_ray.data.images import ImageSet
from ripu_ray.data.loading import Domains
from ripu_ray.errors import RemoteError
from ripu_ray.storage.files import replace_file
from ripu_ray.storage.remote import RemotePath
from ripu_ray.training.batches import Batch

STORE_INTERVAL_S = 1.0


@dataclass(frozen=True)
class Place:
    """Where a process is.

    Attributes:
        node: where it runs, in words.
        done: steps of the phase that are done.
        reading: images that are being read or looked at.
        batch: images of the step that is being computed.
    """

    node: str = ""
    done: int = 0
    reading: tuple[str, ...] = ()
    batch: tuple[str, ...] = ()


def join_places(places: Sequence[Place]) -> Place:
    """Of processes that work together, the place of all of them; the node is that of the first."""
    first = places[0] if places else Place()
    return Place(
        first.node,
        max((place.done for place in places), default=0),
        tuple(image_id for place in places for image_id in place.reading),
        tuple(image_id for place in places for image_id in place.batch),
    )


def name_suspects(places: Sequence[Place]) -> str:
    """The images that processes which died at these places have in common, in words; empty where there is none.

    Reading one is the likelier cause; all that were in the step count where nothing was being read each time.
    """
    reading, batch = (
        set[str].intersection(*map(set, images))
        for images in ([place.reading for place in places], [place.batch for place in places])
    )
    if reading:
        return f", while reading {', '.join(sorted(reading))}"
    return f", in a step on images {', '.join(sorted(batch))}" if batch else ""


class Trail:
    """Writes the place of this process, in place and without waiting for the disk; into a store once a second at most.

    Args:
        path: the file; its folder is made if missing.
        node: where this process runs, in words.
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
        """Close the file; it stays."""
        if self._file:
            self._file.close()

    def count(self, done: int) -> None:
        """So many steps of the phase are done."""
        with self._lock:
            self._place = replace(self._place, done=done)
            self._write()

    def compute(self, batch: Sequence[str]) -> None:
        """A step on these images begins."""
        with self._lock:
            self._place = replace(self._place, batch=tuple(batch))
            self._write()

    @contextmanager
    def at(self, image_id: str) -> Iterator[None]:
        """An image is read or looked at within the block."""
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
        """The same images, each noted while it is read."""
        source, pool, validation = (
            _Watched(images, self) for images in (domains.source, domains.pool, domains.validation)
        )
        return Domains(domains.classes, source, pool, validation)

    def note_steps(self, step: nn.Module) -> nn.Module:
        """The same step of training, its images noted before it is computed."""
        return _Noted(step, self)

    def _write(self) -> None:
        place = replace(self._place, reading=tuple(sorted(+self._reading)))
        line = json.dumps(asdict(place)).encode()
        if not self._file:
            if (now_s := time.monotonic()) > self._written_s + STORE_INTERVAL_S:
                self._written_s = now_s
                replace_file(self._path, lambda file: file.write(line))
            return
        # Spaces cover what a longer line has left behind.
        os.pwrite(self._file.fileno(), line.ljust(self._length), 0)
        self._length = max(self._length, len(line))


def read_place(path: Path) -> Place | None:
    """What a `Trail` has written last; None if there is nothing, or it is just being written."""
    try:
        tree = json.loads(path.read_text())
        return Place(tree["node"], tree["done"], tuple(tree["reading"]), tuple(tree["batch"]))
    except (OSError, RemoteError, ValueError, KeyError, TypeError):
        return None


class _Watched:
    """An `ImageSet` that notes what is read."""

    def __init__(self, images: ImageSet, trail: Trail) -> None:
        self._images, self._trail = images, trail
        self.image_ids, self.label_size = images.image_ids, images.label_size

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """See `ImageSet`."""
        with self._trail.at(image_id):
            return self._images.image(image_id)

    def label(self, image_id: str) -> NDArray[np.uint8]:
        """See `ImageSet`."""
        with self._trail.at(image_id):
            return self._images.label(image_id)


class _Noted(nn.Module):
    """A `TrainingStep` that notes what it is given."""

    def __init__(self, step: nn.Module, trail: Trail) -> None:
        super().__init__()
        self.step, self._trail = step, trail

    def forward(self, source: Batch | None, target: Batch | None) -> tuple[Tensor, dict[str, Tensor]]:
        """See `TrainingStep`."""
        self._trail.compute([image_id for batch in (source, target) if batch for image_id in batch.image_ids])
        loss: tuple[Tensor, dict[str, Tensor]] = self.step(source, target)
        return loss
