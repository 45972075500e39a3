"""Data sets that come as pairs of files, their labels in ids of their own."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.listing import keep_listed, list_files, match_pairs
from ripu_ray.data.pictures import picture_size, read_image, resize_label
from ripu_ray.errors import DataError

_UNKNOWN = -1


class PairedImages:
    """The images of one split of a published data set, with their labels as train ids; an `ImageSet`.

    Args:
        pairs: image id -> image and label file.
        read_ids: label file -> (H, W) uint8 in the data set's own ids.
        train_ids_256: of `train_id_table`.
        input_size: (height, width) of `image`, resized bilinearly; None: as stored.
        label_size: (height, width) of `label`, resized to nearest; None: as stored.
    """

    image_ids: tuple[str, ...]
    """In the order of `pairs`."""
    files: Mapping[str, tuple[Path, Path]]
    """`pairs`."""

    def __init__(
        self,
        pairs: Mapping[str, tuple[Path, Path]],
        read_ids: Callable[[Path], NDArray[np.uint8]],
        train_ids_256: NDArray[np.int16],
        input_size: tuple[int, int] | None,
        label_size: tuple[int, int] | None,
    ) -> None:
        self.files, self._read_ids, self._train_ids_256 = pairs, read_ids, train_ids_256
        self._input_size, self._label_size = input_size, label_size
        self.image_ids = tuple(pairs)

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 RGB. Raises DataError: the file is damaged or not 8-bit."""
        return read_image(self.files[image_id][0], self._input_size)

    def label(self, image_id: str) -> NDArray[np.uint8]:
        """The label map.

        Args:
            image_id: one of `image_ids`.

        Returns:
            (H, W) uint8 train ids, 255 = void.

        Raises:
            DataError: the file is damaged or in another encoding, holds an id that the data set does not have, or
                differs in size from its image while not both are resized.
        """
        image_path, path = self.files[image_id]
        ids_HW = self._read_ids(path)
        if self._input_size is None or self._label_size is None:
            height, width = picture_size(image_path)
            if ids_HW.shape != (height, width):
                sizes = f"{ids_HW.shape[1]}x{ids_HW.shape[0]}, its image {width}x{height}"
                raise DataError(
                    f"{path}: the label is {sizes} (width x height): give both an input_size and a label_size"
                )
        train_HW = self._train_ids_256[ids_HW]
        if (train_HW == _UNKNOWN).any():
            raise DataError(f"{path}: label id {ids_HW[train_HW == _UNKNOWN].min()} is none of this data set's")
        return resize_label(train_HW.astype(np.uint8), self._label_size)

    def label_size(self, image_id: str) -> tuple[int, int]:
        """(height, width) of `label(image_id)`, from the file's header at most. Raises DataError if it is damaged."""
        return self._label_size or picture_size(self.files[image_id][1])


def train_id_table(train_ids: Mapping[int, int], void: Iterable[int]) -> NDArray[np.int16]:
    """What each possible label id means.

    Args:
        train_ids: id in the files -> train id.
        void: ids that mean no class.

    Returns:
        (256,) int16: train ids, 255 for void, and below 0 what no file should hold.
    """
    table_256 = np.full(256, _UNKNOWN, np.int16)
    table_256[list(void)] = IGNORE_LABEL
    table_256[list(train_ids)] = list(train_ids.values())
    return table_256


def open_folders(
    prefix: str, images_folder: Path, labels_folder: Path, names: Path | None
) -> dict[str, tuple[Path, Path]]:
    """Pairs of .png files of one name in two folders.

    Args:
        prefix: of the image ids.
        images_folder, labels_folder: each is looked at without its subfolders.
        names: list of the images to use; None: all.

    Returns:
        `<prefix>/<stem>` -> image and label, sorted.

    Raises:
        DataError: a folder is missing or holds no image, a pair is not complete, or the list is wrong.
    """
    for folder, what in ((images_folder, "images"), (labels_folder, "labels")):
        if not folder.is_dir():
            raise DataError(f"{folder}: is missing; expected the {what} of {prefix}, *.png")
    images, labels = (list_files(folder, (".png",)) for folder in (images_folder, labels_folder))
    if not images:
        raise DataError(f"{images_folder}: holds no image (.png)")
    if names is not None:
        images = keep_listed(images, names)
        labels = {stem: path for stem, path in labels.items() if stem in images}
    return {f"{prefix}/{stem}": pair for stem, pair in match_pairs(images, labels).items()}
