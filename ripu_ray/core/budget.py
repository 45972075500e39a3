"""What may be bought of an image in a round, and what was.

Shapes: H x W label pixels, n centres.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import Budget, Mode
from ripu_ray.core.geometry import cover, purchase_radius
from ripu_ray.core.metrics import IGNORE_LABEL

_REFERENCE_LABEL_PIXELS = 2048 * 1024
_REFERENCE_INPUT_PIXELS = 1280 * 640


@dataclass(frozen=True)
class Spent:
    """What purchases came to; instances add.

    Attributes:
        pixels: bought pixels inside the image, void ones included: what the budget is charged.
        void_pixels: of these, those that ground truth leaves unlabelled.
        clipped_pixels: parts of bought windows outside the image; they cost nothing.
        clicks: windows, each one answer of the annotator.
    """

    pixels: int = 0
    void_pixels: int = 0
    clipped_pixels: int = 0
    clicks: int = 0

    def __add__(self, other: Self) -> "Spent":
        return Spent(
            self.pixels + other.pixels,
            self.void_pixels + other.void_pixels,
            self.clipped_pixels + other.clipped_pixels,
            self.clicks + other.clicks,
        )


def num_regions(
    budget: Budget,
    size: tuple[int, int],
    *,
    mode: Mode,
    radius: int,
    rounds: int,
    round_index: int,
    spent_pixels: int,
    parity: bool,
) -> int:
    """How many windows of one image may be bought in this round.

    The exact default entitles the image to (round_index + 1) / rounds of its budget; what earlier rounds left over
    is still there, and no sequence of purchases ever exceeds the budget.

    Args:
        budget: of the image over all rounds.
        size: (H, W) of the image's labels.
        mode: what a purchase is: a window of `radius`, or a pixel.
        radius: of the window, in label pixels.
        rounds: over which the budget is spread, >= 1.
        round_index: this round, from 0; not used with `parity`.
        spent_pixels: bought so far, inside the image; not used with `parity`.
        parity: the reference's rule, which rounds up in each round and rescales pixels by its own image sizes.

    Returns:
        A number of windows, >= 0.

    Source: the annotation budget of RIPU; n of tests/golden for `parity`.
    """
    num_pixels = size[0] * size[1]
    area = (2 * purchase_radius(mode, radius) + 1) ** 2
    if not parity:
        entitled = budget.pixels(num_pixels) * (round_index + 1) / rounds
        return max(math.floor((entitled - spent_pixels) / area), 0)
    # In floats and in this order, as the reference computes it: ceil hangs on the last bit.
    if budget.unit == "percent":
        return math.ceil(num_pixels * (float(Fraction(budget.value) / 100) / rounds) / area)
    per_round = float(budget.value) / rounds
    if mode == "pixel":
        return math.ceil(per_round / _REFERENCE_INPUT_PIXELS * _REFERENCE_LABEL_PIXELS)
    return math.ceil(per_round / area)


def annotate(label_HW: NDArray[np.uint8], centres: NDArray[np.int32], radius: int) -> NDArray[np.uint8]:
    """The annotation: ground truth inside the windows around the centres, IGNORE_LABEL elsewhere.

    Args:
        label_HW: (H, W) uint8 ground truth.
        centres: (n, 2) rows and columns.
        radius: of the purchase: 0 is a pixel.

    Returns:
        (H, W) uint8.
    """
    return np.where(cover(label_HW.shape, centres, radius), label_HW, np.uint8(IGNORE_LABEL))


def region_pixels(
    label_HW: NDArray[np.uint8], centres: NDArray[np.integer], radius: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """What each window comes to, so that a ledger can say it of every purchase.

    Args:
        label_HW: (H, W) uint8 ground truth, IGNORE_LABEL where void.
        centres: (n, 2) rows and columns.
        radius: of the purchase: 0 is a pixel.

    Returns:
        (n,) uint32 pixels inside the image, and (n,) uint32 void ones among them.
    """
    height, width = label_HW.shape
    void_sums = np.zeros((height + 1, width + 1), np.uint32)
    void_sums[1:, 1:] = (label_HW == IGNORE_LABEL).cumsum(0, dtype=np.uint32).cumsum(1, dtype=np.uint32)
    row, col = centres.astype(np.int64).T
    top, bottom = np.maximum(row - radius, 0), np.minimum(row + radius + 1, height)
    left, right = np.maximum(col - radius, 0), np.minimum(col + radius + 1, width)
    void = void_sums[bottom, right] - void_sums[top, right] - void_sums[bottom, left] + void_sums[top, left]
    return ((bottom - top) * (right - left)).astype(np.uint32), void
