"""Images and labels that are pairs of files."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ripu_ray.data.encodings import read_label
from ripu_ray.data.labels import ClassTable
from ripu_ray.data.pictures import picture_size, read_image, resize_label
from ripu_ray.errors import DataError


class PairedFiles(Mapping[str, tuple[Path, Path]]):
    """Image id -> image and label file. Kept as texts, so that a pool of a million images takes little memory.

    Args:
        root: the data set's folder.
        pairs: image id -> image and label, each below `root`.
    """

    def __init__(self, root: Path, pairs: Mapping[str, tuple[str, str]]) -> None:
        self._root, self._pairs = root, pairs

    def __getitem__(self, image_id: str) -> tuple[Path, Path]:
        image, label = self._pairs[image_id]
        return self._root / image, self._root / label

    def __iter__(self) -> Iterator[str]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)


class PairedImages:
    """The images of one split of a data set, with their labels as class ids; an `ImageSet`.

    Args:
        files: image id -> image and label file.
        classes: of the labels, and how these are stored.
        input_size: (height, width) of `image`, resized bilinearly; None: as stored.
        label_size: (height, width) of `label`, resized to nearest; None: as stored.
    """

    image_ids: tuple[str, ...]
    """In the order of `files`."""
    files: Mapping[str, tuple[Path, Path]]

    def __init__(
        self,
        files: Mapping[str, tuple[Path, Path]],
        classes: ClassTable,
        input_size: tuple[int, int] | None,
        label_size: tuple[int, int] | None,
    ) -> None:
        self.files, self._classes = files, classes
        self._input_size, self._label_size = input_size, label_size
        self.image_ids = tuple(files)

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 RGB. Raises DataError: the file is damaged or not 8-bit."""
        return read_image(self.files[image_id][0], self._input_size)

    def label(self, image_id: str) -> NDArray[np.uint8]:
        """The label map.

        Args:
            image_id: one of `image_ids`.

        Returns:
            (H, W) uint8 class ids, 255 = void.

        Raises:
            DataError: the file is damaged or in another encoding, holds an id or a colour that the data set does not
                have, or differs in size from its image while not both are resized.
        """
        image_path, path = self.files[image_id]
        label_HW = read_label(path, self._classes)
        if self._input_size is None or self._label_size is None:
            height, width = picture_size(image_path)
            if label_HW.shape != (height, width):
                sizes = f"{label_HW.shape[1]}x{label_HW.shape[0]}, its image {width}x{height}"
                raise DataError(
                    f"{path}: the label is {sizes} (width x height): give both an input_size and a label_size"
                )
        return resize_label(label_HW, self._label_size)

    def label_size(self, image_id: str) -> tuple[int, int]:
        """(height, width) of `label(image_id)`, from the file's header at most. Raises DataError if it is damaged."""
        return self._label_size or picture_size(self.files[image_id][1])
