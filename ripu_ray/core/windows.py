"""Statistics of the square window around every pixel, cut at the image border; the cost grows slowly with the radius.

Shapes: H x W pixels, n rows of a strip, M pixels whose window is mixed, C classes.
"""

import math
from collections.abc import Callable, Iterator
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from ripu_ray.core.prediction import EPSILON

_STRIP_ROWS = 128
"""Rows per strip on the CPU; more for large windows, so that the overlap of strips does not dominate."""

_OUTSIDE = 255
"""Class id of pixels outside the image; no class has this id."""

_RASTER_RADIUS = 2
"""Up to this radius, windows are summed in float32 in raster order, with the bits of a dense convolution."""

_GATHERED_RADIUS = 2
"""Up to this radius, the pixels of the mixed windows are copied out; the memory for it grows with the window."""


def region_mean(values_HW: Tensor, radius: int) -> Tensor:
    """Mean over the window around every pixel, windows cut at the image border.

    Args:
        values_HW: (H, W), any unit; numbers of another type, or bool, are converted to float32.
        radius: the window is 2 * radius + 1 pixels a side; 0 returns a copy of the input.

    Returns:
        (H, W) float32, the input's unit.

    Raises:
        ValueError: not 2-D, or radius < 0.

    Source: the prediction uncertainty of RIPU; tests/core/test_windows.py compares with a float64 loop.
    """
    _check(values_HW, radius)
    values_HW = values_HW.float()
    mean_HW = torch.empty_like(values_HW)
    row_extent_H, col_extent_W = _extents(values_HW, radius)
    for rows in _strips(values_HW, radius):
        padded_nW = _window_rows(values_HW, radius, rows, 0.0)
        sum_nW = (_sum_in_raster_order if radius <= _RASTER_RADIUS else _sum)(padded_nW, 2 * radius + 1)
        mean_HW[rows] = sum_nW.div_(torch.outer(row_extent_H[rows], col_extent_W))
    return mean_HW


def _sum_in_raster_order(padded_nW: Tensor, window: int) -> Tensor:
    height, width = (length - window + 1 for length in padded_nW.shape)
    sum_nW = padded_nW[:height, :width].clone()
    for row, col in list(product(range(window), repeat=2))[1:]:
        sum_nW += padded_nW[row : row + height, col : col + width]
    return sum_nW


def _sum(padded_nW: Tensor, window: int) -> Tensor:
    """In float64."""
    return sliding(sliding(padded_nW.double(), 0, window, torch.add), 1, window, torch.add)


def region_impurity(predicted_HW: Tensor, num_classes: int, radius: int, *, parity: bool = False) -> Tensor:
    """Entropy of the predicted classes inside the window around every pixel, over log C.

    Args:
        predicted_HW: (H, W) uint8 class ids below `num_classes`.
        num_classes: C, 2 to 255.
        radius: the window is 2 * radius + 1 pixels a side, cut at the image border.
        parity: a window of one class has the value of the reference's formula in float32, slightly below 0.

    Returns:
        (H, W) float32 in [0, 1]; exactly 0 where the window contains one class (unless `parity`).

    Raises:
        ValueError: not 2-D uint8, or radius < 0.

    Source: region impurity of RIPU, -sum_c f_c log(f_c + 1e-6) / log C; tests/core/test_windows.py.
    """
    _check(predicted_HW, radius)
    if predicted_HW.dtype != torch.uint8:
        raise ValueError(f"predicted classes: expected uint8, found {predicted_HW.dtype}")
    predicted_HW = predicted_HW.contiguous()  # flat indices are taken of what may be the image itself
    one_11 = F.one_hot(torch.zeros(1, dtype=torch.long, device=predicted_HW.device), num_classes).T.float()
    pure = float(normalised_entropy(one_11)) if parity else 0.0
    impurity_HW = torch.full(predicted_HW.shape, pure, dtype=torch.float32, device=predicted_HW.device)
    for rows in _strips(predicted_HW, radius):
        mixed_M, share_CM = _mixed_shares(predicted_HW, num_classes, radius, rows)
        impurity_HW[rows].view(-1)[mixed_M] = normalised_entropy(share_CM)
    return impurity_HW


def normalised_entropy(share_CM: Tensor) -> Tensor:
    """-sum_c f_c log(f_c + 1e-6) / log C of shares f (C, M): (M,), the impurity of RIPU."""
    terms_CM = torch.add(share_CM, EPSILON).log_().mul_(share_CM)
    return terms_CM.sum(dim=0).neg_() / math.log(share_CM.shape[0])


