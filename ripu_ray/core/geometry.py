"""The squares around centres: what a purchase labels, and what it excludes. numpy alone.

Shapes: H x W label pixels, n centres.
"""

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import Mode


def suppression_radius(mode: Mode, radius: int) -> int:
    """Around a bought centre, within this many pixels, no other may be chosen: bought windows never overlap."""
    return 2 * radius if mode == "region" else radius


def purchase_radius(mode: Mode, radius: int) -> int:
    """Around a bought centre, within this many pixels, the label is bought: 0 is the pixel alone."""
    return radius if mode == "region" else 0


def purchase_area(mode: Mode, radius: int) -> int:
    """Pixels of a purchase that lies inside the image."""
    return (2 * purchase_radius(mode, radius) + 1) ** 2


def tiling(size: tuple[int, int], radius: int) -> NDArray[np.int32]:
    """Centres of squares side by side that cover an image, cut alike at opposite borders.

    Args:
        size: (H, W).
        radius: a square is 2 * radius + 1 pixels a side.

    Returns:
        (n, 2) rows and columns inside the image; the squares do not overlap.
    """
    side = 2 * radius + 1
    # What the squares have too much, at most 2 * radius, is shared by both ends: so the outermost centres lie inside.
    rows, cols = (np.arange(radius - (-length % side) // 2, length, side) for length in size)
    return np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.int32)


def window_edges(
    size: tuple[int, ...], centres: NDArray[np.integer], radius: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Where each square lies inside an image of `size` (H, W).

    Returns:
        (n,) each: the first row, the row behind the last, the first column, the column behind the last.
    """
    row, col = centres.astype(np.int64).T
    top, bottom = np.maximum(row - radius, 0), np.minimum(row + radius + 1, size[0])
    left, right = np.maximum(col - radius, 0), np.minimum(col + radius + 1, size[1])
    return top, bottom, left, right


def cover(size: tuple[int, int], centres: NDArray[np.int32], radius: int) -> NDArray[np.bool_]:
    """The union of the squares around the centres.

    Args:
        size: (H, W).
        centres: (n, 2) rows and columns inside the image.
        radius: a square is 2 * radius + 1 pixels a side, cut at the image border.

    Returns:
        (H, W) bool.
    """
    covered_HW = np.zeros(size, dtype=np.bool_)
    for row, col in centres.tolist():
        covered_HW[max(row - radius, 0) : row + radius + 1, max(col - radius, 0) : col + radius + 1] = True
    return covered_HW
