"""Source and target of different data sets: the classes that both have, by their names."""

import copy
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.images import FileImageSet, ImageSet
from ripu_ray.data.labels import ClassTable
from ripu_ray.data.pairs import PairedImages
from ripu_ray.errors import DataError


class Relabelled:
    """An `ImageSet` with the class ids of another class table.

    Args:
        images: the images, with labels of `classes`.
        classes: names in the order of the ids.
        kept: names in the order of the new ids; classes that are not among them become void.
    """

    image_ids: tuple[str, ...]

    def __init__(self, images: ImageSet, classes: Sequence[str], kept: Sequence[str]) -> None:
        self._images = images
        self.image_ids = images.image_ids
        if isinstance(images, FileImageSet):
            self.files = images.files
        self._ids_256 = np.full(IGNORE_LABEL + 1, IGNORE_LABEL, np.uint8)
        self._ids_256[: len(classes)] = [kept.index(name) if name in kept else IGNORE_LABEL for name in classes]

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """As the other's."""
        return self._images.image(image_id)

    def label(self, image_id: str) -> NDArray[np.uint8]:
        """(H, W) uint8 new class ids, 255 = void. Raises DataError: as the other's."""
        return self._ids_256[self._images.label(image_id)]

    def label_size(self, image_id: str) -> tuple[int, int]:
        """As the other's."""
        return self._images.label_size(image_id)


def as_stored(images: ImageSet) -> ImageSet:
    """The images and labels of pairs of files at the files' own sizes; others as they are."""
    if isinstance(images, Relabelled):
        images = copy.copy(images)
        images._images = as_stored(images._images)
        return images
    return images.as_stored() if isinstance(images, PairedImages) else images


def with_classes(images: ImageSet, classes: ClassTable, kept: ClassTable) -> ImageSet:
    """The images with the class ids of `kept`; themselves if the classes are the same."""
    if not images.image_ids or classes.names == kept.names:
        return images
    return Relabelled(images, classes.names, kept.names)


def shared_classes(source: ClassTable, target: ClassTable) -> ClassTable:
    """The classes whose names are in both tables, in the target's order and colours.

    Raises:
        DataError: there is none.
    """
    kept = [number for number, name in enumerate(target.names) if name in source.names]
    if not kept:
        named = (", ".join(classes.names) for classes in (source, target))
        raise DataError("source and target share no class: {} in the source, {} in the target".format(*named))
    return ClassTable(tuple(target.names[k] for k in kept), tuple(target.colours[k] for k in kept))