def _mixed_shares(predicted_HW: Tensor, num_classes: int, radius: int, rows: slice) -> tuple[Tensor, Tensor]:
    """Flat indices (M,) of the windows centred in `rows` with several classes, and the shares (C, M) of each class."""
    window = 2 * radius + 1
    padded_nW = _window_rows(predicted_HW, radius, rows, _OUTSIDE)
    smallest_nW = sliding(sliding(padded_nW, 0, window, torch.minimum), 1, window, torch.minimum)
    # Each id plus 1 in 8 bits: _OUTSIDE becomes 0, so it affects neither the minimum nor the maximum.
    above_nW = sliding(sliding(padded_nW + 1, 0, window, torch.maximum), 1, window, torch.maximum)
    mixed_M = (above_nW - smallest_nW != 1).view(-1).nonzero()[:, 0]
    share_CM = torch.empty(num_classes, len(mixed_M), device=predicted_HW.device)
    if not len(mixed_M):
        return mixed_M, share_CM
    if predicted_HW.is_cpu and radius <= _GATHERED_RADIUS and window**2 <= num_classes:
        share_CM.copy_(_count_each(padded_nW, mixed_M, num_classes, window))
    elif predicted_HW.is_cpu:  # class by class, for the cache
        for label in range(num_classes):
            others_nW = _count_others(padded_nW, label, window)
            torch.sub(window**2, others_nW.view(-1).index_select(0, mixed_M), out=share_CM[label])
    else:  # all at once: each operation costs a launch
        labels_C11 = torch.arange(num_classes, dtype=torch.uint8, device=predicted_HW.device)[:, None, None]
        others_CN = _count_others(padded_nW, labels_C11, window).flatten(1)
        torch.sub(window**2, others_CN.index_select(1, mixed_M), out=share_CM)
    row_extent_H, col_extent_W = _extents(predicted_HW, radius)
    return mixed_M, share_CM.div_(torch.outer(row_extent_H[rows], col_extent_W).view(-1)[mixed_M])


def _count_each(padded_nW: Tensor, mixed_M: Tensor, num_classes: int, window: int) -> Tensor:
    """The pixels (C, M) of each class in each mixed window, uint8. Fast if a window has fewer pixels than classes."""
    width, padded_width = padded_nW.shape[1] - window + 1, padded_nW.shape[1]
    corner_M = mixed_M + mixed_M.div(width, rounding_mode="floor") * (padded_width - width)
    offsets = [row * padded_width + col for row, col in product(range(window), repeat=2)]
    label_KM = torch.stack([padded_nW.view(-1)[corner_M + offset] for offset in offsets])
    count_CM = torch.zeros(num_classes + 1, len(mixed_M), dtype=torch.uint8)  # the last for pixels outside the image
    count_CM.scatter_add_(0, label_KM.clamp_(max=num_classes).long(), torch.ones_like(label_KM))
    return count_CM[:-1]


def _count_others(padded_nW: Tensor, label: int | Tensor, window: int) -> Tensor:
    """The pixels of each window that are NOT of a class: 8-bit xor and minimum are much faster than ==."""
    other_nW = torch.bitwise_xor(padded_nW, label).clamp_(max=1)
    column_nW = sliding(other_nW.to(_counter(window)), -2, window, torch.add)
    return sliding(column_nW.to(_counter(window**2)), -1, window, torch.add)


def sliding(values: Tensor, dim: int, window: int, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Combine each run of `window` neighbours along `dim` in about 2 log2(window) passes; length - window + 1 results.

    Runs of 1, 2, 4, ... are built by doubling. The runs for the binary digits of `window` are then combined.
    """
    length = values.shape[dim] - window + 1
    total: Tensor | None = None
    run, size, done = values, 1, 0
    while True:
        if window & size:
            piece = run.narrow(dim, done, length)
            total = piece if total is None else combine(total, piece)
            done += size
        if 2 * size > window:
            break
        run = combine(run.narrow(dim, 0, run.shape[dim] - size), run.narrow(dim, size, run.shape[dim] - size))
        size *= 2
    assert total is not None
    return total


def _strips(image_HW: Tensor, radius: int) -> Iterator[slice]:
    """Rows of strips for the cache of a CPU; one strip on other devices, where each operation costs a launch."""
    height = image_HW.shape[0]
    num_rows = max(_STRIP_ROWS, 2 * radius) if image_HW.is_cpu else max(height, 1)
    for top in range(0, height, num_rows):
        yield slice(top, min(top + num_rows, height))


def _window_rows(image_HW: Tensor, radius: int, rows: slice, outside: float) -> Tensor:
    """The pixels of all windows centred in `rows`; those outside the image have the value `outside`."""
    top, bottom = max(rows.start - radius, 0), min(rows.stop + radius, image_HW.shape[0])
    border = (radius, radius, top - rows.start + radius, rows.stop + radius - bottom)
    return F.pad(image_HW[top:bottom], border, value=outside)


def _extents(image_HW: Tensor, radius: int) -> list[Tensor]:
    """Numbers of rows (H,) and columns (W,) of each window inside the image, float32; their product is its pixels."""
    extents = []
    for length in image_HW.shape:
        index = torch.arange(length, device=image_HW.device)
        extents.append(((index + radius).clamp_(max=length - 1) - (index - radius).clamp_(min=0) + 1).float())
    return extents


def _counter(largest: int) -> torch.dtype:
    """The narrowest integer type that holds `largest`, since its additions are the fastest."""
    if largest <= torch.iinfo(torch.uint8).max:
        return torch.uint8
    return torch.int16 if largest <= torch.iinfo(torch.int16).max else torch.int32


def _check(image_HW: Tensor, radius: int) -> None:
    if image_HW.dim() != 2 or radius < 0:
        raise ValueError(f"expected (H, W) and radius >= 0, found {tuple(image_HW.shape)} and {radius}")
