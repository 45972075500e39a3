"""From a name in the configuration to an initialised network, and from an image to what it takes."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ripu_ray.config import ModelConfig
from ripu_ray.models.compact import Compact
from ripu_ray.models.deeplab import DeepLab, HeadV2, HeadV3Plus


def build_network(model: ModelConfig, num_classes: int, seed: int) -> nn.Module:
    """Build the network, its weights a function of the arguments alone.

    The network maps (B, 3, h, w) float images, made by `to_input`, to (B, num_classes, h', w') logits at its own
    stride; the caller upsamples them (bilinear, align_corners=True). `network.head` is the classifier, whose learning
    rate may differ.

    Args:
        model: name and width. Files of weights that it names are not opened: `pretrained.load_pretrained` does that.
        num_classes: at least 1.
        seed: at least 0.

    Returns:
        The network in training mode, float32, on the CPU. The global random state is as before.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        if model.name == "compact":
            return Compact(num_classes, model.width)
        return DeepLab(HeadV2(num_classes) if model.name == "deeplabv2" else HeadV3Plus(num_classes))


def to_input(images_HW3: NDArray[np.uint8] | Tensor, device: str | torch.device = "cpu") -> Tensor:
    """Images as the networks take them.

    Args:
        images_HW3: (..., H, W, 3) uint8, RGB. A tensor in pinned memory is not waited for.
        device: where they go. They travel as bytes.

    Returns:
        (..., 3, H, W) float32, contiguous, about -2..2: ImageNet's mean and standard deviation removed.
    """
    # `tensor` copies: an array may be read-only
    images_HW3 = images_HW3 if isinstance(images_HW3, Tensor) else torch.tensor(images_HW3)
    scaled_HW3 = images_HW3.to(device, non_blocking=True).float() / 255
    mean_3, std_3 = scaled_HW3.new_tensor((0.485, 0.456, 0.406)), scaled_HW3.new_tensor((0.229, 0.224, 0.225))
    return ((scaled_HW3 - mean_3) / std_3).movedim(-1, -3).contiguous()
