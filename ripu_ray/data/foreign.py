"""Data sets from outside this package. An error or a wrong value of their code becomes a line that names the image."""

from operator import index

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import DatasetSection
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.images import FileImageSet, ImageSet
from ripu_ray.data.labels import MIN_CLASSES, ClassTable
from ripu_ray.errors import DataError, blamed


def is_foreign(data: DatasetSection) -> bool:
    """Whether the data set's code is not of this package."""
    return not type(data).__module__.startswith("ripu_ray.")


def checked_classes(classes: ClassTable, place: str) -> ClassTable:
    """A class table from outside this package. Raises DataError, which begins with `place`, if it cannot be one."""
    with blamed(f"{place}: classes", DataError):
        names = tuple(classes.names)
        if not all(isinstance(name, str) and name.isprintable() for name in names) or len({*names, ""}) <= len(names):
            raise DataError(f"{place}: classes: expected distinct names, found {', '.join(map(repr, names[:5]))}")
        if not MIN_CLASSES <= len(names) <= IGNORE_LABEL:
            raise DataError(f"{place}: expected {MIN_CLASSES} to {IGNORE_LABEL} classes, found {len(names)}")
        colours = tuple((index(red), index(green), index(blue)) for red, green, blue in classes.colours)
        if len(colours) != len(names) or not all(0 <= value <= 255 for colour in colours for value in colour):
            raise DataError(f"{place}: classes: expected a colour for each of them: red, green and blue, 0 to 255")
        return ClassTable(names, colours, classes.encoding)


class CheckedImages:
    """The images of a data set from outside this package, each value checked when it is read.

    Args:
        images: as the data set gives them.
        place: data set and split, for messages.
        num_classes: of the data set.

    Raises:
        DataError: `image_ids` are not distinct names; and see `ImageSet`.
    """

    def __init__(self, images: ImageSet, place: str, num_classes: int) -> None:
        self._images, self._place, self._num_classes = images, place, num_classes
        with blamed(f"{place}: image_ids", DataError):
            self.image_ids = tuple(images.image_ids)
            if isinstance(images, FileImageSet):
                self.files = images.files
        for image_id in self.image_ids:
            is_name = isinstance(image_id, str) and image_id.isprintable()
            if not is_name or {"", ".", ".."}.intersection(image_id.split("/")):
                raise DataError(f"{place}: image_ids: expected names such as a or folder/a, found {image_id!r}")
        if twice := len(self.image_ids) - len({*self.image_ids}):
            raise DataError(f"{place}: image_ids: {twice} of them are there before")

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """See `ImageSet`."""
        with blamed(f"{self._place}: image {image_id}", DataError):
            image_HW3 = self._images.image(image_id)
        if not _is_bytes(image_HW3, 3) or image_HW3.shape[2] != 3:
            raise DataError(f"{self._place}: image {image_id}: expected (h, w, 3) uint8, found {_described(image_HW3)}")
        return image_HW3

    def label(self, image_id: str) -> NDArray[np.uint8]:
        """See `ImageSet`."""
        with blamed(f"{self._place}: label of {image_id}", DataError):
            label_HW = self._images.label(image_id)
        place, size = f"{self._place}: label of {image_id}", self.label_size(image_id)
        classes = f"0..{self._num_classes - 1} and {IGNORE_LABEL}"
        if not _is_bytes(label_HW, 2) or label_HW.shape != size:
            raise DataError(f"{place}: expected uint8 of its label_size {size}, found {_described(label_HW)}")
        if (unknown := label_HW[(label_HW >= self._num_classes) & (label_HW != IGNORE_LABEL)]).size:
            raise DataError(f"{place}: label id {unknown.min()} is outside the classes {classes}")
        return label_HW

    def label_size(self, image_id: str) -> tuple[int, int]:
        """See `ImageSet`."""
        with blamed(f"{self._place}: label_size of {image_id}", DataError):
            height, width = (int(side) for side in self._images.label_size(image_id))
        if min(height, width) < 1:
            raise DataError(f"{self._place}: label_size of {image_id}: expected (H, W), found {(height, width)}")
        return height, width


def _is_bytes(array: object, num_axes: int) -> bool:
    return isinstance(array, np.ndarray) and array.dtype == np.uint8 and array.ndim == num_axes and array.size > 0


def _described(value: object) -> str:
    return f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
