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
