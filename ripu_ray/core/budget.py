"""What may be bought of an image in a round, and what was.

Shapes: H x W label pixels, n centres.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import Budget, CostConfig, Mode, StrategyConfig
from ripu_ray.core.geometry import cover, purchase_area, window_edges
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
        boundary_pixels: pairs of neighbouring pixels, both inside a window, whose classes differ; void has no class.
    """

    pixels: int = 0
    void_pixels: int = 0
    clipped_pixels: int = 0
    clicks: int = 0
    boundary_pixels: int = 0

    def __add__(self, other: Self) -> "Spent":
        return Spent(
            self.pixels + other.pixels,
            self.void_pixels + other.void_pixels,
            self.clipped_pixels + other.clipped_pixels,
            self.clicks + other.clicks,
            self.boundary_pixels + other.boundary_pixels,
        )


def annotation_seconds(cost: CostConfig, spent: Spent) -> float:
    """How long annotators work on what was bought, by a model that knows clicks and outlines."""
    return cost.seconds_per_click * spent.clicks + cost.seconds_per_boundary_pixel * spent.boundary_pixels


def allowed_pixels(
    budget: Budget, sizes: Iterable[tuple[int, int]], *, rounds: int, round_index: int, spent_pixels: int
) -> int:
    """How many pixels of these images may be bought in this round.

    They are entitled to (round_index + 1) / rounds of their budgets; what earlier rounds left over is still there, and
    no sequence of purchases ever exceeds the budget.

    Args:
        budget: of each image over all rounds.
        sizes: (H, W) of each image's labels.
        rounds: over which the budget is spread, >= 1.
        round_index: this round, from 0.
        spent_pixels: bought so far in all of them, inside the images.

    Returns:
        Pixels, >= 0.

    Source: the annotation budget of RIPU.
    """
    total = sum((budget.pixels(height * width) for height, width in sizes), start=Fraction(0))
    return max(math.floor(total * (round_index + 1) / rounds - spent_pixels), 0)


def reference_num_regions(budget: Budget, size: tuple[int, int], mode: Mode, radius: int, rounds: int) -> int:
    """How many windows of one image the reference buys in each round: it rounds up, and rescales pixels.

    Args:
        budget: of the image over all rounds.
        size: (H, W) of the image's labels.
        mode: what a purchase is: a window of `radius`, or a pixel.
        radius: of the window, in label pixels.
        rounds: over which the budget is spread, >= 1.

    Returns:
        A number of windows, >= 0.

    Source: the annotation budget of RIPU; n of tests/golden.
    """
    area = purchase_area(mode, radius)
    # In floats and in this order, as the reference computes it: ceil depends on the last bit.
    if budget.unit == "percent":
        return math.ceil(size[0] * size[1] * (float(Fraction(budget.value) / 100) / rounds) / area)
    per_round = float(budget.value) / rounds
    if mode == "pixel":
        return math.ceil(per_round / _REFERENCE_INPUT_PIXELS * _REFERENCE_LABEL_PIXELS)
    return math.ceil(per_round / area)


@dataclass(frozen=True)
class Allowance:
    """What may be bought: a number of pixels, or, under the reference's rule, a number of regions of any size."""

    pixels: int | None
    regions: int | None = None

    def num_regions(self, area: int) -> int:
        """How many regions of at most `area` pixels may be bought."""
        return self.regions if self.regions is not None else (self.pixels or 0) // max(area, 1)

    def is_exceeded(self, pixels: int, regions: int) -> bool:
        """Whether so much is more than may be bought."""
        return pixels > self.pixels if self.pixels is not None else regions > (self.regions or 0)


def allowance(
    strategy: StrategyConfig, sizes: Sequence[tuple[int, int]], round_index: int, spent_pixels: int = 0
) -> Allowance:
    """The rule of the budget, for scoring, for the checks before the start and for the check of the ledger.

    Args:
        strategy: budget, rounds, mode and window. With `parity` the allowance is for one image and one round;
            otherwise it is for all of `sizes`, and for all rounds up to this one.
        sizes: (H, W) of the labels: of one image, or of the whole pool where the pool shares its budget.
        round_index: 0-based.
        spent_pixels: bought so far in them.
    """
    if not strategy.parity:
        pixels = allowed_pixels(
            strategy.budget, sizes, rounds=strategy.rounds, round_index=round_index, spent_pixels=spent_pixels
        )
        return Allowance(pixels)
    (size,) = sizes
    return Allowance(
        None, reference_num_regions(strategy.budget, size, strategy.mode, strategy.radius, strategy.rounds)
    )


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
    top, bottom, left, right = window_edges(label_HW.shape, centres, radius)
    void = _sums(label_HW == IGNORE_LABEL, top, bottom, left, right)
    return ((bottom - top) * (right - left)).astype(np.uint32), void


def region_boundary(label_HW: NDArray[np.uint8], centres: NDArray[np.integer], radius: int) -> NDArray[np.uint32]:
    """Length of the outlines that an annotator has to draw inside each window.

    Args:
        label_HW: (H, W) uint8 ground truth, IGNORE_LABEL where void.
        centres: (n, 2) rows and columns.
        radius: of the purchase: 0 is a pixel, which has no outline.

    Returns:
        (n,) uint32 pairs of pixels, one above or beside the other and both inside the window, whose classes differ. A
        pair with a void pixel does not count, and neither does the window's own border.
    """
    top, bottom, left, right = window_edges(label_HW.shape, centres, radius)
    above, beside = unlike_neighbours(label_HW)
    return _sums(above, top, bottom - 1, left, right) + _sums(beside, top, bottom, left, right - 1)


def unlike_neighbours(label_HW: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where outlines run: neighbouring pixels of different classes; void has none.

    Returns:
        (H - 1, W) each pixel against the one below, and (H, W - 1) against the one to the right.
    """
    is_void = label_HW == IGNORE_LABEL
    above = (label_HW[:-1] != label_HW[1:]) & ~(is_void[:-1] | is_void[1:])
    beside = (label_HW[:, :-1] != label_HW[:, 1:]) & ~(is_void[:, :-1] | is_void[:, 1:])
    return above, beside


def _sums(
    marked_HW: NDArray[np.bool_],
    top: NDArray[np.int64],
    bottom: NDArray[np.int64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
) -> NDArray[np.uint32]:
    """How many pixels are marked in each box."""
    height, width = marked_HW.shape
    sums = np.zeros((height + 1, width + 1), np.uint32)
    sums[1:, 1:] = marked_HW.cumsum(0, dtype=np.uint32).cumsum(1, dtype=np.uint32)
    counts: NDArray[np.uint32] = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return counts
