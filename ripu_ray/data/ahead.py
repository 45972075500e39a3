"""Images that are read in threads before they are asked for. Pillow decodes and resizes without Python's lock."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ripu_ray.data.images import ImageSet

Item = TypeVar("Item")
_WAITING = 2
"""Images for each decoder that `ahead` has begun to read."""


class ReadAhead:
    """An `ImageSet` whose expected images and labels are read ahead. Others are read when they are asked for.

    Args:
        images: are read from several threads.
        num_decoders: threads that read; 0: nothing is read ahead.
    """

    def __init__(self, images: ImageSet, num_decoders: int) -> None:
        self._images, self._most = images, _WAITING * num_decoders
        self._decoders = ThreadPoolExecutor(num_decoders, "decoder") if num_decoders else None
        self.image_ids, self.label_size = images.image_ids, images.label_size
        self._coming: dict[tuple[bool, str], Future[NDArray[np.uint8]]] = {}

    def expect(self, image_ids: Iterable[str], labels: bool = True) -> None:
        """Begin to read these images and their labels. Each of them must be asked for once, in this order."""
        if not self._decoders:
            return
        for image_id in image_ids:
            self._coming[False, image_id] = self._decoders.submit(self._images.image, image_id)
            if labels:
                self._coming[True, image_id] = self._decoders.submit(self._images.label, image_id)

    def ahead(self, items: Iterable[Item], name: Callable[[Item], str], labels: bool = True) -> Iterator[Item]:
        """Yield the items, and read the images of the next ones meanwhile. `name` returns the id of an item's image."""
        waiting = deque[Item]()
        for item in items:
            self.expect([name(item)], labels)
            waiting.append(item)
            if len(waiting) > self._most:
                yield waiting.popleft()
        yield from waiting

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """See `ImageSet`."""
        coming = self._coming.pop((False, image_id), None)
        return coming.result() if coming else self._images.image(image_id)

    def label(self, image_id: str) -> NDArray[np.uint8]:
        """See `ImageSet`."""
        coming = self._coming.pop((True, image_id), None)
        return coming.result() if coming else self._images.label(image_id)
