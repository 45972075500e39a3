"""Cityscapes as it is published, and its classes: 19, or the 16 that SYNTHIA has too.

    <root>/leftImg8bit/<split>/<city>/<name>_leftImg8bit.png
    <root>/gtFine/<split>/<city>/<name>_gtFine_labelIds.png     8-bit grey, label ids

Source: Cordts et al., "The Cityscapes Dataset" (ids, colours); paper.md, "Data facts that bite" (train ids).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ripu_ray.data.labels import ClassTable
from ripu_ray.data.listing import keep_listed, list_files, match_pairs
from ripu_ray.data.pairs import PairedImages, train_id_table
from ripu_ray.data.pictures import PNG_GREY, opened, png_header
from ripu_ray.errors import DataError

_CLASSES = {
    "road": (7, (128, 64, 128)),
    "sidewalk": (8, (244, 35, 232)),
    "building": (11, (70, 70, 70)),
    "wall": (12, (102, 102, 156)),
    "fence": (13, (190, 153, 153)),
    "pole": (17, (153, 153, 153)),
    "traffic light": (19, (250, 170, 30)),
    "traffic sign": (20, (220, 220, 0)),
    "vegetation": (21, (107, 142, 35)),
    "terrain": (22, (152, 251, 152)),
    "sky": (23, (70, 130, 180)),
    "person": (24, (220, 20, 60)),
    "rider": (25, (255, 0, 0)),
    "car": (26, (0, 0, 142)),
    "truck": (27, (0, 0, 70)),
    "bus": (28, (0, 60, 100)),
    "train": (31, (0, 80, 100)),
    "motorcycle": (32, (0, 0, 230)),
    "bicycle": (33, (119, 11, 32)),
}
"""Name -> label id and colour, in the order of the train ids."""
_NOT_IN_SYNTHIA = ("terrain", "truck", "train")
_LICENSE_PLATE = 255
"""Id -1 in an 8-bit file."""
_IMAGE_ENDING, _LABEL_ENDING = "_leftImg8bit", "_gtFine_labelIds"


def _table(names: tuple[str, ...]) -> ClassTable:
    return ClassTable(names, tuple(_CLASSES[name][1] for name in names))


CLASSES_19 = _table(tuple(_CLASSES))
CLASSES_16 = _table(tuple(name for name in _CLASSES if name not in _NOT_IN_SYNTHIA))
NOT_AMONG_13 = ("wall", "fence", "pole")
"""Of the 16: left out of the 13-class figure that the literature gives for SYNTHIA."""


def label_ids(classes: ClassTable) -> dict[int, int]:
    """Cityscapes' label id -> train id, for the classes of `CLASSES_19` or `CLASSES_16`."""
    return {_CLASSES[name][0]: train_id for train_id, name in enumerate(classes.names)}


def open_cityscapes(
    root: Path,
    split: str,
    classes: ClassTable,
    names: Path | None,
    input_size: tuple[int, int] | None,
    label_size: tuple[int, int] | None,
) -> PairedImages:
    """One split of Cityscapes.

    Args:
        root: holds `leftImg8bit` and `gtFine`.
        split: "train" or "val".
        classes: `CLASSES_19` or `CLASSES_16`; what else there is becomes void.
        names: list of the images to use; None: all.
        input_size, label_size: see `PairedImages`.

    Returns:
        The images, `<split>/<city>/<name>`, sorted.

    Raises:
        DataError: a folder or a file of a pair is missing, or the list is wrong.
    """
    images, labels = (
        _list_cities(root / folder / split, ending)
        for folder, ending in (("leftImg8bit", _IMAGE_ENDING), ("gtFine", _LABEL_ENDING))
    )
    if names is not None:
        images = keep_listed(images, names)
        labels = {name: path for name, path in labels.items() if name in images}
    pairs = {f"{split}/{name}": pair for name, pair in match_pairs(images, labels).items()}
    void = (*range(34), _LICENSE_PLATE)
    return PairedImages(pairs, _read_ids, train_id_table(label_ids(classes), void), input_size, label_size)


def _list_cities(folder: Path, ending: str) -> dict[str, Path]:
    """`<city>/<name>` -> file."""
    if not folder.is_dir():
        raise DataError(f"{folder}: is missing; expected Cityscapes' {folder.parent.name}/{folder.name}/<city>/*.png")
    files = {
        f"{city.name}/{name}": path
        for city in sorted(folder.iterdir())
        if city.is_dir() and not city.name.startswith(".")
        for name, path in list_files(city, (".png",), ending).items()
    }
    if not files:
        raise DataError(f"{folder}: holds no <city>/*{ending}.png")
    return files


def _read_ids(path: Path) -> NDArray[np.uint8]:
    if png_header(path) != (8, PNG_GREY):
        raise DataError(f"{path}: expected Cityscapes' labelIds, a PNG of one 8-bit channel")
    with opened(path) as picture:
        return np.array(picture)
