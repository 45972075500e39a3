"""The squares around centres: labelled and excluded pixels of a purchase, with numpy only.

Shapes: H x W label pixels, n centres.
"""

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import Mode


def suppression_radius(mode: Mode, radius: int) -> int:
    """Radius around a bought centre in which no other centre may be chosen, so that bought windows do not overlap."""
    return 2 * radius if mode == "region" else radius


def purchase_radius(mode: Mode, radius: int) -> int:
    """Radius around a bought centre in which the label is bought; 0 is the pixel alone."""
    return radius if mode == "region" else 0


def purchase_area(mode: Mode, radius: int) -> int:
    """Number of pixels of a purchase that the image border does not cut."""
    return (2 * purchase_radius(mode, radius) + 1) ** 2


def tiling(size: tuple[int, int], radius: int) -> NDArray[np.int32]:
    """Centres of adjacent squares that cover an image; opposite borders cut them equally.

    Args:
        size: (H, W).
        radius: a square is 2 * radius + 1 pixels a side.

    Returns:
        (n, 2) rows and columns inside the image; the squares do not overlap.
    """
    side = 2 * radius + 1
    # The excess of the squares, at most 2 * radius, is split between both borders: the outermost centres are inside.
    rows, cols = (np.arange(radius - (-length % side) // 2, length, side) for length in size)
    return np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.int32)


def window_edges(
    size: tuple[int, ...], centres: NDArray[np.integer], radius: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The edges of each square, cut at the border of an image of `size` (H, W).

    Returns:
        (n,) each: top, bottom (exclusive), left, right (exclusive).
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
