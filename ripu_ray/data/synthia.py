"""SYNTHIA-RAND-CITYSCAPES as it is published.

    <root>/RGB/<name>.png
    <root>/GT/LABELS/<name>.png     16 bits a channel, three channels: class id, instance id, nothing

Source: Ros et al., "The SYNTHIA Dataset"; paper.md, "Data facts that bite".
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ripu_ray.data.pairs import PairedImages, open_folders, train_id_table
from ripu_ray.data.pictures import PNG_COLOUR, opened, png_header
from ripu_ray.errors import DataError

_CLASS_IDS = (3, 4, 2, 21, 5, 7, 15, 9, 6, 1, 10, 17, 8, 19, 12, 11)
"""In the files, in the order of the train ids."""
_NUM_IDS = 23
"""0 (void) to 22 (lane marking)."""
_HIGH_BYTE, _LOW_BYTE = "RGB;16B", "RGB;16L"
"""Pillow's names for 16-bit colour of which it keeps one byte: the first of each two, or the second."""


def open_synthia(
    root: Path, names: Path | None, input_size: tuple[int, int] | None, label_size: tuple[int, int] | None
) -> PairedImages:
    """SYNTHIA's images, with the 16 classes that it shares with Cityscapes.

    Args:
        root: the folder RAND_CITYSCAPES; holds `RGB` and `GT/LABELS`.
        names: list of the images to use; None: all.
        input_size, label_size: see `PairedImages`.

    Returns:
        The images, `synthia/<name>`, sorted.

    Raises:
        DataError: a folder or a file of a pair is missing, or the list is wrong.
    """
    pairs = open_folders("synthia", root / "RGB", root / "GT" / "LABELS", names)
    train_ids = {class_id: train_id for train_id, class_id in enumerate(_CLASS_IDS)}
    return PairedImages(pairs, _read_ids, train_id_table(train_ids, range(_NUM_IDS)), input_size, label_size)


def _read_ids(path: Path) -> NDArray[np.uint8]:
    if png_header(path) != (16, PNG_COLOUR):
        raise DataError(f"{path}: expected a PNG of three 16-bit channels, as SYNTHIA's labels are published")
    high_HW, low_HW = (_read_channel_0(path, byte) for byte in (_HIGH_BYTE, _LOW_BYTE))
    if high_HW.any():
        first = 256 * int(high_HW.max()) + int(low_HW[high_HW == high_HW.max()].min())
        raise DataError(f"{path}: label id {first} is none of this data set's")
    return low_HW


def _read_channel_0(path: Path, byte: str) -> NDArray[np.uint8]:
    """One byte of each 16-bit value, which Pillow stores big end first.

    Pillow has no mode for three 16-bit channels and keeps the high byte, in which every id is 0. Its decoder is told
    to take the other byte instead; a decoder in Python takes up to a hundred times as long.
    """
    with opened(path) as picture:
        (tile,) = picture.tile  # type: ignore[attr-defined]
        picture.tile = [(*tile[:3], byte)]  # type: ignore[attr-defined]
        return np.array(picture)[..., 0]
