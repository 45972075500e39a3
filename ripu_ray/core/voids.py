"""Shares of void among bought pixels, counted by predicted class and by distance to an outline of the prediction.

Shapes: H x W label pixels, C classes, D distances.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ripu_ray.core.metrics import IGNORE_LABEL

RADII = (1, 2, 4, 8)
"""Radii, in label pixels, of the windows that define the D = 5 distances."""
_PRIOR_PIXELS = 10
"""Weight of the overall void share in each count, in pixels, so that small counts have a small effect."""


def outline_distance(predicted_HW: Tensor) -> Tensor:
    """Distance of each pixel to the nearest other predicted class.

    Args:
        predicted_HW: (H, W) uint8.

    Returns:
        (H, W) int64 in 0..4: number of windows of `RADII` around the pixel that contain one class. 0 is a pixel beside
        an outline, 4 is more than 8 pixels away from any.
    """
    ids_1HW = predicted_HW.float()[None]
    distance_HW = torch.zeros(predicted_HW.shape, dtype=torch.int64, device=predicted_HW.device)
    for radius in RADII:
        distance_HW += (_largest(ids_1HW, radius) == -_largest(-ids_1HW, radius))[0]
    return distance_HW


def _largest(values_1HW: Tensor, radius: int) -> Tensor:
    """Maximum over the window around every pixel, cut at the border."""
    side = 2 * radius + 1
    columns = F.max_pool2d(values_1HW, (side, 1), stride=1, padding=(radius, 0))
    return F.max_pool2d(columns, (1, side), stride=1, padding=(0, radius))


def count_voids(
    predicted_HW: Tensor, label_HW: NDArray[np.uint8], bought_HW: NDArray[np.bool_], num_classes: int
) -> NDArray[np.int64]:
    """(2, C, D) int64: bought pixels of one image by predicted class and distance, and void pixels among them.

    Args:
        predicted_HW: (H, W) uint8 predicted classes.
        label_HW: (H, W) uint8, IGNORE_LABEL where void; read only where bought.
        bought_HW: (H, W) bool.
        num_classes: C.
    """
    depth = len(RADII) + 1
    index_HW = predicted_HW.cpu().numpy().astype(np.int64) * depth + outline_distance(predicted_HW).cpu().numpy()
    counts = [
        np.bincount(index_HW[where_HW], minlength=num_classes * depth).reshape(num_classes, depth)
        for where_HW in (bought_HW, bought_HW & (label_HW == IGNORE_LABEL))
    ]
    return np.stack(counts)


def void_shares(counts_2CD: NDArray[np.int64]) -> NDArray[np.float32]:
    """(C, D) float32 in [0, 1]: (void + 10 * s) / (pixels + 10), where s is the void share of all counts together."""
    pixels_CD, void_CD = counts_2CD
    overall = void_CD.sum() / max(int(pixels_CD.sum()), 1)
    shares_CD: NDArray[np.float32] = ((void_CD + _PRIOR_PIXELS * overall) / (pixels_CD + _PRIOR_PIXELS)).astype(
        np.float32
    )
    return shares_CD


def expected_void(predicted_HW: Tensor, shares_CD: NDArray[np.float32]) -> Tensor:
    """(H, W) float32 void share to expect at each pixel, from `void_shares`."""
    shares = torch.from_numpy(shares_CD).to(predicted_HW.device)
    return shares[predicted_HW.long(), outline_distance(predicted_HW)]
