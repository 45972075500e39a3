"""Window statistics against float64 loops."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import reference
from ripu_ray.core.regions import Cells, grid_map
from ripu_ray.core.windows import _count_others, region_impurity, region_mean


def blobs(num_classes: int, size: tuple[int, int], seed: int) -> Tensor:
    """(H, W) uint8: patches of one class, so that some windows are pure."""
    patches = torch.randint(num_classes, (1, 1, 3, 4), generator=torch.Generator().manual_seed(seed)).float()
    return torch.nn.functional.interpolate(patches, size=size, mode="nearest")[0, 0].byte()


def window(image_HW: NDArray[np.generic], row: int, col: int, radius: int) -> NDArray[np.generic]:
    return image_HW[max(row - radius, 0) : row + radius + 1, max(col - radius, 0) : col + radius + 1]


@pytest.mark.parametrize("radius", [0, 1, 2, 3, 7, 40])
def test_mean_is_the_float64_loop(radius: int) -> None:
    values_HW = torch.rand(17, 23, generator=torch.Generator().manual_seed(radius))
    found_HW = region_mean(values_HW, radius)
    for row, col in np.ndindex(17, 23):
        mean = window(values_HW.double().numpy(), row, col, radius).astype(np.float64).mean()
        assert found_HW[row, col].item() == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize("radius", [0, 1, 2, 7, 40, 100])
@pytest.mark.parametrize("num_classes", [2, 5, 19, 255])
def test_impurity_is_the_float64_loop(radius: int, num_classes: int) -> None:
    predicted_HW = blobs(num_classes, (17, 23), radius)
    found_HW = region_impurity(predicted_HW, num_classes, radius)
    for row, col in np.ndindex(17, 23):
        inside = window(predicted_HW.numpy(), row, col, radius).ravel().astype(np.int64)
        share_C = np.bincount(inside, minlength=num_classes) / inside.size
        impurity = 0.0 if share_C.max() == 1 else -(share_C * np.log(share_C + 1e-6)).sum() / math.log(num_classes)
        assert found_HW[row, col].item() == pytest.approx(impurity, abs=1e-6)
        assert (found_HW[row, col].item() == 0) == (share_C.max() == 1)


@pytest.mark.parametrize("radius", [0, 1, 4, 20])
def test_parity_impurity_is_the_plain_version(radius: int) -> None:
    for num_classes in (3, 19):
        predicted_HW = blobs(num_classes, (150, 40), radius)
        one_hot_CHW = torch.nn.functional.one_hot(predicted_HW.long(), num_classes).permute(2, 0, 1).float()
        counts_CHW = reference.window_sum(one_hot_CHW.contiguous(), radius)
        share_CHW = counts_CHW / counts_CHW.sum(dim=0)
        plain_HW = torch.sum(-share_CHW * torch.log(share_CHW + 1e-6), dim=0) / math.log(num_classes)
        torch.testing.assert_close(
            region_impurity(predicted_HW, num_classes, radius, parity=True), plain_HW, rtol=0, atol=2e-7
        )


def test_a_pure_window_is_exactly_0_and_in_parity_just_below() -> None:
    predicted_HW = torch.full((9, 9), 3, dtype=torch.uint8)
    assert (region_impurity(predicted_HW, 5, 2) == 0).all()
    below_HW = region_impurity(predicted_HW, 5, 2, parity=True)
    assert ((below_HW < 0) & (below_HW > -1e-6)).all()


@pytest.mark.parametrize("radius", [0, 1, 2, 3])
def test_any_type_and_layout_counts_as_float32_in_order(radius: int) -> None:
    predicted_HW = blobs(5, (20, 30), 0)
    for image_HW in (predicted_HW.T, predicted_HW[:, ::2]):
        plain_HW = image_HW.clone(memory_format=torch.contiguous_format)
        assert torch.equal(region_impurity(image_HW, 5, radius), region_impurity(plain_HW, 5, radius))
    values_HW = torch.rand(20, 30, generator=torch.Generator().manual_seed(0)) * 9
    for dtype in (torch.bool, torch.int64, torch.float16, torch.bfloat16, torch.float64):
        given_HW = (values_HW > 3).T if dtype == torch.bool else values_HW.to(dtype).T
        cells = Cells(grid_map((30, 20), 2 * radius + 1))
        for mean in (lambda values: region_mean(values, radius), cells.mean):
            found_HW = mean(given_HW)
            assert found_HW.dtype == torch.float32
            assert torch.equal(found_HW, mean(given_HW.float().contiguous()))


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="radius"):
        region_mean(torch.zeros(4, 4), -1)
    with pytest.raises(ValueError, match="H, W"):
        region_mean(torch.zeros(1, 4, 4), 1)
    with pytest.raises(ValueError, match="uint8"):
        region_impurity(torch.zeros(4, 4), 3, 1)


@pytest.mark.parametrize("window", [3, 19])
def test_all_classes_at_once_count_as_one_by_one(window: int) -> None:
    classes_HW = torch.randint(5, (40, 30), dtype=torch.uint8)
    together = _count_others(classes_HW, torch.arange(5, dtype=torch.uint8)[:, None, None], window)
    assert torch.equal(together, torch.stack([_count_others(classes_HW, label, window) for label in range(5)]))
