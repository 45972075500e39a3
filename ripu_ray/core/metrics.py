"""Confusion counts, which add across images and workers, and what is read from them.

Shapes: H x W label pixels, C classes.
"""

import numpy as np
from numpy.typing import NDArray

IGNORE_LABEL = 255
"""The label of a pixel that is void or not annotated: no loss, no evaluation."""


def confusion_counts(
    predicted_HW: NDArray[np.integer], label_HW: NDArray[np.integer], num_classes: int
) -> NDArray[np.int64]:
    """How many pixels of each true class were given each class.

    Args:
        predicted_HW: integer class ids below `num_classes`.
        label_HW: same shape, true class ids, or IGNORE_LABEL: not counted.
        num_classes: C.

    Returns:
        (C, C) int64, rows are true classes, columns predicted ones; sums of such counts are such counts.

    Raises:
        ValueError: shapes that differ, or an id outside the classes.
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
        confusion: (C, C) counts of `confusion_counts`, or a sum of such.

    Returns:
        (C,) float64 in [0, 1]; NaN for a class that is neither there nor predicted.
    """
    hits = np.diag(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - hits
    per_class = np.full(len(hits), np.nan)
    np.divide(hits, union, out=per_class, where=union > 0)
    return per_class


def miou(confusion: NDArray[np.int64]) -> float:
    """Mean of `iou` over the classes that have one, in [0, 1]; NaN when none has (nothing was counted)."""
    per_class = iou(confusion)
    known = per_class[~np.isnan(per_class)]
    return float(known.mean()) if known.size else float("nan")


def pixel_accuracy(confusion: NDArray[np.int64]) -> float:
    """Share of the counted pixels whose class is right, in [0, 1]; NaN when nothing was counted."""
    total = confusion.sum()
    return float(np.trace(confusion) / total) if total else float("nan")
