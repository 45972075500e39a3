"""The acquisition functions, each against its definition."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ripu_ray.config import REFERENCES, Mode, load_config
from ripu_ray.config.registry import ACQUISITIONS
from ripu_ray.core.acquisition import Query, acquisition
from ripu_ray.core.prediction import PixelMaps, pixel_maps
from ripu_ray.core.purchase import score_image
from ripu_ray.core.regions import Windows
from ripu_ray.errors import ConfigError
from tests.core.golden import PLAIN, score

MODES: tuple[Mode, ...] = ("region", "pixel")


def test_an_unknown_name_is_answered_with_all_names() -> None:
    with pytest.raises(ConfigError) as error:
        load_config(None, ["strategy.acquisition=ripu2"])
    assert all(name in str(error.value) for name in ("ripu2", *ACQUISITIONS.names(), *REFERENCES))


def test_a_function_of_ones_own_is_a_name_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ACQUISITIONS, "_parts", dict(ACQUISITIONS._parts))

    @acquisition("last_class")
    def last_class(maps: PixelMaps, query: Query) -> torch.Tensor:
        return query.mean((maps.predicted_HW == maps.num_classes - 1).float())

    assert load_config(None, ["strategy.acquisition=last_class"]).strategy.acquisition == "last_class"
    logits_CHW = torch.randn(3, 8, 8)
    share_HW = score(logits_CHW, (8, 8), "last_class", mode="region", radius=1)
    expected = (logits_CHW.argmax(dim=0)[2:5, 3:6] == 2).float().mean()
    assert share_HW[3, 4] == pytest.approx(expected.item())
    with pytest.raises(ValueError, match="is taken"):
        acquisition("ripu")(last_class)
    with pytest.raises(ValueError, match="lower-case"):
        acquisition("My Score")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("radius", [1, 5])
@pytest.mark.parametrize("name", PLAIN)
def test_score_is_the_float64_loop(name: str, radius: int, mode: Mode) -> None:
    num_classes, size = 5, (13, 19)
    logits_CHW = 3 * torch.randn(num_classes, 4, 6, generator=torch.Generator().manual_seed(7))
    score_HW = score(logits_CHW, size, name, mode=mode, radius=radius)
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
            "clasp_pe": entropy,
        }
        assert score_HW[row, col].item() == pytest.approx(expected[name], abs=1e-6)


@pytest.mark.parametrize("name", ACQUISITIONS.names())
@pytest.mark.parametrize("mode", MODES)
def test_scores_are_finite_float32_of_the_image(name: str, mode: Mode) -> None:
    logits_CHW, size = torch.randn(6, 9, 12), (18, 24)
    entropy_before = pixel_maps(logits_CHW, size).entropy_HW
    query = Query(Windows(size, mode, 2), mode, False, np.random.default_rng(0))
    score_HW, maps = score_image(logits_CHW, size, name, query, torch.randn(4, 9, 12), torch.randn(3, 6, 9, 12))
    assert score_HW.shape == (18, 24)
    assert score_HW.dtype == torch.float32
    assert torch.isfinite(score_HW).all()
    assert torch.equal(maps.entropy_HW, entropy_before)


def test_random_depends_on_the_generator_alone() -> None:
    one, other = torch.randn(3, 4, 4), torch.randn(3, 4, 4)
    first, second, third = (
        score(logits_CHW, (8, 8), "random", mode="region", radius=1, seed=seed)
        for logits_CHW, seed in ((one, 1), (other, 1), (one, 2))
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
