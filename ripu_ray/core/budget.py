"""Budgets and costs of purchases.

Shapes: H x W label pixels, n centres.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
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
    """The cost of purchases; instances can be added.

    Attributes:
        pixels: bought pixels inside the image, including void ones; they are charged to the budget.
        void_pixels: unlabelled pixels among them.
        clipped_pixels: pixels of bought windows outside the image; they are not charged.
        clicks: number of windows; each is one answer of the annotator.
        boundary_pixels: pairs of neighbouring pixels, both inside a window, of different classes; void has no class.
    """

    pixels: int = 0
    void_pixels: int = 0
    clipped_pixels: int = 0
    clicks: int = 0
    boundary_pixels: int = 0

    def __add__(self, other: Self) -> "Spent":
        return Spent(*map(sum, zip(astuple(self), astuple(other), strict=True)))


def annotation_seconds(cost: CostConfig, spent: Spent) -> float:
    """Annotation time in seconds, by a linear model of clicks and boundary pixels."""
    return cost.seconds_per_click * spent.clicks + cost.seconds_per_boundary_pixel * spent.boundary_pixels


def allowed_pixels(
    budget: Budget, sizes: Iterable[tuple[int, int]], *, rounds: int, round_index: int, spent_pixels: int
) -> int:
    """Number of pixels of these images that may be bought in this round.

    Up to this round, (round_index + 1) / rounds of the budgets may be spent, so the rest of earlier rounds remains
    available and no sequence of purchases exceeds the budget.

    Args:
        budget: of each image over all rounds.
        sizes: (H, W) of each image's labels.
        rounds: number of rounds, >= 1.
        round_index: 0-based.
        spent_pixels: bought so far in these images, inside the image borders.

    Returns:
        Pixels, >= 0.

    Source: the annotation budget of RIPU.
    """
    total = sum((budget.pixels(height * width) for height, width in sizes), start=Fraction(0))
    return max(math.floor(total * (round_index + 1) / rounds - spent_pixels), 0)


def reference_num_regions(budget: Budget, size: tuple[int, int], mode: Mode, radius: int, rounds: int) -> int:
    """Number of windows of one image that the reference buys in each round: it rounds up, and rescales pixels.

    Args:
        budget: of the image over all rounds.
        size: (H, W) of the image's labels.
        mode: the unit of a purchase: a window of `radius`, or a pixel.
        radius: of the window, in label pixels.
        rounds: number of rounds, >= 1.

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
    """A limit of purchases: a number of pixels or, by the reference's rule, a number of regions of any size."""

    pixels: int | None
    regions: int | None = None

    def num_regions(self, area: int) -> int:
        """Number of regions of at most `area` pixels that may be bought."""
        return self.regions if self.regions is not None else (self.pixels or 0) // max(area, 1)

    def is_exceeded(self, pixels: int, regions: int) -> bool:
        """Whether these purchases exceed the limit."""
        return pixels > self.pixels if self.pixels is not None else regions > (self.regions or 0)


def allowance(
    strategy: StrategyConfig, sizes: Sequence[tuple[int, int]], round_index: int, spent_pixels: int = 0
) -> Allowance:
    """The rule of the budget, used by scoring, by preflight and by the validation of the ledger.

    Args:
        strategy: budget, rounds, mode and window. With `parity` the allowance is for one image and one round;
            otherwise it is for all of `sizes`, and for all rounds up to this one.
        sizes: (H, W) of the labels of one image, or of all images of a pool that shares its budget.
        round_index: 0-based.
        spent_pixels: bought so far in these images.
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


def sharing(strategy: StrategyConfig, sizes: Sequence[tuple[int, int]]) -> list[Sequence[tuple[int, int]]]:
    """The sizes in groups that share a budget: all of them with `allocation: pool`, else each alone."""
    return [sizes] if strategy.allocation == "pool" else [[size] for size in sizes]


def annotate(label_HW: NDArray[np.uint8], centres: NDArray[np.int32], radius: int) -> NDArray[np.uint8]:
    """The annotation: ground truth inside the windows around the centres, IGNORE_LABEL elsewhere.

    Args:
        label_HW: (H, W) uint8 ground truth.
        centres: (n, 2) rows and columns.
        radius: of the purchase; 0 is a pixel.

    Returns:
        (H, W) uint8.
    """
    return np.where(cover(label_HW.shape, centres, radius), label_HW, np.uint8(IGNORE_LABEL))


def region_pixels(
    label_HW: NDArray[np.uint8], centres: NDArray[np.integer], radius: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Count the pixels of each window.

    Args:
        label_HW: (H, W) uint8 ground truth, IGNORE_LABEL where void.
        centres: (n, 2) rows and columns.
        radius: of the purchase; 0 is a pixel.

    Returns:
        (n,) uint32 pixels inside the image, and (n,) uint32 void pixels among them.
    """
    top, bottom, left, right = window_edges(label_HW.shape, centres, radius)
    void = _sums(label_HW == IGNORE_LABEL, top, bottom, left, right)
    return ((bottom - top) * (right - left)).astype(np.uint32), void


def region_boundary(label_HW: NDArray[np.uint8], centres: NDArray[np.integer], radius: int) -> NDArray[np.uint32]:
    """Length of the class boundaries inside each window, which an annotator has to draw.

    Args:
        label_HW: (H, W) uint8 ground truth, IGNORE_LABEL where void.
        centres: (n, 2) rows and columns.
        radius: of the purchase; 0 is a pixel, which has no boundary.

    Returns:
        (n,) uint32 number of 4-neighbour pairs of pixels of different classes, both inside the window. Pairs with a
        void pixel and the window's own border do not count.
    """
    top, bottom, left, right = window_edges(label_HW.shape, centres, radius)
    above, beside = unlike_neighbours(label_HW)
    return _sums(above, top, bottom - 1, left, right) + _sums(beside, top, bottom, left, right - 1)


def unlike_neighbours(label_HW: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Find neighbouring pixels of different classes; void has no class.

    Returns:
        (H - 1, W) bool, each pixel compared with the one below, and (H, W - 1) bool, with the one to the right.
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
    """Number of marked pixels in each box."""
    height, width = marked_HW.shape
    sums = np.zeros((height + 1, width + 1), np.uint32)
    sums[1:, 1:] = marked_HW.cumsum(0, dtype=np.uint32).cumsum(1, dtype=np.uint32)
    counts: NDArray[np.uint32] = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return counts
