"""Acquisition functions: what a network says about each pixel -> how much buying there is worth.

Each is `fn(maps, *, mode, radius, parity, rng) -> score_HW`, (H, W) float32 without NaN, larger is better.
A new one is a function here and a line in ACQUISITIONS. Where `maps.cells` cuts the image into regions beforehand,
"the window" of a pixel is its region. Shapes: H x W label pixels.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ripu_ray.config import Mode
from ripu_ray.core.prediction import PixelMaps, pixel_maps
from ripu_ray.core.windows import region_impurity, region_mean

__all__ = ["ACQUISITIONS", "AcquisitionFn", "PixelMaps", "pixel_maps", "region_impurity", "region_mean"]

AcquisitionFn = Callable[..., Tensor]


def ripu(maps: PixelMaps, *, mode: Mode, radius: int, parity: bool, rng: np.random.Generator) -> Tensor:
    """Region impurity times prediction uncertainty.

    Args:
        maps: the pixels of one image.
        mode: "region": the window's mean entropy over log C; "pixel": the pixel's own entropy in nats.
        radius: of the window, in label pixels.
        parity: the reference's order among windows of one class, by scores slightly below 0.
        rng: not used.

    Returns:
        (H, W) float32: in [0, 1] for "region", in [0, log C] for "pixel".

    Source: the acquisition score of RIPU; tests/core/test_golden.py.
    """
    return _impurity(maps, radius, parity) * entropy(maps, mode=mode, radius=radius, parity=parity, rng=rng)


def entropy(maps: PixelMaps, *, mode: Mode, radius: int, parity: bool, rng: np.random.Generator) -> Tensor:
    """Entropy sampling: the window's mean entropy over log C, or the pixel's own entropy in nats.

    Args:
        maps: the pixels of one image.
        mode: which of the two: "region" or "pixel".
        radius: of the window, in label pixels; not used in mode "pixel".
        parity: not used.
        rng: not used.

    Returns:
        (H, W) float32: in [0, 1] for "region", in [0, log C] for "pixel".

    Source: the prediction uncertainty of RIPU.
    """
    if mode == "pixel":
        return maps.entropy_HW
    return uncertainty(maps, mode=mode, radius=radius, parity=parity, rng=rng)


def impurity(maps: PixelMaps, *, mode: Mode, radius: int, parity: bool, rng: np.random.Generator) -> Tensor:
    """Region impurity alone, the first factor of RIPU, in both modes.

    Args:
        maps: the pixels of one image.
        mode: not used.
        radius: of the window, in label pixels.
        parity: the reference's order among windows of one class, by values slightly below 0.
        rng: not used.

    Returns:
        (H, W) float32 in [0, 1].

    Source: the region impurity of RIPU.
    """
    return _impurity(maps, radius, parity)


def uncertainty(maps: PixelMaps, *, mode: Mode, radius: int, parity: bool, rng: np.random.Generator) -> Tensor:
    """Prediction uncertainty alone: the window's mean entropy over log C, in both modes.

    In mode "region" the same as `entropy`; in mode "pixel" the neighbourhood's, where `entropy` is the pixel's own.

    Args:
        maps: the pixels of one image.
        mode: not used.
        radius: of the window, in label pixels.
        parity: not used.
        rng: not used.

    Returns:
        (H, W) float32 in [0, 1].

    Source: the prediction uncertainty of RIPU.
    """
    return _mean(maps, maps.entropy_HW / math.log(maps.num_classes), radius)


def margin(maps: PixelMaps, *, mode: Mode, radius: int, parity: bool, rng: np.random.Generator) -> Tensor:
    """One less the lead of the best class over the second best.

    Args:
        maps: the pixels of one image.
        mode: "region": the window's mean; "pixel": the pixel's own.
        radius: of the window, in label pixels; not used in mode "pixel".
        parity: not used.
        rng: not used.

    Returns:
        (H, W) float32 in [0, 1].

    Source: margin sampling (best versus second best).
    """
    best_HW, second_HW = maps.best_two
    return _by_mode(maps, 1 - (best_HW - second_HW), mode, radius)


def confidence(maps: PixelMaps, *, mode: Mode, radius: int, parity: bool, rng: np.random.Generator) -> Tensor:
    """One less the probability of the best class.

    Args:
        maps: the pixels of one image.
        mode: "region": the window's mean; "pixel": the pixel's own.
        radius: of the window, in label pixels; not used in mode "pixel".
        parity: not used.
        rng: not used.

    Returns:
        (H, W) float32 in [0, 1 - 1 / C].

    Source: least confidence.
    """
    return _by_mode(maps, 1 - maps.best_two[0], mode, radius)


def random(maps: PixelMaps, *, mode: Mode, radius: int, parity: bool, rng: np.random.Generator) -> Tensor:
    """The baseline: every place is worth the same, drawn anew for each image and round.

    Args:
        maps: gives the size and the device.
        mode: not used.
        radius: not used.
        parity: not used.
        rng: the generator of this image and round.

    Returns:
        (H, W) float32, uniform in [0, 1).
    """
    drawn = rng.random(tuple(maps.predicted_HW.shape), dtype=np.float32)
    return torch.from_numpy(drawn).to(maps.predicted_HW.device)


def _by_mode(maps: PixelMaps, values_HW: Tensor, mode: Mode, radius: int) -> Tensor:
    return values_HW if mode == "pixel" else _mean(maps, values_HW, radius)


def _mean(maps: PixelMaps, values_HW: Tensor, radius: int) -> Tensor:
    return maps.cells.mean(values_HW) if maps.cells else region_mean(values_HW, radius)


def _impurity(maps: PixelMaps, radius: int, parity: bool) -> Tensor:
    if maps.cells:
        return maps.cells.impurity(maps.predicted_HW, maps.num_classes)
    return region_impurity(maps.predicted_HW, maps.num_classes, radius, parity=parity)


ACQUISITIONS: dict[str, AcquisitionFn] = {
    "ripu": ripu,
    "impurity": impurity,
    "uncertainty": uncertainty,
    "entropy": entropy,
    "margin": margin,
    "confidence": confidence,
    "random": random,
}
