"""Logits at the size of the labels: the products that a GPU computes are torch's interpolation."""

import pytest
import torch
import torch.nn.functional as F

from ripu_ray.training.logits import interpolation


@pytest.mark.parametrize("sizes", [((5, 9), (40, 70)), ((5, 9), (5, 9)), ((1, 3), (4, 1)), ((8, 8), (3, 5))])
def test_interpolation_by_matrices(sizes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    small, large = sizes
    logits = torch.randn(2, 3, *small, dtype=torch.float64)
    rows, cols = (interpolation(new, old, logits) for new, old in zip(large, small, strict=True))
    expected = F.interpolate(logits, size=large, mode="bilinear", align_corners=True)
    torch.testing.assert_close(rows @ (logits @ cols.mT), expected)
