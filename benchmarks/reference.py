"""A plain transcription of the paper, slow and simple, with which the package is compared.

Dense one-hot planes, depthwise convolutions with ones, one maximum of the whole map per purchase. Tests compare with
it, so it must pass the golden cases itself. It shares no code with `ripu_ray.core`, whose modules have the
plain formulas of losses and pixel maps.
Shapes: C classes, H x W label pixels.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def window_sum(planes_CHW: Tensor, radius: int) -> Tensor:
    """(C, H, W) float -> (C, H, W): sum over the window, zeros outside the image, by a dense convolution."""
    channels = planes_CHW.shape[0]
    ones = torch.ones(channels, 1, 2 * radius + 1, 2 * radius + 1, dtype=planes_CHW.dtype)
    return F.conv2d(planes_CHW[None], ones, padding=radius, groups=channels)[0]


def maps(logits_CHW: Tensor, size: tuple[int, int], radius: int, mode: str) -> tuple[Tensor, Tensor, Tensor]:
    """(C, h, w) logits -> impurity, uncertainty, score, each (H, W), as paper.md defines them for `mode`."""
    num_classes = logits_CHW.shape[0]
    logits_CHW = F.interpolate(logits_CHW[None], size=size, mode="bilinear", align_corners=True)[0]
    probabilities_CHW = torch.softmax(logits_CHW, dim=0)
    entropy_HW = torch.sum(-probabilities_CHW * torch.log(probabilities_CHW + 1e-6), dim=0)
    one_hot_CHW = F.one_hot(probabilities_CHW.argmax(dim=0), num_classes).permute(2, 0, 1).contiguous()
    counts_CHW = window_sum(one_hot_CHW.to(logits_CHW.dtype), radius)
    pixels_HW = counts_CHW.sum(dim=0)
    share_CHW = counts_CHW / pixels_HW
    impurity_HW = torch.sum(-share_CHW * torch.log(share_CHW + 1e-6), dim=0) / math.log(num_classes)
    if mode == "pixel":
        uncertainty_HW = entropy_HW
    else:
        uncertainty_HW = window_sum((entropy_HW / math.log(num_classes))[None], radius)[0] / pixels_HW
    return impurity_HW, uncertainty_HW, impurity_HW * uncertainty_HW


def greedy(score_HW: Tensor, excluded_HW: Tensor, count: int, suppression_radius: int) -> np.ndarray:
    """(n, 2) int32 (row, col): best remaining pixel by a maximum over the rows, then over the columns, n times."""
    score_HW = score_HW.clone()
    score_HW[excluded_HW] = -math.inf
    centres: list[tuple[int, int]] = []
    for _ in range(count):
        best_W, rows_W = score_HW.max(dim=0)
        best, column = best_W.max(dim=0)
        if best == -math.inf:
            break
        col = int(column)
        row = int(rows_W[col])
        centres.append((row, col))
        top, left = max(row - suppression_radius, 0), max(col - suppression_radius, 0)
        score_HW[top : row + suppression_radius + 1, left : col + suppression_radius + 1] = -math.inf
    return np.array(centres, dtype=np.int32).reshape(-1, 2)
