"""ResNet-101 with dilation in place of its last two strides, and batch norm whose statistics never change.

Names and shapes of the parameters are torchvision's, so that its ImageNet weights fit.
Source: He et al., "Deep Residual Learning" (the network); Chen et al., "DeepLab" (dilation); tests/golden/models.npz.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLOCKS = (3, 4, 23, 3)
"""Of ResNet-101, by layer."""
LOW_CHANNELS = 256
"""At stride 4, after layer1."""
CHANNELS = 2048
"""At stride 8, after layer4."""
_EXPANSION = 4


class FrozenBatchNorm(nn.Module):
    """(x - running_mean) / sqrt(running_var) * weight + bias, none of which training changes.

    There is no epsilon, as in the reference implementation. The numbers of tests/golden/models.npz show this.

    Args:
        channels: at least 1.
        scale: what `weight` starts as.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, scale: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("weight", torch.full((channels,), scale))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x_BKHW: Tensor) -> Tensor:
        """Normalise (B, K, H, W) with K = `channels`. The result has the same shape and dtype."""
        # One kernel, where writing it out takes a dozen. Older versions of torch want an epsilon above 0.
        return F.batch_norm(x_BKHW, self.running_mean, self.running_var, self.weight, self.bias, eps=1e-30)


class ResNet101(nn.Module):
    """Features at stride 4 and at stride 8.

    Fresh weights keep the variance of activations (He et al., fan in). Frozen statistics do not normalise the sum of 33
    residual blocks, so each block's branch starts at 33 ** -0.5 of its size; weights from a file replace that scale.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = FrozenBatchNorm(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _layer(64, 64, BLOCKS[0], stride=1, dilations=(1, 1))
        self.layer2 = _layer(256, 128, BLOCKS[1], stride=2, dilations=(1, 1))
        self.layer3 = _layer(512, 256, BLOCKS[2], stride=1, dilations=(1, 2))
        self.layer4 = _layer(1024, 512, BLOCKS[3], stride=1, dilations=(2, 4))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, images_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Low and high features.

        Args:
            images_B3HW: (B, 3, H, W) float, from `to_input`.

        Returns:
            (B, 256, ceil(H / 4), ceil(W / 4)) and (B, 2048, ceil(H / 8), ceil(W / 8)), not negative.
        """
        low: Tensor = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(images_B3HW)))))
        high: Tensor = self.layer4(self.layer3(self.layer2(low)))
        return low, high


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, planes: int, stride: int, dilation: int) -> None:
        super().__init__()
        outputs = planes * _EXPANSION
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = FrozenBatchNorm(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, dilation, dilation, bias=False)
        self.bn2 = FrozenBatchNorm(planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3 = FrozenBatchNorm(outputs, scale=sum(BLOCKS) ** -0.5)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Sequential | None = None
        if inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), FrozenBatchNorm(outputs, scale=0.5**0.5)
            )

    def forward(self, x: Tensor) -> Tensor:
        branch = self.relu(self.bn1(self.conv1(x)))
        branch = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(branch)))))
        out: Tensor = self.relu(branch + (x if self.downsample is None else self.downsample(x)))
        return out


def _layer(inputs: int, planes: int, blocks: int, stride: int, dilations: tuple[int, int]) -> nn.Sequential:
    """`dilations`: of the first block, which still sees its input's grid, and of the others."""
    first, others = dilations
    outputs = planes * _EXPANSION
    return nn.Sequential(
        _Bottleneck(inputs, planes, stride, first),
        *(_Bottleneck(outputs, planes, 1, others) for _ in range(blocks - 1)),
    )
