"""Logits of a batch at the size of its labels, for the losses.

Shapes: B images, C classes, images and logits h x w at the network's sizes, H x W pixels of the labels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ripu_ray.config import TrainingConfig
from ripu_ray.models.protocol import Network


def forward(network: Network, training: TrainingConfig, images_BHW3: Tensor) -> Tensor:
    """Logits (B, C, h, w) float32 of uint8 images, at the network's stride."""
    images_B3HW = network.to_input(images_BHW3, images_BHW3.device)
    if training.channels_last:
        images_B3HW = images_B3HW.contiguous(memory_format=torch.channels_last)
    # torch asks for no cache of casts where a CUDA graph is recorded.
    with torch.autocast(
        images_B3HW.device.type, torch.bfloat16, enabled=training.precision == "bfloat16", cache_enabled=False
    ):
        logits_BChw: Tensor = network(images_B3HW)
    # The losses need float32 in contiguous (C, H, W) order.
    return logits_BChw.float().contiguous()


def upsample(logits_BChw: Tensor, size: torch.Size) -> Tensor:
    """Logits (B, C, H, W), interpolated bilinearly with aligned corners.

    On a GPU by two products of matrices: torch's own gradient adds every pixel by an atomic operation, which is slower
    and has another rounding in each run.
    """
    if not logits_BChw.is_cuda:
        return F.interpolate(logits_BChw, size=size, mode="bilinear", align_corners=True)
    rows_Hh, cols_Ww = (
        interpolation(new, old, logits_BChw) for new, old in zip(size, logits_BChw.shape[2:], strict=True)
    )
    return rows_Hh @ (logits_BChw @ cols_Ww.mT)


def interpolation(new: int, old: int, like: Tensor) -> Tensor:
    """(new, old) matrix that interpolates `old` values linearly at `new` points, the first and last ones aligned."""
    points_N = torch.arange(new, dtype=torch.float64, device=like.device) * ((old - 1) / max(new - 1, 1))
    distance_NO = points_N[:, None] - torch.arange(old, dtype=torch.float64, device=like.device)
    return (1 - distance_NO.abs()).clamp(min=0).to(like.dtype)


def predict(network: Network, training: TrainingConfig, images_BHW3: Tensor, size: torch.Size) -> Tensor:
    """Logits (B, C, H, W) float32 of uint8 images, at the size (H, W) of their labels."""
    return upsample(forward(network, training, images_BHW3), size)
