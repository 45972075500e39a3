"""The images of a step, as a function of the seed and the position alone; and the weights of rare classes."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.core.randomness import generator
from ripu_ray.data.images import ImageSet
from ripu_ray.errors import DataError

SUB_EPOCH = 3000
"""Images after which the counts of the classes are reset. Source: paper.md, "Data facts that bite"."""


def draw_ids(image_ids: Sequence[str], seed: int, purpose: str, first: int, count: int) -> tuple[str, ...]:
    """The `count` images from position `first` of an endless sequence of seeded permutations."""
    chosen = []
    for position in range(first, first + count):
        epoch, index = divmod(position, len(image_ids))
        order = generator(seed, "order", purpose, epoch).permutation(len(image_ids))
        chosen.append(image_ids[int(order[index])])
    return tuple(chosen)


class RaritySampler:
    """Samples images by the rarity of their classes, in sub-epochs of 3,000.

    Each image of a sub-epoch is drawn in two steps: a class with weight 1 / log(1.01 + its share of the classes of the
    images drawn before), then the next image with this class, in a random order that repeats. Classes without images
    are never drawn.

    Args:
        images: each process reads every label once, in threads.
        num_classes: of the labels.
        seed: of the run.
    """

    def __init__(self, images: ImageSet, num_classes: int, seed: int) -> None:
        self._image_ids, self._seed = images.image_ids, seed
        self._presence_NC = _find_classes_once(images, num_classes)  # type: ignore[arg-type]  # hashed by identity
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def draw(self, first: int, count: int) -> tuple[str, ...]:
        """The `count` images from position `first` of an endless sequence."""
        chosen = []
        for position in range(first, first + count):
            epoch, index = divmod(position, SUB_EPOCH)
            if epoch != self._epoch:
                rng = generator(self._seed, "rarity", epoch)
                self._epoch, self._order = epoch, rarity_order(self._presence_NC, SUB_EPOCH, rng)
            chosen.append(self._image_ids[int(self._order[index])])
        return tuple(chosen)


def find_classes(images: ImageSet, num_classes: int) -> NDArray[np.bool_]:
    """Find the classes of each image.

    Args:
        images: N images.
        num_classes: C.

    Returns:
        (N, C) bool; shared, so do not modify it.

    Raises:
        DataError: a label is damaged; names the file.
    """

    def present(image_id: str) -> NDArray[np.bool_]:
        counts = np.bincount(images.label(image_id).ravel(), minlength=IGNORE_LABEL + 1)
        return counts[:num_classes] > 0

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:
        return np.stack(list(threads.map(present, images.image_ids)))


_find_classes_once = lru_cache(maxsize=1)(find_classes)
"""Cached, since the phases of a run share one image set."""


def rarity_order(presence_NC: NDArray[np.bool_], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw one sub-epoch.

    Args:
        presence_NC: (N, C) bool, the classes of each image.
        count: number of images to draw.
        rng: of this sub-epoch.

    Returns:
        (count,) indices of images.

    Raises:
        DataError: no image has any class.

    Source: paper.md, "Data facts that bite"; tests/training/test_sampling.py compares with a transcription.
    """
    classes = np.flatnonzero(presence_NC.any(axis=0))
    if not classes.size:
        raise DataError("no source image has any class: expected at least one labelled pixel")
    queues = {int(class_id): rng.permutation(np.flatnonzero(presence_NC[:, class_id])) for class_id in classes}
    taken = dict.fromkeys(queues, 0)
    seen_C = np.zeros(presence_NC.shape[1])
    order = np.empty(count, np.int64)
    for index in range(count):
        weights = 1 / np.log(1.01 + seen_C[classes] / max(seen_C.sum(), 1))
        class_id = int(rng.choice(classes, p=weights / weights.sum()))
        queue = queues[class_id]
        order[index] = queue[taken[class_id] % len(queue)]
        taken[class_id] += 1
        seen_C += presence_NC[order[index]]
    return order


def class_weights(pixels_C: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weights that are larger for rare classes.

    Args:
        pixels_C: (C,) labelled pixels of each class.

    Returns:
        (C,) 1 / log(1.02 + share), from 1.4 for the only class to 50.5 for one without a pixel.

    Source: ENet, arXiv 1606.02147, with c = 1.02.
    """
    weights_C: NDArray[np.float32] = (1 / np.log(1.02 + pixels_C / max(pixels_C.sum(), 1))).astype(np.float32)
    return weights_C
