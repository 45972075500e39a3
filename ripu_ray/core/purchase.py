"""The purchase in one image in one round: from logits to scores, and from scores, regions and budget to centres.

Shapes: H x W label pixels, n centres, C classes.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ripu_ray.config import StrategyConfig
from ripu_ray.config.registry import ACQUISITIONS
from ripu_ray.core.acquisition import AcquisitionFunction, Query, ripu
from ripu_ray.core.budget import allowance
from ripu_ray.core.modifiers import select_balanced
from ripu_ray.core.prediction import PixelMaps, pixel_maps
from ripu_ray.core.regions import Regions
from ripu_ray.core.selection import select
from ripu_ray.errors import RipuError, ScoreError, first_line


def score_image(logits_CHW: Tensor, size: tuple[int, int], acquisition: str, query: Query) -> tuple[Tensor, PixelMaps]:
    """Score every pixel of one image.

    Args:
        logits_CHW: (C, h, w) floating point, at any resolution.
        size: (H, W) of the labels.
        acquisition: name of a registered acquisition function.
        query: context of the scores.

    Returns:
        (H, W) float32 score, larger is better, and the maps that it was computed from.

    Raises:
        NonFiniteError: a NaN or an infinity among the logits.
        ScoreError: the acquisition function of a plug-in failed, or did not return such a score.
    """
    maps = pixel_maps(logits_CHW, size)
    function: AcquisitionFunction = ACQUISITIONS[acquisition]
    if getattr(function, "__module__", "") == ripu.__module__:
        return function(maps, query), maps
    try:
        score_HW = function(maps, query)
    except RipuError:
        raise
    except Exception as error:
        raise ScoreError(f"acquisition {acquisition} failed: {type(error).__name__}: {first_line(error)}") from error
    return _checked(score_HW, acquisition, maps), maps


def _checked(score_HW: object, acquisition: str, maps: PixelMaps) -> Tensor:
    """The score of a function from outside this package, if it is one."""
    if not isinstance(score_HW, Tensor):
        found = type(score_HW).__name__
    elif score_HW.shape != maps.predicted_HW.shape:
        found = f"shape {tuple(score_HW.shape)}"
    elif not score_HW.is_floating_point():
        found = str(score_HW.dtype)
    elif score_HW.isnan().any():
        found = f"{int(score_HW.isnan().sum())} NaN"
    else:
        return score_HW.detach().to(maps.predicted_HW.device, torch.float32)
    raise ScoreError(
        f"acquisition {acquisition}: expected a float32 tensor of shape {tuple(maps.predicted_HW.shape)} without NaN, "
        f"found {found}"
    )


def buy(
    score_HW: Tensor,
    predicted_HW: Tensor,
    num_classes: int,
    regions: Regions,
    strategy: StrategyConfig,
    round_index: int,
    before_N2: NDArray[np.int32],
    prefix_pixels: int | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Select the best regions that fit the remaining budget, and repeat until none fits.

    Args:
        score_HW: (H, W) float32, larger is better.
        predicted_HW: (H, W) uint8, predicted classes; used by `strategy.balanced`.
        num_classes: C.
        regions: of the image.
        strategy: budget, rounds, balance, and parity, with which the selection is not repeated.
        round_index: 0-based.
        before_N2: (N, 2) centres bought in earlier rounds.
        prefix_pixels: None: the image has its own budget. Else: select the best regions in order until they have this
            number of pixels or none is left.

    Returns:
        Centres (n, 2) int32, best first, and scores (n,) float32.

    Source: the selection of RIPU; tests/core/test_golden.py, tests/simulation/test_loop.py.
    """
    size = score_HW.shape[0], score_HW.shape[1]
    num_before, centres, scores = len(before_N2), before_N2, [np.empty(0, np.float32)]
    while True:
        if prefix_pixels is None:
            left = allowance(strategy, [size], round_index, regions.pixels(centres))
            excluded, largest = regions.still_open(centres, left.pixels)
            count = left.num_regions(largest)
        else:
            excluded, largest = regions.still_open(centres, None)
            missing = max(prefix_pixels - regions.pixels(centres[num_before:]), 0)
            count = -(-missing // max(largest, 1))
        if strategy.balanced:
            chosen = predicted_HW.cpu().numpy()[tuple(centres[num_before:].T)]
            served_C = np.bincount(chosen, minlength=num_classes)
            more = select_balanced(score_HW, excluded, count, regions.suppression, predicted_HW, served_C)
        else:
            more = select(score_HW, excluded, count, regions.suppression)
        centres = np.concatenate([centres, more[0]])
        scores.append(more[1])
        if strategy.parity or not len(more[0]):
            return centres[num_before:], np.concatenate(scores)
