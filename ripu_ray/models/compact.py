"""`compact`: a small dilated encoder that learns small pictures on CPUs.

Features at strides 2 and 4, dilated residual blocks at stride 8, and a decoder that adds strides 4 and 2 again, so
that objects two or three pixels wide are kept. GroupNorm everywhere: an image's logits depend on that image alone.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ripu_ray.models.protocol import Network

_CHANNELS_PER_GROUP = 8


class Compact(Network):
    """The network.

    Args:
        num_classes: channels of the logits.
        width: channels at strides 2 and 4, a multiple of 8; twice as many at stride 8.
    """

    stride = 2

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        wide = 2 * width
        self.at2 = nn.Sequential(_conv(3, width, stride=2), _conv(width, width))
        self.at4 = nn.Sequential(_conv(width, width, stride=2), _Residual(width, dilation=1))
        self.at8 = nn.Sequential(_conv(width, wide, stride=2), _Residual(wide, dilation=1), _Residual(wide, dilation=3))
        self.join4 = _conv(wide + width, width)
        self.join2 = _conv(width + width, width, kernel=1)
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """Logits at stride 2.

        Args:
            images_B3HW: (B, 3, H, W) float, from `to_input`.

        Returns:
            (B, C, ceil(H / 2), ceil(W / 2)) logits.
        """
        at2 = self.at2(images_B3HW)
        at4 = self.at4(at2)
        at8 = self.at8(at4)
        joined4 = self.join4(torch.cat((_upsample(at8, at4), at4), 1))
        joined2 = self.join2(torch.cat((_upsample(joined4, at2), at2), 1))
        logits: Tensor = self.head(joined2)
        return logits


class _Residual(nn.Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels, dilation=dilation)
        self.second = _conv(channels, channels, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(self.first(x))
        return out


def _conv(inputs: int, outputs: int, stride: int = 1, dilation: int = 1, kernel: int = 3) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False),
        nn.GroupNorm(outputs // _CHANNELS_PER_GROUP, outputs),
        nn.ReLU(),
    )


def _upsample(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)
