"""From network logits to the predicted class and the entropy of each pixel, the input of acquisition functions.

Designed for one torch thread per image: with more threads, the many small operations wait for each other on busy cores.
Shapes: C classes, h x w network resolution, H x W label resolution, n rows of a strip.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ripu_ray.errors import NonFiniteError

EPSILON = 1e-6
"""Added inside every logarithm of the method, as in the reference implementation."""

_STRIP_ROWS = 4
"""Label rows per strip on the CPU: the three (C, n, W) buffers fit into the cache."""


@dataclass(frozen=True)
class PixelMaps:
    """Predicted classes and uncertainties of the pixels of one image.

    Attributes:
        predicted_HW: (H, W) uint8, the most probable class; the smallest id among equals.
        entropy_HW: (H, W) float32, -sum_c p_c log(p_c + 1e-6) in nats, about 0 to log C.
        num_classes: C.
        logits_Chw: (C, h, w) float32, for maps that are computed on demand.
        features_Dhw: (D, h, w) float, the decoder's features; None unless the strategy needs them.
        draws_TChw: (T, C, h, w) float, logits of T draws with dropout; None unless the strategy needs them.
    """

    predicted_HW: Tensor
    entropy_HW: Tensor
    num_classes: int
    logits_Chw: Tensor
    features_Dhw: Tensor | None = None
    draws_TChw: Tensor | None = None

    @property
    def _size(self) -> tuple[int, int]:
        height, width = self.predicted_HW.shape
        return height, width

    @cached_property
    @torch.no_grad()
    def best_two(self) -> Tensor:
        """(2, H, W) float32 probabilities of the best and the second best class."""
        best_2HW = torch.empty(2, *self._size, device=self.logits_Chw.device)
        for rows, strip_CnW in _upsampled(self.logits_Chw, self._size):
            best_2HW[0, rows], best_2HW[1, rows] = _best_two(strip_CnW.softmax(dim=0))
        return best_2HW

    @cached_property
    @torch.no_grad()
    def feature_norm(self) -> Tensor:
        """(H, W) float32 Euclidean norm of the features, interpolated bilinearly with aligned corners."""
        if self.features_Dhw is None:
            raise ValueError('feature_norm: expected a function with needs=["features"]')
        norm_11hw = self.features_Dhw.float().norm(dim=0)[None, None]
        return F.interpolate(norm_11hw, size=self._size, mode="bilinear", align_corners=True)[0, 0]

    @cached_property
    @torch.no_grad()
    def mutual_information(self) -> Tensor:
        """(H, W) float32: H(mean over the draws of p) - mean over the draws of H(p), in nats, at least 0."""
        if self.draws_TChw is None:
            raise ValueError('mutual_information: expected a function with needs=["dropout"]')
        information_HW = torch.empty(self._size, device=self.draws_TChw.device)
        for strips in zip(*(_upsampled(draw.float(), self._size) for draw in self.draws_TChw), strict=True):
            p_TCnW = torch.stack([strip_CnW for _, strip_CnW in strips]).softmax(dim=1)
            information_HW[strips[0][0]] = _entropy(p_TCnW.mean(dim=0), 0) - _entropy(p_TCnW, 1).mean(dim=0)
        return information_HW.clamp_(min=0)

    @torch.no_grad()
    def probability(self, label: int) -> Tensor:
        """(H, W) float32 probability of one class."""
        p_HW = torch.empty(self._size, device=self.logits_Chw.device)
        for rows, strip_CnW in _upsampled(self.logits_Chw, self._size):
            p_HW[rows] = strip_CnW.softmax(dim=0)[label]
        return p_HW


def _best_two(p_CnW: Tensor) -> tuple[Tensor, Tensor]:
    """The values of `torch.topk(2, dim=0)`, which takes five times as long."""
    best_nW, second_nW = torch.maximum(p_CnW[0], p_CnW[1]), torch.minimum(p_CnW[0], p_CnW[1])
    for p_nW in p_CnW[2:]:
        torch.maximum(second_nW, torch.minimum(best_nW, p_nW), out=second_nW)
        torch.maximum(best_nW, p_nW, out=best_nW)
    return best_nW, second_nW


def _entropy(p: Tensor, dim: int) -> Tensor:
    return -(p * torch.log(p + EPSILON)).sum(dim=dim)


def plain_pixel_maps(logits_CHW: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The definition of `pixel_maps`, on the whole image at once: predicted class and entropy, (H, W) each."""
    p_CHW = F.interpolate(logits_CHW[None], size=size, mode="bilinear", align_corners=True)[0].softmax(dim=0)
    return p_CHW.argmax(dim=0), torch.sum(-p_CHW * torch.log(p_CHW + EPSILON), dim=0)


