"""GTAV ("Playing for Data") as it is published.

    <root>/images/<name>.png
    <root>/labels/<name>.png     palette; the index, not the colour, is Cityscapes' label id

Source: Richter et al., "Playing for Data"; paper.md, "Data facts that bite".
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ripu_ray.data.cityscapes import CLASSES_19, label_ids
from ripu_ray.data.pairs import PairedImages, open_folders, train_id_table
from ripu_ray.data.pictures import PNG_PALETTE, opened, png_header
from ripu_ray.errors import DataError

_NUM_IDS = 35
"""0 to 34; the last is the license plate."""


def open_gtav(
    root: Path, names: Path | None, input_size: tuple[int, int] | None, label_size: tuple[int, int] | None
) -> PairedImages:
    """GTAV's images, with the 19 classes of Cityscapes.

    Args:
        root: holds `images` and `labels`.
        names: list of the images to use; None: all.
        input_size, label_size: see `PairedImages`. Some images differ in size from their labels: with both sizes
            given each is resized to its own.

    Returns:
        The images, `gtav/<name>`, sorted.

    Raises:
        DataError: a folder or a file of a pair is missing, or the list is wrong.
    """
    pairs = open_folders("gtav", root / "images", root / "labels", names)
    return PairedImages(
        pairs, _read_ids, train_id_table(label_ids(CLASSES_19), range(_NUM_IDS)), input_size, label_size
    )


def _read_ids(path: Path) -> NDArray[np.uint8]:
    if png_header(path)[1] != PNG_PALETTE:
        raise DataError(f"{path}: expected a PNG with a palette, as GTAV's labels are published")
    with opened(path) as picture:
        return np.array(picture)
