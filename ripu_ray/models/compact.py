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

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        wide = 2 * width
        self.at2 = nn.Sequential(conv_block(3, width, stride=2), conv_block(width, width))
        self.at4 = nn.Sequential(conv_block(width, width, stride=2), _Residual(width, dilation=1))
        self.at8 = nn.Sequential(
            conv_block(width, wide, stride=2), _Residual(wide, dilation=1), _Residual(wide, dilation=3)
        )
        self.join4 = conv_block(wide + width, width)
        self.join2 = conv_block(width + width, width, kernel=1)
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
        joined4 = self.join4(torch.cat((upsample(at8, at4), at4), 1))
        joined2 = self.join2(torch.cat((upsample(joined4, at2), at2), 1))
        logits: Tensor = self.head(joined2)
        return logits

    def last_layer(self) -> nn.Module:
        """See `Network`. Its input has `width` channels."""
        return self.head


class _Residual(nn.Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.first = conv_block(channels, channels, dilation=dilation)
        self.second = conv_block(channels, channels, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(self.first(x))
        return out


def conv_block(
    inputs: int, outputs: int, stride: int = 1, dilation: int = 1, kernel: int = 3, groups: int = 1
) -> nn.Sequential:
    """Convolution of an odd kernel, padded by zeros, GroupNorm in groups of 8 channels, and ReLU."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False),
        nn.GroupNorm(outputs // _CHANNELS_PER_GROUP, outputs),
        nn.ReLU(),
    )


def upsample(x: Tensor, like: Tensor) -> Tensor:
    """`x` (B, K, h, w) at the height and width of `like`, bilinear."""
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)
