"""Random views of training images, drawn from a generator that the caller seeds for each image.

Labels are moved as the image is, so that a label stays on its pixel. Beyond its border, the image is reflected, and so
are the labels, because the losses over all pixels would count empty pixels, too.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ripu_ray.config import AugmentationConfig
from ripu_ray.data.pictures import Id

Uint8 = NDArray[np.uint8]

COLOUR_CHANCE = 0.8
"""Of a change of the colours. Source: UniMatch V2."""
_BLUR_SIGMA = (0.1, 2.0)
"""Smallest and largest deviation, in pixels. Source: UniMatch V2."""
_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
"""Red, green and blue to brightness and two colour axes. Source: NTSC 1953."""


def move(
    image_HW3: Uint8, label_HW: NDArray[Id], settings: AugmentationConfig, rng: np.random.Generator
) -> tuple[Uint8, NDArray[Id]]:
    """Flip, scale and crop an image and its labels, which keep their sizes.

    Args:
        image_HW3: (h, w, 3) uint8, RGB.
        label_HW: (H, W) uint8 class ids, or int32 sets of classes, of any size that shows the same scene.
        settings: `flip` is the chance of a flip. A factor from `scale` scales the image, and a random part is cut out.
        rng: of this image and step.

    Returns:
        Image, bilinear, and labels, nearest, of the sizes of the inputs.
    """
    smallest, largest = settings.scale
    factor = math.exp(rng.uniform(math.log(smallest), math.log(largest)))
    shift_x, shift_y, chance = rng.uniform(-1, 1), rng.uniform(-1, 1), rng.random()
    sign = -1.0 if chance < settings.flip else 1.0
    if factor == 1 and sign == 1:
        return image_HW3, label_HW
    if factor == 1:  # by torch: a copy of a reversed array takes numpy 20 times as long
        return torch.tensor(image_HW3).flip(1).numpy(), torch.tensor(label_HW).flip(1).numpy()
    size, free = 1 / factor, abs(1 - 1 / factor)
    view_123 = torch.tensor([[[sign * size, 0, shift_x * free], [0, size, shift_y * free]]], dtype=torch.float64)

    def moved(values_KHW: Tensor, mode: str) -> Tensor:
        grid = F.affine_grid(view_123, [1, *values_KHW.shape], align_corners=False)
        values = values_KHW[None].double()
        return F.grid_sample(values, grid, mode, padding_mode="reflection", align_corners=False)[0]

    # Copies, since the arrays may be read-only.
    image_3HW = moved(torch.tensor(image_HW3).movedim(-1, 0), "bilinear")
    label = moved(torch.tensor(label_HW)[None], "nearest")[0].numpy().astype(label_HW.dtype)
    return _to_bytes(image_3HW), label


def recolour(image_HW3: Uint8, jitter: float, grey: float, blur: float, rng: np.random.Generator) -> Uint8:
    """Change the colours of an image and blur it.

    Args:
        image_HW3: (h, w, 3) uint8, RGB.
        jitter: with COLOUR_CHANCE, brightness, contrast and saturation are multiplied by factors from 1 - jitter to
            1 + jitter, and the hue is turned by up to half a jitter of a full turn. In [0, 1).
        grey: chance that all colour is removed.
        blur: chance of a Gaussian blur.
        rng: of this image, step and view.

    Returns:
        (h, w, 3) uint8.

    Source: the strong view of UniMatch V2; one matrix for saturation and hue as in NVIDIA DALI's `color_twist`.
    """
    brightness, contrast, saturation = rng.uniform(1 - jitter, 1 + jitter, 3)
    angle = 2 * math.pi * rng.uniform(-jitter / 2, jitter / 2)
    sigma = rng.uniform(*_BLUR_SIGMA)
    jitters, greys, blurs = rng.random(3) < (COLOUR_CHANCE, grey, blur)
    if not (jitters and jitter) and not greys and not blurs:
        return image_HW3
    image_3HW = torch.tensor(image_HW3).movedim(-1, 0).float()
    if jitters and jitter:
        cos, sin = saturation * math.cos(angle), saturation * math.sin(angle)
        turn_33 = torch.tensor([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
        twist_33 = torch.linalg.inv(_YIQ) @ turn_33.float() @ _YIQ
        # Elementwise, since the last bit of a matrix product depends on the library and the threads.
        image_3HW = (twist_33[:, :, None, None] * image_3HW).sum(1)
        mean = float(np.float32(image_HW3.mean(dtype=np.float64)))
        image_3HW = brightness * (mean + contrast * (image_3HW - mean))
    if greys:
        image_3HW = (_YIQ[0, :, None, None] * image_3HW).sum(0, keepdim=True).expand(3, -1, -1)
    return _to_bytes(_blurred(image_3HW, sigma) if blurs else image_3HW)


def augment(
    image_HW3: Uint8, label_HW: NDArray[Id], settings: AugmentationConfig, rng: np.random.Generator
) -> tuple[Uint8, NDArray[Id]]:
    """A view of an image and its labels by all of `settings`: see `move` and `recolour`."""
    image_HW3, label_HW = move(image_HW3, label_HW, settings, rng)
    return recolour(image_HW3, settings.jitter, 0.0, settings.blur, rng), label_HW


def _blurred(image_3HW: Tensor, sigma: float) -> Tensor:
    radius = math.ceil(3 * sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    bell = torch.exp(-(offsets**2) / (2 * sigma**2))
    weights = (bell / bell.sum()).tolist()
    padded = F.pad(image_3HW[None], (radius, radius, radius, radius), mode="replicate")[0]
    height, width = image_3HW.shape[1:]
    rows = torch.stack([weight * padded[:, :, k : k + width] for k, weight in enumerate(weights)]).sum(0)
    return torch.stack([weight * rows[:, k : k + height] for k, weight in enumerate(weights)]).sum(0)


def _to_bytes(image_3HW: Tensor) -> Uint8:
    array: Uint8 = image_3HW.round().clamp(0, 255).byte().movedim(0, -1).contiguous().numpy()
    return array
