"""The acquisition functions, each against its definition."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ripu_ray.config import AcquisitionName, Mode
from ripu_ray.core.acquisition import ACQUISITIONS, pixel_maps

MODES: tuple[Mode, ...] = ("region", "pixel")


def test_every_name_of_the_configuration_has_a_function() -> None:
    assert set(ACQUISITIONS) == set(get_args(AcquisitionName))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("radius", [1, 5])
@pytest.mark.parametrize("name", [name for name in ACQUISITIONS if name != "random"])
def test_score_is_the_float64_loop(name: str, radius: int, mode: Mode) -> None:
    num_classes, size = 5, (13, 19)
    logits_CHW = 3 * torch.randn(num_classes, 4, 6, generator=torch.Generator().manual_seed(7))
    score_HW = ACQUISITIONS[name](
        pixel_maps(logits_CHW, size), mode=mode, radius=radius, parity=False, rng=np.random.default_rng(0)
    )
    wide_CHW = F.interpolate(logits_CHW[None].double(), size=size, mode="bilinear", align_corners=True)[0]
    p_CHW = wide_CHW.softmax(dim=0).numpy()
    entropy_HW = -(p_CHW * np.log(p_CHW + 1e-6)).sum(axis=0)
    predicted_HW = p_CHW.argmax(axis=0)
    *_, second_HW, best_HW = np.sort(p_CHW, axis=0)
    for row, col in np.ndindex(size):
        window = np.s_[max(row - radius, 0) : row + radius + 1, max(col - radius, 0) : col + radius + 1]
        share_C = np.bincount(predicted_HW[window].ravel(), minlength=num_classes) / predicted_HW[window].size
        impurity = 0.0 if share_C.max() == 1 else -(share_C * np.log(share_C + 1e-6)).sum() / math.log(num_classes)
        uncertainty = entropy_HW[window].mean() / math.log(num_classes)
        own = np.s_[row, col] if mode == "pixel" else window
        entropy = uncertainty if mode == "region" else entropy_HW[own]
        expected = {
            "ripu": impurity * entropy,
            "impurity": impurity,
            "uncertainty": uncertainty,
            "entropy": entropy,
            "margin": 1 - (best_HW - second_HW)[own].mean(),
            "confidence": 1 - best_HW[own].mean(),
        }
        assert score_HW[row, col].item() == pytest.approx(expected[name], abs=1e-6)


@pytest.mark.parametrize("name", ACQUISITIONS)
@pytest.mark.parametrize("mode", MODES)
def test_scores_are_finite_float32_of_the_image(name: str, mode: Mode) -> None:
    maps = pixel_maps(torch.randn(6, 9, 12), (18, 24))
    entropy_before = maps.entropy_HW.clone()
    score_HW = ACQUISITIONS[name](maps, mode=mode, radius=2, parity=False, rng=np.random.default_rng(0))
    assert score_HW.shape == (18, 24)
    assert score_HW.dtype == torch.float32
    assert torch.isfinite(score_HW).all()
    assert torch.equal(maps.entropy_HW, entropy_before)


def test_random_depends_on_the_generator_alone() -> None:
    one, other = pixel_maps(torch.randn(3, 4, 4), (8, 8)), pixel_maps(torch.randn(3, 4, 4), (8, 8))
    first, second, third = (
        ACQUISITIONS["random"](maps, mode="region", radius=1, parity=False, rng=np.random.default_rng(seed))
        for maps, seed in ((one, 1), (other, 1), (one, 2))
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
