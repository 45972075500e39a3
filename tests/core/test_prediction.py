"""Strips against the whole image at once."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ripu_ray.core.prediction import pixel_maps, plain_pixel_maps
from ripu_ray.errors import NonFiniteError

SAME_KERNELS = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((19, 40, 80), (64, 128)),
        ((19, 64, 128), (64, 128)),
        ((2, 7, 5), (45, 61)),
        ((16, 33, 29), (9, 13)),
        ((5, 1, 1), (6, 7)),
        ((3, 4, 5), (1, 1)),
    ],
)
def test_equals_the_whole_image_at_once(shape: tuple[int, int, int], size: tuple[int, int]) -> None:
    logits_CHW = drawn(*shape)
    maps = pixel_maps(logits_CHW, size)
    predicted_HW, entropy_HW = plain_pixel_maps(logits_CHW, size)
    assert maps.num_classes == shape[0]
    assert maps.predicted_HW.dtype == torch.uint8
    torch.testing.assert_close(maps.entropy_HW, entropy_HW, rtol=0, atol=1e-6)
    p_CHW = interpolate(logits_CHW[None], size=size, mode="bilinear", align_corners=True)[0].softmax(dim=0)
    torch.testing.assert_close(maps.best_two, p_CHW.topk(2, dim=0).values, rtol=0, atol=1e-6)
    if SAME_KERNELS and size[1] % 16 == 0:  # a row's remainder is left to scalar code, which may round otherwise
        assert torch.equal(maps.predicted_HW.long(), predicted_HW)
        assert torch.equal(maps.entropy_HW, entropy_HW)


def test_smaller_id_wins_a_tie() -> None:
    maps = pixel_maps(torch.zeros(4, 3, 5), (3, 5))
    assert (maps.predicted_HW == 0).all()
    assert (maps.best_two == 0.25).all()
    torch.testing.assert_close(maps.entropy_HW, torch.full((3, 5), math.log(4)), rtol=0, atol=1e-5)


def test_input_is_left_alone_and_gradients_are_not_recorded() -> None:
    logits_CHW = drawn(5, 8, 9).requires_grad_()
    before = logits_CHW.detach().clone()
    maps = pixel_maps(logits_CHW, (8, 9))
    assert torch.equal(logits_CHW.detach(), before)
    assert not maps.entropy_HW.requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes_are_computed_in_float32(dtype: torch.dtype) -> None:
    logits_CHW = drawn(5, 8, 9).to(dtype)
    maps, expected = pixel_maps(logits_CHW, (16, 18)), pixel_maps(logits_CHW.float(), (16, 18))
    assert torch.equal(maps.entropy_HW, expected.entropy_HW)


def test_any_memory_layout() -> None:
    logits_CHW = drawn(5, 8, 9)
    strided_CHW = logits_CHW.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert torch.equal(pixel_maps(strided_CHW, (16, 18)).entropy_HW, pixel_maps(logits_CHW, (16, 18)).entropy_HW)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_single_non_finite_logit_raises(value: float) -> None:
    logits_CHW = drawn(3, 30, 40)
    logits_CHW[2, 29, 17] = value
    with pytest.raises(NonFiniteError, match="logits"):
        pixel_maps(logits_CHW, (30, 40))


@pytest.mark.parametrize("logits_CHW", [torch.zeros(3, 4), torch.zeros(1, 4, 4), torch.zeros(3, 4, 4, dtype=torch.int)])
def test_anything_but_logits_is_refused(logits_CHW: Tensor) -> None:
    with pytest.raises(ValueError, match="logits"):
        pixel_maps(logits_CHW, (4, 4))
