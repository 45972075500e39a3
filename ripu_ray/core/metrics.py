"""Confusion counts, which can be added over images and workers, and metrics from them.

Shapes: H x W label pixels, C classes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

IGNORE_LABEL = 255
"""The label of a pixel that is void or not annotated: no loss, no evaluation."""


def confusion_counts(
    predicted_HW: NDArray[np.integer], label_HW: NDArray[np.integer], num_classes: int
) -> NDArray[np.int64]:
    """Count the pixels of each pair of true and predicted class.

    Args:
        predicted_HW: integer class ids below `num_classes`.
        label_HW: same shape, true class ids, or IGNORE_LABEL, which is not counted.
        num_classes: C.

    Returns:
        (C, C) int64; rows are true classes, columns predicted classes.

    Raises:
        ValueError: the shapes differ, or an id is outside the classes.
    """
    if predicted_HW.shape != label_HW.shape:
        raise ValueError(f"predicted {predicted_HW.shape} and label {label_HW.shape} differ in shape")
    counted = label_HW != IGNORE_LABEL
    truth_N, predicted_N = label_HW[counted].astype(np.int64), predicted_HW[counted].astype(np.int64)
    for name, ids in (("label", truth_N), ("prediction", predicted_N)):
        if ids.size and not 0 <= ids.min() <= ids.max() < num_classes:
            raise ValueError(f"{name}: ids {ids.min()} to {ids.max()}, expected 0 to {num_classes - 1}")
    counts = np.bincount(truth_N * num_classes + predicted_N, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype(np.int64)


def iou(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Intersection over union of each class.

    Args:
        confusion: (C, C) counts of `confusion_counts`, or a sum of them.

    Returns:
        (C,) float64 in [0, 1]; NaN for a class that is neither labelled nor predicted.
    """
    hits = np.diag(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - hits
    per_class = np.full(len(hits), np.nan)
    np.divide(hits, union, out=per_class, where=union > 0)
    return per_class


def miou(confusion: NDArray[np.int64]) -> float:
    """Mean of `iou` over the classes whose IoU is not NaN, in [0, 1]; NaN if no pixel was counted."""
    per_class = iou(confusion)
    known = per_class[~np.isnan(per_class)]
    return float(known.mean()) if known.size else float("nan")


def pixel_accuracy(confusion: NDArray[np.int64]) -> float:
    """Share of the counted pixels with the true class, in [0, 1]; NaN if no pixel was counted."""
    total = confusion.sum()
    return float(np.trace(confusion) / total) if total else float("nan")


def aubc(spent_shares: Sequence[float], mious: Sequence[float]) -> float:
    """Area under the mIoU-budget curve, divided by its range: the mean mIoU up to the last purchase.

    Args:
        spent_shares: of the pool's pixels, non-decreasing; the first is usually 0.
        mious: at each share.

    Returns:
        The area by the trapezoidal rule over the range of shares, in the unit of `mious`; NaN if the range is 0.

    Raises:
        ValueError: the lengths differ, or the shares decrease.
    """
    shares_N, mious_N = np.asarray(spent_shares, np.float64), np.asarray(mious, np.float64)
    if shares_N.shape != mious_N.shape or (np.diff(shares_N) < 0).any():
        raise ValueError("aubc: expected as many mIoUs as spent shares, and shares that do not decrease")
    if not shares_N.size or shares_N[0] == shares_N[-1]:
        return float("nan")
    area = (np.diff(shares_N) * (mious_N[1:] + mious_N[:-1]) / 2).sum()
    return float(area / (shares_N[-1] - shares_N[0]))
