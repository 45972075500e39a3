"""ACDC, BDD100K, Mapillary Vistas, IDD, UAVid and LoveDA in small, in the layouts and encodings of the originals."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.data import published
from tests.data.published import HEIGHT, WIDTH, draw_ids

Write = Callable[[Path, NDArray[np.uint8]], None]
TRAIN_IDS = {**{train_id: train_id for train_id in range(19)}, 255: 255}


def write_grey(path: Path, ids: NDArray[np.uint8]) -> None:
    """A PNG of one 8-bit channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ids).save(path)


def _in_colours(colours: dict[int, tuple[int, int, int]]) -> Write:
    table = np.zeros((256, 3), np.uint8)
    table[list(colours)] = list(colours.values())

    def write(path: Path, ids: NDArray[np.uint8]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(table[ids]).save(path)

    return write


@dataclass(frozen=True)
class Original:
    """How a data set is published.

    Attributes:
        train, validation: image -> label, below the root.
        ids: id in the files -> class id or 255; for colours, of the colour's number.
        write: a label file.
        stem: the id of the first image to train on.
    """

    train: dict[str, str]
    validation: dict[str, str]
    ids: dict[int, int]
    write: Write
    stem: str


def _pair(text: str, image: str, label: str) -> tuple[str, str]:
    return image.format(text), label.format(text)


UAVID_COLOURS = (
    *((0, 0, 0), (128, 0, 0), (128, 64, 128), (192, 0, 192)),
    *((0, 128, 0), (128, 128, 0), (64, 64, 0), (64, 0, 128)),
)
MAPILLARY = {
    13: 0,
    24: 0,
    41: 0,
    2: 1,
    15: 1,
    17: 2,
    6: 3,
    3: 4,
    45: 5,
    47: 5,
    48: 6,
    50: 7,
    30: 8,
    29: 9,
    27: 10,
    19: 11,
    20: 12,
    21: 12,
    22: 12,
    55: 13,
    61: 14,
    54: 15,
    58: 16,
    57: 17,
    52: 18,
}
ORIGINALS = {
    "acdc": Original(
        {
            f"rgb_anon/{condition}/train/GOPR0475/GOPR0475_frame_00004{n}_rgb_anon.png": (
                f"gt/{condition}/train/GOPR0475/GOPR0475_frame_00004{n}_gt_labelTrainIds.png"
            )
            for condition in ("fog", "night", "rain", "snow")
            for n in (1, 2)
        },
        {
            f"rgb_anon/{condition}/val/GP020475/GP020475_frame_000011_rgb_anon.png": (
                f"gt/{condition}/val/GP020475/GP020475_frame_000011_gt_labelTrainIds.png"
            )
            for condition in ("fog", "night", "rain", "snow")
        },
        TRAIN_IDS,
        write_grey,
        "fog/train/GOPR0475/GOPR0475_frame_000041",
    ),
    "bdd100k": Original(
        dict(
            _pair(n, "images/10k/train/{}.jpg", "labels/sem_seg/masks/train/{}.png") for n in ("0004a4c0", "00054602")
        ),
        dict([_pair("7d2f7975", "images/10k/val/{}.jpg", "labels/sem_seg/masks/val/{}.png")]),
        TRAIN_IDS,
        write_grey,
        "train/0004a4c0",
    ),
    "mapillary": Original(
        dict(_pair(n, "training/images/{}.jpg", "training/v1.2/labels/{}.png") for n in ("-0C1J9CvgFP4", "zzz_A")),
        dict([_pair("M2kh294N9c7", "validation/images/{}.jpg", "validation/v1.2/labels/{}.png")]),
        {label_id: MAPILLARY.get(label_id, 255) for label_id in range(66)},
        published.write_palette_png,
        "training/-0C1J9CvgFP4",
    ),
    "idd": Original(
        {
            "leftImg8bit/train/0/005506_leftImg8bit.png": "gtFine/train/0/005506_gtFine_labelcsTrainIds.png",
            "leftImg8bit/train/201/frame0029_leftImg8bit.jpg": "gtFine/train/201/frame0029_gtFine_labelcsTrainIds.png",
        },
        {"leftImg8bit/val/119/903127_leftImg8bit.png": "gtFine/val/119/903127_gtFine_labelcsTrainIds.png"},
        TRAIN_IDS,
        write_grey,
        "train/0/005506",
    ),
    "uavid": Original(
        dict(_pair(f"seq{n}", "uavid_train/{}/Images/000000.png", "uavid_train/{}/Labels/000000.png") for n in (1, 2)),
        dict([_pair("seq16", "uavid_val/{}/Images/000000.png", "uavid_val/{}/Labels/000000.png")]),
        {class_id: class_id for class_id in range(8)},
        _in_colours(dict(enumerate(UAVID_COLOURS))),
        "train/seq1/000000",
    ),
    "loveda": Original(
        {
            f"Train/{place[0]}/images_png/{place[1]}.png": f"Train/{place[0]}/masks_png/{place[1]}.png"
            for place in (("Rural", 0), ("Rural", 1), ("Urban", 1366), ("Urban", 1367))
        },
        {
            f"Val/{place[0]}/images_png/{place[1]}.png": f"Val/{place[0]}/masks_png/{place[1]}.png"
            for place in (("Rural", 2522), ("Urban", 3514))
        },
        {0: 255, **{label_id: label_id - 1 for label_id in range(1, 8)}},
        write_grey,
        "Train/Rural/0",
    ),
}


def write_original(root: Path, name: str) -> dict[str, NDArray[np.uint8]]:
    """The data set in `root`; returns the ids of each label by the path of its image."""
    original = ORIGINALS[name]
    written = {}
    for number, (image, label) in enumerate((original.train | original.validation).items()):
        ids = draw_ids(tuple(original.ids), number)
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT), (number, 0, 0)).save(root / image)
        (root / label).parent.mkdir(parents=True, exist_ok=True)
        original.write(root / label, ids)
        written[image] = ids
    return written
