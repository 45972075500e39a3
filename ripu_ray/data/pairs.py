"""Images and labels that are pairs of files."""

import copy
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ripu_ray.data.encodings import read_label
from ripu_ray.data.labels import ClassTable
from ripu_ray.data.pictures import MAX_MEGAPIXELS, picture_size, read_image, resize_label, shown_size
from ripu_ray.errors import DataError

SAME_ASPECT = 0.03
"""By which share the aspects of two pictures may differ that are resized to one size."""


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


class _Chosen(Mapping[str, tuple[Path, Path]]):
    """Some of the files of another mapping, which is asked for each."""

    def __init__(self, files: Mapping[str, tuple[Path, Path]], image_ids: tuple[str, ...]) -> None:
        self._files, self._image_ids = files, dict.fromkeys(image_ids)

    def __getitem__(self, image_id: str) -> tuple[Path, Path]:
        self._image_ids[image_id]  # KeyError, as of any mapping
        return self._files[image_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._image_ids)

    def __len__(self) -> int:
        return len(self._image_ids)


class PairedImages:
    """The images of one split of a data set, with their labels as class ids; an `ImageSet`.

    Args:
        files: image id -> image and label file.
        classes: of the labels, and how these are stored.
        input_size: (height, width) of `image`, resized bilinearly; None: as stored.
        label_size: (height, width) of `label`, resized to nearest; None: as stored.
        max_megapixels: of one picture.
    """

    image_ids: tuple[str, ...]
    """In the order of `files`."""
    files: Mapping[str, tuple[Path, Path]]

    def __init__(
        self,
        files: Mapping[str, tuple[Path, Path]],
        classes: ClassTable,
        input_size: tuple[int, int] | None = None,
        label_size: tuple[int, int] | None = None,
        max_megapixels: int = MAX_MEGAPIXELS,
    ) -> None:
        self.files, self.classes = files, classes
        self.sizes = input_size, label_size
        self._max_megapixels = max_megapixels
        self._sizes_may_differ = False
        self.image_ids = tuple(files)

    def part(self, image_ids: Collection[str]) -> "PairedImages":
        """These of the images alone, in the order of all."""
        images, chosen = copy.copy(self), frozenset(image_ids)
        images.files = _Chosen(self.files, tuple(image_id for image_id in self.image_ids if image_id in chosen))
        images.image_ids = tuple(images.files)
        return images

    def as_stored(self) -> "PairedImages":
        """The same images and labels at their stored sizes. Image and label may differ in size, not in aspect."""
        images = copy.copy(self)
        images.sizes, images._sizes_may_differ = (None, None), True
        return images

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """The image at the network's input size.

        Args:
            image_id: one of `image_ids`.

        Returns:
            (h, w, 3) uint8, RGB.

        Raises:
            DataError: the file is damaged, is not 8-bit or too large, or its EXIF orientation rotates it and its label
                does not have the size of the rotated picture.
        """
        path, label = self.files[image_id]
        return read_image(path, self.sizes[0], self._max_megapixels, label)

    def label(self, image_id: str) -> NDArray[np.uint8]:
        """The label map at the size at which labels are bought and evaluated.

        Args:
            image_id: one of `image_ids`.

        Returns:
            (H, W) uint8 class ids, 255 = void.

        Raises:
            DataError: the file is damaged or stored in another way, or holds an id or a colour that no class has. Its
                aspect differs from that of its image, or its size does and not both are resized.
        """
        image_path, path = self.files[image_id]
        label_HW = read_label(path, self.classes, self._max_megapixels)
        height, width = picture_size(image_path, self._max_megapixels)
        if label_HW.shape == (width, height):
            height, width = shown_size(image_path, self._max_megapixels)
        if label_HW.shape != (height, width):
            aspect = label_HW.shape[1] * height / (label_HW.shape[0] * width)
            sizes = f"{path}: the label is {label_HW.shape[1]}x{label_HW.shape[0]}, its image {width}x{height}"
            if abs(aspect - 1) > SAME_ASPECT:
                raise DataError(f"{sizes} (width x height)")
            if None in self.sizes and not self._sizes_may_differ:
                raise DataError(f"{sizes} (width x height): give both an input_size and a label_size")
        return resize_label(label_HW, self.sizes[1])

    def label_size(self, image_id: str) -> tuple[int, int]:
        """(height, width) of `label(image_id)`, from the file's header at most. Raises DataError if it is damaged."""
        return self.sizes[1] or picture_size(self.files[image_id][1], self._max_megapixels)
