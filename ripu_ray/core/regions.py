"""The regions of an image that may be bought: square windows anywhere, or a fixed partition into cells.

A purchase is stored as a centre; its region is rebuilt from (image, settings, centre).
Shapes: H x W label pixels, n centres, R regions of an image, C classes.
"""

from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ripu_ray.config import Mode
from ripu_ray.core.budget import annotate, region_boundary, region_pixels, unlike_neighbours
from ripu_ray.core.geometry import cover, purchase_area, purchase_radius, suppression_radius, window_edges
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.core.windows import normalised_entropy, region_impurity, region_mean

Costs = tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32]]


class Regions(Protocol):
    """The regions of one image. Bought ones never overlap."""

    @property
    def suppression(self) -> int:
        """Radius around a chosen centre, in pixels, in which no other may be chosen."""

    def cover(self, centres: NDArray[np.int32]) -> NDArray[np.bool_]:
        """(H, W) bool, True in the regions of these centres."""

    def annotate(self, label_HW: NDArray[np.uint8], centres: NDArray[np.int32]) -> NDArray[np.uint8]:
        """(H, W) uint8, the ground truth inside the regions of these centres, IGNORE_LABEL elsewhere."""

    def members(self, row: int, col: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Index arrays of the pixels of one centre's region: rows and columns, broadcast by numpy."""

    def pixels(self, centres: NDArray[np.integer]) -> int:
        """Number of pixels of these regions inside the image."""

    def costs(self, label_HW: NDArray[np.uint8], centres: NDArray[np.integer]) -> Costs:
        """(n,) uint32 each: pixels of each region, void pixels among them, and class boundary pixels inside."""

    def class_pixels(
        self, label_HW: NDArray[np.uint8], centres: NDArray[np.integer], num_classes: int
    ) -> NDArray[np.int64]:
        """(n, C) labelled pixels of each class in each of these regions."""

    def still_open(self, centres: NDArray[np.int32], most: int | None) -> tuple[NDArray[np.bool_], int]:
        """(H, W) bool, True where no further centre may be, and the size in pixels of the largest remaining region.

        Args:
            centres: bought so far.
            most: regions with more pixels are excluded; None: no limit.
        """

    def mean(self, values_HW: Tensor) -> Tensor:
        """(H, W) float32, the mean over the region of each pixel or the window around it, in the input's unit.

        It is on the input's device. Values of another type are converted to float32.
        """

    def impurity(self, predicted_HW: Tensor, num_classes: int, *, parity: bool = False) -> Tensor:
        """Entropy of the predicted classes in the region of each pixel or the window around it, over log C.

        Args:
            predicted_HW: (H, W) uint8 class ids below `num_classes`, on any device.
            num_classes: C, 2 to 255.
            parity: windows of one class have the reference's value, slightly below 0.

        Returns:
            (H, W) float32 in [0, 1], on the input's device; exactly 0 where there is one class (unless `parity`).

        Source: region impurity of RIPU, `windows.normalised_entropy`.
        """


class Windows:
    """Square windows anywhere, cut at the image border; in mode "pixel" a purchase is the centre alone.

    Args:
        size: (H, W).
        mode: the unit of a purchase.
        radius: a window is 2 * radius + 1 pixels a side.
    """

    def __init__(self, size: tuple[int, int], mode: Mode, radius: int) -> None:
        self._size, self._window_radius = size, radius
        self._radius = purchase_radius(mode, radius)
        self._area = purchase_area(mode, radius)
        self.suppression = suppression_radius(mode, radius)

    def cover(self, centres: NDArray[np.int32]) -> NDArray[np.bool_]:
        """See `Regions`."""
        return cover(self._size, centres, self._radius)

    def annotate(self, label_HW: NDArray[np.uint8], centres: NDArray[np.int32]) -> NDArray[np.uint8]:
        """See `Regions`."""
        return annotate(label_HW, centres, self._radius)

    def members(self, row: int, col: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """See `Regions`."""
        (top,), (bottom,), (left,), (right,) = window_edges(self._size, np.array([[row, col]]), self._radius)
        rows, cols = np.ix_(np.arange(top, bottom), np.arange(left, right))
        return rows, cols

    def pixels(self, centres: NDArray[np.integer]) -> int:
        """See `Regions`."""
        top, bottom, left, right = window_edges(self._size, centres, self._radius)
        return int(((bottom - top) * (right - left)).sum())

    def costs(self, label_HW: NDArray[np.uint8], centres: NDArray[np.integer]) -> Costs:
        """See `Regions`."""
        return (*region_pixels(label_HW, centres, self._radius), region_boundary(label_HW, centres, self._radius))

    def class_pixels(
        self, label_HW: NDArray[np.uint8], centres: NDArray[np.integer], num_classes: int
    ) -> NDArray[np.int64]:
        """See `Regions`."""
        radius = self._radius
        padded_HW = np.pad(label_HW, radius, constant_values=IGNORE_LABEL)
        offset_K = np.arange(2 * radius + 1)
        row_nK, col_nK = (axis_n[:, None] + offset_K for axis_n in centres.astype(np.int64).T)
        label_nM = padded_HW[row_nK[:, :, None], col_nK[:, None, :]].reshape(len(centres), len(offset_K) ** 2)
        return _count_classes(
            np.broadcast_to(np.arange(len(centres))[:, None], label_nM.shape), label_nM, len(centres), num_classes
        )

    def still_open(self, centres: NDArray[np.int32], most: int | None) -> tuple[NDArray[np.bool_], int]:
        """See `Regions`. The size is that of a window inside the image, an upper limit for windows at the border."""
        return cover(self._size, centres, self.suppression), self._area

    def mean(self, values_HW: Tensor) -> Tensor:
        """See `Regions`."""
        return region_mean(values_HW, self._window_radius)

    def impurity(self, predicted_HW: Tensor, num_classes: int, *, parity: bool = False) -> Tensor:
        """See `Regions`."""
        return region_impurity(predicted_HW, num_classes, self._window_radius, parity=parity)


class Cells:
    """A partition of the image into fixed regions; each is bought as a whole and identified by its central pixel.

    Args:
        region_HW: (H, W) int32, the region of each pixel, 0..R-1, each with at least one pixel.
    """

    suppression = 0

    def __init__(self, region_HW: NDArray[np.int32]) -> None:
        self._region_HW = region_HW
        self._size_R = np.bincount(region_HW.ravel())

    @cached_property
    def all_centres(self) -> NDArray[np.int32]:
        """(R, 2) int32, the pixel of each region nearest to its centroid; among equals the first in reading order."""
        place_2HW = np.indices(self._region_HW.shape, np.float64)
        rows_HW, cols_HW = place_2HW[0], place_2HW[1]
        row_R, col_R = self._sums(rows_HW) / self._size_R, self._sums(cols_HW) / self._size_R
        distance_HW = (rows_HW - row_R[self._region_HW]) ** 2 + (cols_HW - col_R[self._region_HW]) ** 2
        distance_N = distance_HW.ravel()[self._order]
        starts_R = self._size_R.cumsum() - self._size_R
        nearest_N = distance_N == np.repeat(np.minimum.reduceat(distance_N, starts_R), self._size_R)
        candidates = np.flatnonzero(nearest_N)
        first = candidates[np.searchsorted(candidates, starts_R)]
        return np.stack(np.divmod(self._order[first], self._region_HW.shape[1]), axis=1).astype(np.int32)

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        """Flat indices of all pixels, region by region, in reading order within each."""
        return np.argsort(self._region_HW.ravel(), kind="stable")

    def cover(self, centres: NDArray[np.int32]) -> NDArray[np.bool_]:
        """See `Regions`."""
        bought_R = np.zeros(len(self._size_R), np.bool_)
        bought_R[self._ids(centres)] = True
        return bought_R[self._region_HW]

    def annotate(self, label_HW: NDArray[np.uint8], centres: NDArray[np.int32]) -> NDArray[np.uint8]:
        """See `Regions`."""
        return np.where(self.cover(centres), label_HW, np.uint8(IGNORE_LABEL))

    def members(self, row: int, col: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """See `Regions`."""
        region = self._region_HW[row, col]
        stop = int(self._size_R[: region + 1].sum())
        rows, cols = np.divmod(self._order[stop - self._size_R[region] : stop], self._region_HW.shape[1])
        return rows, cols

    def pixels(self, centres: NDArray[np.integer]) -> int:
        """See `Regions`."""
        return int(self._size_R[self._ids(centres)].sum())

    def costs(self, label_HW: NDArray[np.uint8], centres: NDArray[np.integer]) -> Costs:
        """See `Regions`."""
        region_HW, ids = self._region_HW, self._ids(centres)
        above, beside = unlike_neighbours(label_HW)
        above &= region_HW[:-1] == region_HW[1:]
        beside &= region_HW[:, :-1] == region_HW[:, 1:]
        inside = np.concatenate([region_HW[:-1][above], region_HW[:, :-1][beside]])
        counts = (self._size_R, self._count(region_HW[label_HW == IGNORE_LABEL]), self._count(inside))
        pixels, void_pixels, boundary_pixels = (count_R[ids].astype(np.uint32) for count_R in counts)
        return pixels, void_pixels, boundary_pixels

    def class_pixels(
        self, label_HW: NDArray[np.uint8], centres: NDArray[np.integer], num_classes: int
    ) -> NDArray[np.int64]:
        """See `Regions`."""
        return _count_classes(self._region_HW, label_HW, len(self._size_R), num_classes)[self._ids(centres)]

    def still_open(self, centres: NDArray[np.int32], most: int | None) -> tuple[NDArray[np.bool_], int]:
        """See `Regions`."""
        free_R = np.ones(len(self._size_R), np.bool_) if most is None else self._size_R <= most
        free_R[self._ids(centres)] = False
        blocked_HW = np.ones(self._region_HW.shape, np.bool_)
        blocked_HW[tuple(self.all_centres[free_R].T)] = False
        return blocked_HW, int(self._size_R[free_R].max(initial=0))

    def mean(self, values_HW: Tensor) -> Tensor:
        """See `Regions`. Computed on the CPU, where sums do not depend on the order of threads."""
        mean_R = (self._sums(values_HW.cpu().float().numpy()) / self._size_R).astype(np.float32)
        return torch.from_numpy(mean_R[self._region_HW]).to(values_HW.device)

    def impurity(self, predicted_HW: Tensor, num_classes: int, *, parity: bool = False) -> Tensor:
        """See `Regions`. Computed on the CPU. The reference has no such regions, so `parity` has no effect."""
        count_RC = _count_classes(self._region_HW, predicted_HW.cpu().numpy(), len(self._size_R), num_classes)
        share_CR = torch.from_numpy(count_RC.T / self._size_R)
        impurity_R = normalised_entropy(share_CR).numpy()
        impurity_R[(count_RC == self._size_R[:, None]).any(axis=1)] = 0
        return torch.from_numpy(impurity_R.astype(np.float32)[self._region_HW]).to(predicted_HW.device)

    def _ids(self, centres: NDArray[np.integer]) -> NDArray[np.int32]:
        ids: NDArray[np.int32] = self._region_HW[tuple(centres.astype(np.int64).T)]
        return ids

    def _count(self, region_M: NDArray[np.int32]) -> NDArray[np.int64]:
        return np.bincount(region_M, minlength=len(self._size_R))

    def _sums(self, values_HW: NDArray[np.float64] | NDArray[np.float32]) -> NDArray[np.float64]:
        sums_R = np.bincount(self._region_HW.ravel(), values_HW.ravel(), len(self._size_R))
        return sums_R.astype(np.float64)


def _count_classes(
    region: NDArray[np.integer], label: NDArray[np.uint8], num_regions: int, num_classes: int
) -> NDArray[np.int64]:
    """(num_regions, num_classes) pixels of each class in each region, without void; both arrays have the same shape."""
    inside = label < num_classes
    index_N = region[inside].astype(np.int64) * num_classes + label[inside]
    return np.bincount(index_N, minlength=num_regions * num_classes).reshape(num_regions, num_classes)


def grid_map(size: tuple[int, int], window: int) -> NDArray[np.int32]:
    """Adjacent squares from the top left corner, cut at the right and bottom borders.

    Args:
        size: (H, W).
        window: side of a square, in pixels.

    Returns:
        (H, W) int32, the square of each pixel, row by row.
    """
    rows, cols = (np.arange(length, dtype=np.int32) // window for length in size)
    region_HW: NDArray[np.int32] = rows[:, None] * (cols[-1] + 1) + cols
    return region_HW


def superpixel_map(image_HW3: NDArray[np.uint8], size: tuple[int, int], window: int) -> NDArray[np.int32]:
    """Regions that follow the edges of the image, by SLIC.

    Args:
        image_HW3: (h, w, 3) uint8 RGB, at any size.
        size: (H, W) of the labels; regions are resized to it by nearest neighbour.
        window: the mean region has about window ** 2 label pixels.

    Returns:
        (H, W) int32, the region of each pixel.

    Source: scikit-image's `slic`, an extra of this package.
    """
    from skimage.segmentation import slic

    count = max(round(size[0] * size[1] / window**2), 1)
    segments_hw = slic(image_HW3, n_segments=count, compactness=10, start_label=0, channel_axis=-1)
    rows, cols = (
        (2 * np.arange(length) + 1) * found // (2 * length)
        for length, found in zip(size, segments_hw.shape, strict=True)
    )
    # A segment may have no pixel at the labels' size; `unique` renumbers the others.
    _, region_N = np.unique(segments_hw[np.ix_(rows, cols)], return_inverse=True)
    return region_N.reshape(size).astype(np.int32)
