"""Folders of photographs with labels, in the arrangements that people have, written by the tests."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COLOURS = np.array([(128, 64, 128), (70, 130, 180), (0, 0, 0)], np.uint8)


def photograph(height: int, width: int, number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A noisy picture (H, W, 3) and its class ids (H, W), 0 to 2."""
    ids = np.repeat((np.arange(height) * 2 // height).astype(np.uint8)[:, None], width, axis=1)
    left = 5 * number % (width // 2)
    ids[height // 4 : height // 2, left : left + width // 4] = 2
    noise = np.random.default_rng(number).integers(-30, 30, (height, width, 3))
    return (COLOURS[ids] + noise).clip(0, 255).astype(np.uint8), ids


def save_label(ids: NDArray[np.uint8], path: Path, kind: str, number: int = 0) -> None:
    """Write ids in one of the ways that labels are stored."""
    if kind == "palette":
        picture = Image.fromarray(ids).convert("P")
        picture.putdata(ids.ravel().tolist())
        picture.putpalette(COLOURS.ravel().tolist())
    elif kind == "changing palette":
        picture = Image.fromarray(COLOURS[ids]).quantize(3 + number % 2)
    elif kind == "binary":
        picture = Image.fromarray(np.where(ids == 2, 255, 0).astype(np.uint8))
    elif kind == "other ids":
        picture = Image.fromarray(np.array([7, 11, 23], np.uint8)[ids])
    else:
        picture = Image.fromarray(COLOURS[ids] if kind == "colours" else ids)
    picture.save(path)


def write_photographs(
    root: Path,
    image: str = "images/{number}.jpg",
    label: str = "labels/{number}.png",
    kind: str = "colours",
    places: tuple[tuple[str, str], ...] = (("", ""),),
    size: tuple[int, int] = (30, 40),
    count: int = 5,
) -> None:
    """Write `count` pictures for each pair of domain and split, at paths in which these and `number` are replaced."""
    for domain, split in places:
        for number in range(count):
            pixels, ids = photograph(*size, number)
            names = {"domain": domain, "split": split, "number": f"{number:03d}"}
            paths = [root / pattern.format(**names) for pattern in (image, label)]
            for path in paths:
                path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(paths[0])
            save_label(ids, paths[1], kind, number)