@torch.no_grad()
def pixel_maps(logits_CHW: Tensor, size: tuple[int, int]) -> PixelMaps:
    """Predicted class and entropy at label resolution, from logits at network resolution.

    Args:
        logits_CHW: (C, h, w) floating point, C from 2 to 255; converted to float32.
        size: (H, W), label resolution; the logits are interpolated bilinearly with aligned corners.

    Returns:
        The maps on the logits' device. On the CPU, no array of C x H x W is allocated.

    Raises:
        ValueError: not 3-D, not floating point, or C out of range.
        NonFiniteError: a NaN or an infinity among the logits.

    Source: P and H of RIPU. On a CPU equal to interpolate, softmax, argmax and sum over the whole image, bit for bit if
    rows are whole vector registers: tests/core/test_prediction.py.
    """
    if logits_CHW.dim() != 3 or not logits_CHW.is_floating_point() or not 2 <= logits_CHW.shape[0] <= 255:
        raise ValueError(f"logits: expected floats (C, h, w) with 2 to 255 classes, found {tuple(logits_CHW.shape)}")
    logits_CHW = logits_CHW.float()
    if not torch.isfinite(torch.stack(torch.aminmax(logits_CHW))).all():
        raise NonFiniteError("a NaN or an infinity among the logits")
    num_classes = logits_CHW.shape[0]
    predicted_HW = torch.empty(size, dtype=torch.uint8, device=logits_CHW.device)
    entropy_HW = torch.empty(size, dtype=torch.float32, device=logits_CHW.device)
    # Among equal probabilities, the largest weight is that of the smallest id.
    weight_C11 = torch.arange(num_classes, 0, -1.0, device=logits_CHW.device)[:, None, None]
    buffer_CnW: Tensor | None = None
    for rows, strip_CnW in _upsampled(logits_CHW, size):
        buffer_CnW = torch.empty_like(strip_CnW) if buffer_CnW is None else buffer_CnW[:, : strip_CnW.shape[1]]
        p_CnW = torch.softmax(strip_CnW, dim=0, out=buffer_CnW)
        torch.add(p_CnW, EPSILON, out=strip_CnW)
        torch.sum(strip_CnW.log_().mul_(p_CnW), dim=0, out=entropy_HW[rows])
        # torch.argmax over the first axis takes longer than all other operations together.
        best_nW = p_CnW.eq_(p_CnW.amax(dim=0)).mul_(weight_C11).amax(dim=0)
        predicted_HW[rows] = num_classes - best_nW
    return PixelMaps(predicted_HW, entropy_HW.neg_(), num_classes, logits_CHW)


def _upsampled(logits_CHW: Tensor, size: tuple[int, int]) -> Iterator[tuple[slice, Tensor]]:
    """Strips (rows, (C, n, W)) of the upsampled logits; a strip may be overwritten and is valid until the next."""
    height, width = size
    if not logits_CHW.is_cpu:
        yield slice(0, height), F.interpolate(logits_CHW[None], size=size, mode="bilinear", align_corners=True)[0]
        return
    # torch interpolates along the width; the height follows here, in the order of torch's own kernel: float32
    # positions, and upper * w0 fused onto lower * w1. The result equals one call for the whole image, bit for bit.
    num_rows = logits_CHW.shape[1]
    scale = np.float32(num_rows - 1) / np.float32(max(height - 1, 1))
    position_H = np.arange(height, dtype=np.float32) * scale
    upper_H = np.minimum(position_H.astype(np.int64), num_rows - 1)
    lower_H = np.minimum(upper_H + 1, num_rows - 1)
    lower_weight_H = np.clip(position_H - upper_H.astype(np.float32), 0, 1)
    upper_weight_H = np.float32(1) - lower_weight_H
    buffer_CnW = torch.empty(logits_CHW.shape[0], _STRIP_ROWS, width)
    wide: dict[int, Tensor] = {}  # rows (C, W) at the label's width; a strip keeps what it shares with the one before
    for top in range(0, height, _STRIP_ROWS):
        rows = slice(top, min(top + _STRIP_ROWS, height))
        first, end = int(upper_H[rows][0]), int(lower_H[rows][-1]) + 1
        wide = {row: wide_CW for row, wide_CW in wide.items() if row >= first}
        if (start := max([first, *(row + 1 for row in wide)])) < end:
            new_CnW = F.interpolate(logits_CHW[:, start:end], size=width, mode="linear", align_corners=True)
            wide.update(zip(range(start, end), new_CnW.unbind(1), strict=True))
        strip_CnW = buffer_CnW[:, : rows.stop - top]
        for row in range(top, rows.stop):
            out_CW = strip_CnW[:, row - top]
            torch.mul(wide[int(lower_H[row])], float(lower_weight_H[row]), out=out_CW)
            out_CW.add_(wide[int(upper_H[row])], alpha=float(upper_weight_H[row]))
        yield rows, strip_CnW
