"""EfficientNet-Lite 0, 1 and 2 with spatial pyramid pooling and a decoder that adds the features at stride 4.

The encoder's tensors have the shapes and the order of the published ImageNet weights. The head is normalised by group,
so that an image's logits do not depend on the rest of the batch where the encoder's statistics are frozen.
Source: Tan and Le, arXiv 1905.11946, and its `lite` variants (no squeeze-and-excitation, ReLU6, stem, first and last
stage not scaled). tests/models/test_efficientnet_lite.py compares the encoder
with the package `efficientnet-lite-pytorch`.
"""

from math import ceil

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ripu_ray.models.heads import PyramidHead
from ripu_ray.models.protocol import Network

_SCALES = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2))
"""Of width and depth, by version."""
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Repeats, kernel, stride of the first block, expansion and output channels of version 0."""
_STEM, _LOW_STAGE = 32, 1
_EPSILON = 1e-3


class EfficientNetLite(Network):
    """The network.

    Args:
        num_classes: channels of the logits.
        version: 0, 1 or 2.
        output_stride: of the deepest features: 8, 16 or 32.
        frozen: batch norm keeps its statistics, scales and offsets, as weights from a file need it.
    """

    mean, std = (127 / 255,) * 3, (128 / 255,) * 3

    def __init__(self, num_classes: int, version: int, output_stride: int, frozen: bool) -> None:
        super().__init__()
        self.encoder = Encoder(version, output_stride, frozen)
        self.head = PyramidHead(num_classes, self.encoder.channels, output_stride)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """Logits (B, C, ceil(H / 4), ceil(W / 4)) of images (B, 3, H, W), float, from `to_input`."""
        logits: Tensor = self.head(*self.encoder(images_B3HW))
        return logits

    def last_layer(self) -> nn.Module:
        """See `Network`. Its input has 128 channels."""
        last: nn.Module = self.head.last  # type: ignore[assignment]
        return last


class Encoder(nn.Module):
    """Features at stride 4 and at the output stride; see `EfficientNetLite` for the arguments.

    Past the output stride, dilation replaces strides, so that weights of stride 32 fit.

    Attributes:
        channels: of the features at stride 4, and of those at the output stride.
    """

    def __init__(self, version: int, output_stride: int, frozen: bool) -> None:
        super().__init__()
        width, depth = _SCALES[version]
        self.stem = _conv(3, _STEM, frozen, kernel=3, stride=2)
        stages, inputs, reached, dilation = [], _STEM, 2, 1
        for number, (repeats, kernel, stride, expand, channels) in enumerate(_STAGES):
            first, outputs = dilation, _scaled(channels, width)
            if reached * stride > output_stride:
                stride, dilation = 1, dilation * stride
            reached *= stride
            blocks = [_Block(inputs, outputs, frozen, expand, kernel, stride, first)]
            repeats = repeats if number in (0, len(_STAGES) - 1) else ceil(depth * repeats)
            blocks += [_Block(outputs, outputs, frozen, expand, kernel, 1, dilation) for _ in range(repeats - 1)]
            stages.append(nn.Sequential(*blocks))
            inputs = outputs
        self.stages = nn.ModuleList(stages)
        self.channels = _scaled(_STAGES[_LOW_STAGE][-1], width), inputs
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, images_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """(B, K, ceil(H / 4), ceil(W / 4)) and (B, L, ceil(H / s), ceil(W / s)).

        K and L are `channels`, s is the output stride; images are (B, 3, H, W), from `to_input`.
        """
        x = low = self.stem(images_B3HW)
        for number, stage in enumerate(self.stages):
            x = stage(x)
            low = x if number == _LOW_STAGE else low
        return low, x


class _Block(nn.Module):
    """Expansion (unless it is 1), depthwise convolution, projection; the input is added where its shape is the same."""

    def __init__(
        self, inputs: int, outputs: int, frozen: bool, expand: int, kernel: int, stride: int, dilation: int
    ) -> None:
        super().__init__()
        wide = expand * inputs
        depthwise = _conv(wide, wide, frozen, kernel, stride, dilation, groups=wide)
        project = _conv(wide, outputs, frozen)[:-1]  # without ReLU6
        expansion = [_conv(inputs, wide, frozen)] if expand > 1 else []
        self.layers = nn.Sequential(*expansion, depthwise, project)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return x + out if self.adds else out


class _BatchNorm(nn.Module):
    """Without PyTorch's counter of batches, which no weights need."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, frozen: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels), requires_grad=not frozen)
        self.bias = nn.Parameter(torch.zeros(channels), requires_grad=not frozen)
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.frozen = frozen

    def forward(self, x: Tensor) -> Tensor:
        train = self.training and not self.frozen
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, train, eps=_EPSILON)


class _PadSame(nn.Module):
    """TensorFlow's `same` padding at stride 2: the odd row or column of zeros comes last."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        height, width = (self.kernel - 2 + size % 2 for size in x.shape[2:])
        return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))


def _conv(
    inputs: int, outputs: int, frozen: bool, kernel: int = 1, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    padding = dilation * (kernel // 2) if stride == 1 else 0
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False)
    layers = [conv, _BatchNorm(outputs, frozen), nn.ReLU6()]
    return nn.Sequential(*layers) if stride == 1 else nn.Sequential(_PadSame(kernel), *layers)


def _scaled(channels: int, width: float) -> int:
    """The nearest multiple of 8. No width in use here comes 10 % below, where the source would round up."""
    return int(channels * width + 4) // 8 * 8
