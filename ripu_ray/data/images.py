"""What every data set is: images with their labels, by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


class ImageSet(Protocol):
    """The images of one domain and split, with their labels."""

    image_ids: tuple[str, ...]
    """In an order that depends on the data alone."""

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 RGB at the network's input size. Raises DataError that names the file."""

    def label(self, image_id: str) -> NDArray[np.uint8]:
        """(H, W) uint8 class ids, 255 = void, at label size. Raises DataError that names the file."""

    def label_size(self, image_id: str) -> tuple[int, int]:
        """(H, W) of the label map, without decoding it. Raises DataError that names the file."""


@runtime_checkable
class FileImageSet(ImageSet, Protocol):
    """An `ImageSet` whose images and labels are files."""

    files: Mapping[str, tuple[Path, Path]]
    """Image id -> image and label."""
