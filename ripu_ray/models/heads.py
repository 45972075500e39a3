"""Heads that classify the features of an encoder."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ripu_ray.models.compact import conv_block, upsample

_HEAD_WIDTH, _SHORTCUT = 128, 32
_DILATIONS = (6, 12, 18)
"""Of the branches at output stride 16."""


class PyramidHead(nn.Module):
    """Spatial pyramid pooling of the deepest features, and a decoder that adds the finest ones.

    Args:
        num_classes: channels of the logits.
        channels: of the finest and of the deepest features.
        output_stride: input pixels for each row of the deepest features.

    Source: Chen et al., arXiv 1802.02611.
    """

    def __init__(self, num_classes: int, channels: tuple[int, int], output_stride: int) -> None:
        super().__init__()
        low, high = channels
        dilations = [max(1, round(dilation * 16 / output_stride)) for dilation in _DILATIONS]
        branches = [conv_block(high, _HEAD_WIDTH, kernel=1), *(_separable(high, dilation) for dilation in dilations)]
        self.branches = nn.ModuleList(branches)
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_block(high, _HEAD_WIDTH, kernel=1))
        self.bottleneck = conv_block((len(branches) + 1) * _HEAD_WIDTH, _HEAD_WIDTH, kernel=1)
        self.shortcut = conv_block(low, _SHORTCUT, kernel=1)
        self.join = _separable(_HEAD_WIDTH + _SHORTCUT, 1)
        self.last = nn.Conv2d(_HEAD_WIDTH, num_classes, 1)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """(B, C, h, w) logits of the finest features `low` (B, K, h, w) and the deepest, `high` (B, L, h', w')."""
        pooled = [branch(high) for branch in self.branches]
        pooled = self.bottleneck(torch.cat([*pooled, self.whole(high).expand_as(pooled[0])], 1))
        logits: Tensor = self.last(self.join(torch.cat([upsample(pooled, low), self.shortcut(low)], 1)))
        return logits


class LinearHead(nn.Module):
    """One 1x1 convolution of all features, each resized to the size of the finest.

    Args:
        num_classes: channels of the logits.
        channels: of each of the features.
    """

    def __init__(self, num_classes: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.last = nn.Conv2d(sum(channels), num_classes, 1)

    def forward(self, *features: Tensor) -> Tensor:
        """(B, C, h, w) logits of features (B, K, h', w'), of which the first has (h, w)."""
        logits: Tensor = self.last(torch.cat([upsample(feature, features[0]) for feature in features], 1))
        return logits


def _separable(inputs: int, dilation: int) -> nn.Sequential:
    depthwise = conv_block(inputs, inputs, dilation=dilation, groups=inputs)
    return nn.Sequential(depthwise, conv_block(inputs, _HEAD_WIDTH, kernel=1))
