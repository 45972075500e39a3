"""Masks in the encodings of annotation tools, through pycocotools (extra `annotation`).

pycocotools is written in C, and does not check its input: a run-length code with a wrong sum, or a polygon of huge
coordinates, overwrites memory. So numbers are checked here first (docs/decisions/0007-annotation-formats.md).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ripu_ray.annotation.catalogue import Drawing
from ripu_ray.errors import ConfigError

Size = tuple[int, int]


def polygon_drawing(label: int, rings: Sequence[Sequence[float]], size: Size) -> Drawing:
    """The pixels of an image inside polygons.

    Args:
        label: of the drawing.
        rings: x0, y0, x1, y1, ... of each, in pixels from the top left corner of the image; the masks are joined.
        size: (H, W) of the image.

    Raises:
        ValueError: not a polygon, or far outside the image.

    Source: pycocotools; a rectangle of whole numbers gives exactly its pixels.
    """
    height, width = size
    for ring in rings:
        if len(ring) < 6 or len(ring) % 2 or len(ring) > 10**6:
            raise ValueError(f"a polygon of {len(ring)} numbers: expected x and y of 3 corners or more")
        for limit, values in ((width, ring[::2]), (height, ring[1::2])):
            if not all(is_number(value) and -limit <= value <= 2 * limit for value in values):
                raise ValueError(f"a corner that is not a number, or far outside the image of {_text(size)}")
        # pycocotools takes 80 bytes and more for each pixel of an outline.
        corners_N2 = np.array(ring, np.float64).reshape(-1, 2)
        length = np.abs(corners_N2 - np.roll(corners_N2, 1, axis=0)).max(axis=1).sum()
        if length > 2 * height * width + 6 * (height + width):
            raise ValueError(f"a polygon whose outline has {length:.0f} pixels, in an image of {_text(size)}")
    coco = _pycocotools()
    codes = coco.merge(coco.frPyObjects([[float(value) for value in ring] for ring in rings], height, width))
    return _cropped(label, coco.decode(codes).astype(np.bool_))


def rle_drawing(label: int, code: object, size: Size) -> Drawing:
    """The mask of a run-length code of COCO, `{"size": [H, W], "counts": ...}`, compressed or not.

    Raises:
        ValueError: of another size, or not a code of this size.
    """
    if not isinstance(code, dict) or code.get("size") != list(size):
        found = code.get("size") if isinstance(code, dict) else code
        raise ValueError(f"a mask of size {found!r}: expected {list(size)} (height, width)")
    counts = code.get("counts")
    counts = _parse_counts(counts, size) if isinstance(counts, str) else counts
    check_counts(counts, size[0] * size[1])
    coco = _pycocotools()
    codes = coco.frPyObjects({"size": list(size), "counts": counts}, *size)
    return _cropped(label, coco.decode(codes).astype(np.bool_))


def rle_code(drawing: Drawing, size: Size) -> dict[str, Any]:
    """The compressed code of COCO of a drawing in an image of (H, W) `size`."""
    code = _pycocotools().encode(np.asfortranarray(whole(drawing, size), np.uint8))
    return {"size": list(size), "counts": code["counts"].decode("ascii")}


def whole(drawing: Drawing, size: Size) -> NDArray[np.bool_]:
    """(H, W) bool, the mask of a drawing over the whole image."""
    mask_HW = np.zeros(size, np.bool_)
    (top, left), (height, width) = drawing.corner, drawing.mask_hw.shape
    mask_HW[top : top + height, left : left + width] = drawing.mask_hw
    return mask_HW


def box_drawing(label: int, box: Sequence[float], size: Size) -> Drawing:
    """A rectangle (left, top, right, bottom) in pixels, drawn as the polygon of its corners.

    Raises:
        ValueError: not a rectangle, far outside the image, or without a pixel in it.
    """
    left, top, right, bottom = box
    drawing = polygon_drawing(label, [[left, top, right, top, right, bottom, left, bottom]], size)
    if not (left < right and top < bottom and drawing.mask_hw.size):
        raise ValueError(f"a rectangle without a pixel inside the image of {_text(size)}")
    return drawing


def click_drawing(label: int, x: float, y: float, size: Size) -> Drawing:
    """One pixel that stands for its question; a point on the border is in the last one. Raises ValueError: outside."""
    if not (is_number(x) and is_number(y) and 0 <= x <= size[1] and 0 <= y <= size[0]):
        raise ValueError(f"a point outside the image of {_text(size)}")
    corner = min(math.floor(y), size[0] - 1), min(math.floor(x), size[1] - 1)
    return Drawing(label, corner, np.ones((1, 1), np.bool_), is_click=True)


def check_counts(counts: object, total: int) -> None:
    """Check that run lengths are whole numbers with this sum. Raises ValueError."""
    if not isinstance(counts, list) or not all(type(count) is int and 0 <= count <= total for count in counts):
        raise ValueError("a run-length code with other values than whole numbers of pixels")
    if len(counts) > 2 * total + 2:
        raise ValueError(f"a run-length code of {len(counts)} runs for {total} pixels")
    if sum(counts) != total:
        raise ValueError(f"a run-length code of {sum(counts)} pixels: expected {total}")


def is_rectangle(drawing: Drawing) -> bool:
    """Whether a drawing fills its box."""
    return bool(drawing.mask_hw.all())


def _parse_counts(text: str, size: Size) -> list[int]:
    """Run lengths of a compressed code, to check them. Source: rleFrString of maskApi.c."""
    total = size[0] * size[1]
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 30:
            raise ValueError("a run-length code with characters that none has")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        value -= (1 << shift) if bits & 16 else 0
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        if len(counts) > 2 * total + 2:
            raise ValueError(f"a run-length code of more than {2 * total + 2} runs for {total} pixels")
        if not 0 <= counts[-1] <= total:
            raise ValueError("a run-length code with a negative or too large number of pixels")
        value = shift = 0
    if shift:
        raise ValueError("a run-length code that is cut off")
    return counts


def _cropped(label: int, mask_HW: NDArray[np.bool_]) -> Drawing:
    rows, cols = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    if not rows.size:
        return Drawing(label, (0, 0), np.zeros((0, 0), np.bool_))
    top, left = int(rows[0]), int(cols[0])
    return Drawing(label, (top, left), mask_HW[top : rows[-1] + 1, left : cols[-1] + 1])


def is_number(value: object) -> bool:
    """Whether a value of a file is a number of a magnitude that pixels have; NaN is not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]} (height x width)"


def _pycocotools() -> Any:
    try:
        from pycocotools import mask
    except ImportError:
        raise ConfigError("this format needs pycocotools: pip install 'ripu-ray[annotation]'") from None
    return mask
