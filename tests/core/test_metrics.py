"""Confusion counts and what is read from them."""

import math

import numpy as np
import pytest

from ripu_ray.core.metrics import IGNORE_LABEL, aubc, confusion_counts, iou, miou, pixel_accuracy


def test_counts_are_truth_by_prediction_without_void() -> None:
    label_HW = np.array([[0, 0, 1], [IGNORE_LABEL, 1, 1]], dtype=np.uint8)
    predicted_HW = np.array([[0, 1, 1], [2, 1, 0]], dtype=np.uint8)
    counts = confusion_counts(predicted_HW, label_HW, 3)
    assert counts.dtype == np.int64
    assert counts.tolist() == [[1, 1, 0], [1, 2, 0], [0, 0, 0]]


def test_iou_by_hand() -> None:
    per_class = iou(np.array([[1, 1, 0], [1, 2, 0], [0, 0, 0]]))
    np.testing.assert_allclose(per_class, [1 / 3, 2 / 4, np.nan])
    assert miou(np.array([[1, 1, 0], [1, 2, 0], [0, 0, 0]])) == pytest.approx((1 / 3 + 1 / 2) / 2)


def test_pixel_accuracy_is_the_share_of_the_diagonal() -> None:
    assert pixel_accuracy(np.array([[1, 1], [1, 2]])) == 3 / 5
    assert math.isnan(pixel_accuracy(np.zeros((2, 2), dtype=np.int64)))


def test_a_class_predicted_but_not_there_has_iou_0() -> None:
    assert iou(np.array([[3, 1], [0, 0]])).tolist() == [0.75, 0.0]


def test_counts_add_across_images() -> None:
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 5, (2, 4, 6, 7))
    whole = confusion_counts(predictions.reshape(-1, 7), labels.reshape(-1, 7), 5)
    parts = [confusion_counts(predictions[i], labels[i], 5) for i in range(4)]
    np.testing.assert_array_equal(whole, sum(parts))


def test_nothing_counted_is_nan_and_wrong_ids_are_refused() -> None:
    assert math.isnan(miou(np.zeros((3, 3), dtype=np.int64)))
    with pytest.raises(ValueError, match="label: ids 3"):
        confusion_counts(np.zeros((2, 2), np.uint8), np.full((2, 2), 3, np.uint8), 3)
    with pytest.raises(ValueError, match="prediction: ids"):
        confusion_counts(np.full((2, 2), 9, np.uint8), np.zeros((2, 2), np.uint8), 3)
    with pytest.raises(ValueError, match="shape"):
        confusion_counts(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8), 3)


def test_area_under_the_budget_curve_by_hand() -> None:
    # (0.2 + 0.4) / 2 over 0.01 and (0.4 + 0.5) / 2 over 0.03, over a range of 0.04
    assert aubc([0, 0.01, 0.04], [0.2, 0.4, 0.5]) == pytest.approx((0.3 * 0.01 + 0.45 * 0.03) / 0.04)
    assert aubc([0.5, 1.0], [0.3, 0.3]) == pytest.approx(0.3)
    assert math.isnan(aubc([0.1], [0.5]))
    assert math.isnan(aubc([], []))


@pytest.mark.parametrize("shares", [[0.0, 0.2, 0.1], [0.0, 0.1]])
def test_no_area_under_what_is_no_curve(shares: list[float]) -> None:
    with pytest.raises(ValueError, match="aubc"):
        aubc(shares, [0.1, 0.2, 0.3])
