"""A small data set on disk, written file by file, in which tests introduce faults."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ripu_ray.data.folder import FolderData
from ripu_ray.data.labels import ClassTable

HEIGHT, WIDTH = 12, 20
NUM_CLASSES = 3
CLASSES = ClassTable(("class0", "class1", "class2"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))
STEMS = ("a", "b", "c")


def scene(index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Image (12, 20, 3) and label (12, 20) with the ids 0, 1, 2 and 255."""
    rng = np.random.default_rng(index)
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    label = rng.integers(0, NUM_CLASSES, (HEIGHT, WIDTH), dtype=np.uint8)
    label[0, :] = 255
    return image, label


def write_data_set(root: Path) -> FolderData:
    """`<root>/<domain>/<split>/{images,labels}` of PNG files for day/train, dusk/train and dusk/val."""
    classes = [{"id": i, "name": f"class{i}", "color": [i, i, i]} for i in range(NUM_CLASSES)]
    root.mkdir(parents=True, exist_ok=True)
    table = {"num_classes": NUM_CLASSES, "ignore_index": 255, "classes": classes}
    (root / "classes.json").write_text(json.dumps(table), encoding="utf-8")
    for place in ("day/train", "dusk/train", "dusk/val"):
        (root / place / "images").mkdir(parents=True)
        (root / place / "labels").mkdir()
        for index, stem in enumerate(STEMS):
            image, label = scene(index)
            Image.fromarray(image).save(root / place / "images" / f"{stem}.png")
            Image.fromarray(label).save(root / place / "labels" / f"{stem}.png")
    return FolderData(root=root, source="day", target="dusk")
