"""Cityscapes, and GTAV and SYNTHIA as its sources, in the layouts and encodings in which they are published.

    Cityscapes  <root>/leftImg8bit/<split>/<city>/<name>_leftImg8bit.png
                <root>/gtFine/<split>/<city>/<name>_gtFine_labelIds.png     8-bit grey, label ids
    GTAV        <root>/images/<name>.png
                <root>/labels/<name>.png        palette; the index, not the colour, is Cityscapes' label id
    SYNTHIA     <root>/RGB/<name>.png
                <root>/GT/LABELS/<name>.png     16 bits a channel, three channels: class id, instance id, nothing

Source: Cordts et al., "The Cityscapes Dataset" (ids, colours); Richter et al., "Playing for Data"; Ros et al., "The
SYNTHIA Dataset"; paper.md, "Data facts that bite" (train ids).
"""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import DatasetSection, Size
from ripu_ray.config.fields import FilePath, LocalPath
from ripu_ray.config.registry import DATASETS
from ripu_ray.data.caching import cached
from ripu_ray.data.images import ImageSet
from ripu_ray.data.labels import ClassTable
from ripu_ray.data.listing import keep_listed, list_files, match_pairs
from ripu_ray.data.loading import Domains, NoImages
from ripu_ray.data.pairs import PairedImages, open_folders, train_id_table
from ripu_ray.data.pictures import PNG_COLOUR, PNG_GREY, PNG_PALETTE, opened, png_header
from ripu_ray.errors import DataError
from ripu_ray.storage.remote import check_readable

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
_NUM_GTAV_IDS = 35
"""0 to 34; the last is the license plate."""
_SYNTHIA_IDS = (3, 4, 2, 21, 5, 7, 15, 9, 6, 1, 10, 17, 8, 19, 12, 11)
"""In the files of SYNTHIA, in the order of the train ids."""
_NUM_SYNTHIA_IDS = 23
"""0 (void) to 22 (lane marking)."""
_HIGH_BYTE, _LOW_BYTE = "RGB;16B", "RGB;16L"
"""Pillow's names for 16-bit colour of which it keeps one byte: the first of each two, or the second."""


def _table(names: tuple[str, ...]) -> ClassTable:
    return ClassTable(names, tuple(_CLASSES[name][1] for name in names))


CLASSES_19 = _table(tuple(_CLASSES))
CLASSES_16 = _table(tuple(name for name in _CLASSES if name not in _NOT_IN_SYNTHIA))
NOT_AMONG_13 = ("wall", "fence", "pole")
"""Of the 16: left out of the 13-class figure that the literature gives for SYNTHIA."""


@DATASETS.register("cityscapes")
class CityscapesData(DatasetSection):
    """GTAV or SYNTHIA as the source and Cityscapes as the target, each in the folders it is published in.

    With GTAV there are 19 classes, with SYNTHIA 16. Sizes are (height, width), as in `FolderData`.
    """

    source_prefix: ClassVar[str] = "data.source_"

    dataset: Literal["cityscapes"] = "cityscapes"
    source: Literal["gtav", "synthia"]
    source_root: FilePath | None = None
    """Holds `images` and `labels` (GTAV), or `RGB` and `GT/LABELS` (SYNTHIA, the folder RAND_CITYSCAPES).
    May be left out where the source is not opened."""
    target_root: FilePath
    """Holds `leftImg8bit` and `gtFine`."""
    source_list: FilePath | None = None
    """Text file, one image file name a line: the images to use. None: all."""
    train_list: FilePath | None = None
    validation_list: FilePath | None = None
    source_input_size: Size | None = None
    source_label_size: Size | None = None
    input_size: Size | None = None
    label_size: Size | None = None
    cache: LocalPath | None = None
    """See `FolderData`."""

    def open(self, with_source: bool = True) -> Domains:
        """See `DatasetSection`."""
        classes = CLASSES_19 if self.source == "gtav" else CLASSES_16
        check_readable(self.target_root)
        source: ImageSet = NoImages()
        if with_source:
            if self.source_root is None:
                raise DataError(f"data.source_root: expected the folder of {self.source}")
            check_readable(self.source_root)
            open_source = open_gtav if self.source == "gtav" else open_synthia
            sizes = self.source_input_size, self.source_label_size
            source = open_source(self.source_root, self.source_list, *sizes)
            source = cached(source, self.cache, self.source, classes, *sizes)

        def target(split: str, names: Path | None) -> ImageSet:
            images = open_cityscapes(self.target_root, split, classes, names, self.input_size, self.label_size)
            return cached(images, self.cache, "cityscapes", classes, self.input_size, self.label_size)

        return Domains(classes, source, target("train", self.train_list), target("val", self.validation_list))


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
    return PairedImages(pairs, _read_grey, train_id_table(label_ids(classes), void), input_size, label_size)


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


def _read_grey(path: Path) -> NDArray[np.uint8]:
    if png_header(path) != (8, PNG_GREY):
        raise DataError(f"{path}: expected Cityscapes' labelIds, a PNG of one 8-bit channel")
    with opened(path) as picture:
        return np.array(picture)


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
        pairs, _read_palette, train_id_table(label_ids(CLASSES_19), range(_NUM_GTAV_IDS)), input_size, label_size
    )


def _read_palette(path: Path) -> NDArray[np.uint8]:
    if png_header(path)[1] != PNG_PALETTE:
        raise DataError(f"{path}: expected a PNG with a palette, as GTAV's labels are published")
    with opened(path) as picture:
        return np.array(picture)


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
    train_ids = {class_id: train_id for train_id, class_id in enumerate(_SYNTHIA_IDS)}
    table_256 = train_id_table(train_ids, range(_NUM_SYNTHIA_IDS))
    return PairedImages(pairs, _read_16_bits, table_256, input_size, label_size)


def _read_16_bits(path: Path) -> NDArray[np.uint8]:
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
