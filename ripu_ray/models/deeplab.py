"""DeepLab-V2 and DeepLab-V3+ on ResNet-101, with the names and shapes of the published checkpoints.

Source: Chen et al., arXiv 1606.00915 (V2) and 1802.02611 (V3+); tests/golden/models.npz has the reference's logits.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ripu_ray.models.protocol import Network
from ripu_ray.models.resnet import CHANNELS, LOW_CHANNELS, FrozenBatchNorm, ResNet101

_V2_DILATIONS = (6, 12, 18, 24)
_V3_DILATIONS = (6, 12, 18)
_WIDTH = 512
_SHORTCUT = 48
_DROPOUT = 0.1


class DeepLab(Network):
    """`feature_extractor` and `head`, whose state dicts are the `feature_extractor` and `classifier` of a checkpoint.

    Args:
        head: takes low and high features, gives logits: `HeadV2` at stride 8, `HeadV3Plus` at stride 4.
    """

    def __init__(self, head: "HeadV2 | HeadV3Plus") -> None:
        super().__init__()
        self.feature_extractor = nn.Module()
        self.feature_extractor.backbone = ResNet101()
        self.head = head

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """Logits at the head's stride.

        Args:
            images_B3HW: (B, 3, H, W) float, from `to_input`.

        Returns:
            (B, C, ceil(H / stride), ceil(W / stride)) logits.
        """
        low, high = self.feature_extractor.backbone(images_B3HW)  # type: ignore[operator]
        logits: Tensor = self.head(low, high)
        return logits

    def last_layer(self) -> nn.Module:
        """See `Network`. V3+ has 512 channels there; V2 has no decoder."""
        return self.head.decoder[-1] if isinstance(self.head, HeadV3Plus) else super().last_layer()


class HeadV2(nn.Module):
    """The sum of four dilated convolutions of the features at stride 8.

    Args:
        num_classes: channels of the logits.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        convs = [nn.Conv2d(CHANNELS, num_classes, 3, padding=dilation, dilation=dilation) for dilation in _V2_DILATIONS]
        for conv in convs:
            _start_near_zero(conv)
        self.conv2d_list = nn.ModuleList(convs)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """(B, C, h, w) of `high` (B, 2048, h, w); `low` is not used."""
        return torch.stack([conv(high) for conv in self.conv2d_list]).sum(dim=0)


class HeadV3Plus(nn.Module):
    """Spatial pyramid pooling at stride 8, and a decoder that brings in the features at stride 4.

    Args:
        num_classes: channels of the logits.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.parallel_branches = nn.ModuleList(
            [_conv(CHANNELS, _WIDTH, 1), *(_Separable(CHANNELS, _WIDTH, dilation) for dilation in _V3_DILATIONS)]
        )
        self.global_branch = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_conv(CHANNELS, _WIDTH, 1))
        self.bottleneck = _conv(_WIDTH * (len(self.parallel_branches) + 1), _WIDTH, 3)
        self.shortcut = _conv(LOW_CHANNELS, _SHORTCUT, 1)
        last = nn.Conv2d(_WIDTH, num_classes, 1)
        self.decoder = nn.Sequential(
            _Separable(_WIDTH + _SHORTCUT, _WIDTH, 1), _Separable(_WIDTH, _WIDTH, 1), nn.Dropout2d(_DROPOUT), last
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        _start_near_zero(last)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """(B, C, h, w) of `low` (B, 256, h, w) and `high` (B, 2048, about h / 2, about w / 2)."""
        branches = [branch(high) for branch in self.parallel_branches]
        branches.append(self.global_branch(high).expand_as(branches[0]))
        pooled = self.bottleneck(torch.cat(branches, 1))
        pooled = F.interpolate(pooled, size=low.shape[2:], mode="bilinear", align_corners=True)
        logits: Tensor = self.decoder(torch.cat((pooled, self.shortcut(low)), 1))
        return logits


class _Separable(nn.Module):
    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__()
        self.depthwise_conv = nn.Conv2d(
            inputs, inputs, 3, padding=dilation, dilation=dilation, groups=inputs, bias=False
        )
        self.depthwise_bn = FrozenBatchNorm(inputs)
        self.pointwise_conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.pointwise_bn = FrozenBatchNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        spread = F.relu(self.depthwise_bn(self.depthwise_conv(x)))
        return F.relu(self.pointwise_bn(self.pointwise_conv(spread)))


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, FrozenBatchNorm(outputs), nn.ReLU())


def _start_near_zero(conv: nn.Conv2d) -> None:
    assert conv.bias is not None
    nn.init.normal_(conv.weight, std=0.01)
    nn.init.zeros_(conv.bias)
