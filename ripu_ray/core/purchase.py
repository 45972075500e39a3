"""The purchase in one image in one round: from logits to scores, and from scores, regions and budget to centres.

Shapes: H x W label pixels, n centres, C classes.
"""

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ripu_ray.config import StrategyConfig
from ripu_ray.config.registry import ACQUISITIONS
from ripu_ray.core.acquisition import Acquisition, Query
from ripu_ray.core.budget import allowance
from ripu_ray.core.diversity import select_diverse
from ripu_ray.core.modifiers import select_balanced
from ripu_ray.core.prediction import PixelMaps, pixel_maps
from ripu_ray.core.regions import Regions
from ripu_ray.core.selection import select
from ripu_ray.errors import ScoreError, blamed


def score_image(
    logits_CHW: Tensor,
    size: tuple[int, int],
    acquisition: str,
    query: Query,
    features_Dhw: Tensor | None = None,
    draws_TChw: Tensor | None = None,
) -> tuple[Tensor, PixelMaps]:
    """Score every pixel of one image.

    Args:
        logits_CHW: (C, h, w) floating point, at any resolution.
        size: (H, W) of the labels.
        acquisition: name of a registered acquisition function.
        query: context of the scores. For functions that need `bought_C`, None stands for zeros.
        features_Dhw: (D, h, w) float, for functions that need features.
        draws_TChw: (T, C, h, w) float, for functions that need dropout.

    Returns:
        (H, W) float32 score, larger is better, and the maps that it was computed from.

    Raises:
        NonFiniteError: a NaN or an infinity among the logits.
        ScoreError: the acquisition function of a plug-in failed, or did not return such a score.
    """
    maps = replace(pixel_maps(logits_CHW, size), features_Dhw=features_Dhw, draws_TChw=draws_TChw)
    registered: Acquisition = ACQUISITIONS[acquisition]
    if "bought" in registered.needs and query.bought_C is None:
        query = replace(query, bought_C=(0,) * maps.num_classes)
    if not registered.is_foreign:
        return registered.function(maps, query), maps
    given = maps.predicted_HW, maps.entropy_HW, maps.logits_Chw
    kept = [tensor.clone() for tensor in given]  # torch's count of changes misses those of a numpy view
    options = deepcopy(query.options)
    with blamed(f"acquisition {acquisition} failed", ScoreError):
        score_HW = _checked(registered.function(maps, replace(query, options=options), **options), acquisition, maps)
    if not all(map(torch.equal, given, kept)):
        raise ScoreError(f"acquisition {acquisition}: changed its maps in place, expected a new tensor")
    return score_HW, maps


def _checked(score_HW: object, acquisition: str, maps: PixelMaps) -> Tensor:
    """The score of a function from outside this package, if it is one."""
    if not isinstance(score_HW, Tensor):
        found = type(score_HW).__name__
    elif score_HW.shape != maps.predicted_HW.shape:
        found = f"shape {tuple(score_HW.shape)}"
    elif not score_HW.is_floating_point() or score_HW.layout != torch.strided:
        found = f"{score_HW.dtype}, {score_HW.layout}"
    else:
        score_HW = score_HW.detach().to(maps.predicted_HW.device, torch.float32)
        if score_HW.isfinite().all():
            return score_HW
        found = f"{int(score_HW.isnan().sum())} NaN and {int(score_HW.isinf().sum())} infinite"
    raise ScoreError(
        f"acquisition {acquisition}: expected a float32 tensor of shape {tuple(maps.predicted_HW.shape)}, all finite, "
        f"found {found}"
    )


@dataclass(frozen=True)
class ByClass:
    """The part of a round that is bought class by class.

    Attributes:
        share: of the round's budget, in (0, 1].
        order: all classes, in random order, so that what does not fit goes to random classes.
        score: class -> (H, W) float32 score of its list.
    """

    share: float
    order: Sequence[int]
    score: Callable[[int], Tensor]


def class_limit(share: float, allowed_pixels: int, num_served: int, num_classes: int) -> int:
    """Pixels that the first `num_served` classes may have together: floor(share * allowed * served / C)."""
    return math.floor(Fraction(str(share)) * allowed_pixels * num_served / num_classes)


def _buy_by_class(
    by_class: ByClass, allowed_pixels: int, regions: Regions, centres: NDArray[np.int32]
) -> tuple[NDArray[np.int32], list[NDArray[np.float32]]]:
    """Serve one class after the other with the best of its list that fits its part. Returns all centres, new scores."""
    before_pixels, scores = regions.pixels(centres), [np.empty(0, np.float32)]
    for number, label in enumerate(by_class.order):
        limit = before_pixels + class_limit(by_class.share, allowed_pixels, number + 1, len(by_class.order))
        while True:
            left = limit - regions.pixels(centres)
            excluded, largest = regions.still_open(centres, left)
            count = left // max(largest, 1)
            if not count or excluded.all():
                break
            more = select(by_class.score(label), excluded, count, regions.suppression)
            centres = np.concatenate([centres, more[0]])
            scores.append(more[1])
    return centres, scores


def _open_regions(
    strategy: StrategyConfig,
    round_index: int,
    regions: Regions,
    centres: NDArray[np.int32],
    num_before: int,
    prefix_pixels: int | None,
    size: tuple[int, int],
) -> tuple[NDArray[np.bool_], int]:
    """(H, W) pixels that cannot be centres any more, and how many regions to select. See `buy`."""
    if prefix_pixels is None:
        left = allowance(strategy, [size], round_index, regions.pixels(centres))
        excluded, largest = regions.still_open(centres, left.pixels)
        return excluded, left.num_regions(largest)
    excluded, largest = regions.still_open(centres, None)
    missing = max(prefix_pixels - regions.pixels(centres[num_before:]), 0)
    return excluded, -(-missing // max(largest, 1))


def buy(
    score_HW: Tensor,
    predicted_HW: Tensor,
    num_classes: int,
    regions: Regions,
    strategy: StrategyConfig,
    round_index: int,
    before_N2: NDArray[np.int32],
    prefix_pixels: int | None = None,
    by_class: ByClass | None = None,
    features_Dhw: Tensor | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Select the best regions that fit the remaining budget, and repeat until none fits.

    Args:
        score_HW: (H, W) float32, larger is better.
        predicted_HW, num_classes: (H, W) uint8 predicted classes, and their number C; used by `strategy.balanced`.
        regions: of the image.
        strategy, round_index: budget, rounds, balance and parity (which does not repeat the selection); 0-based round.
        before_N2: (N, 2) centres bought in earlier rounds.
        prefix_pixels: None: the image has its own budget. Else: select the best regions in order until they have this
            number of pixels or none is left.
        by_class: of a part of the image's own budget that is bought before the rest, class by class.
        features_Dhw: (D, h, w) float, used by `strategy.diversity`.

    Returns:
        Centres (n, 2) int32, best first (in each class of `by_class`, and then of all), and scores (n,) float32.

    Source: the selection of RIPU; tests/core/test_golden.py, tests/simulation/test_loop.py.
    """
    size = score_HW.shape[0], score_HW.shape[1]
    num_before, centres, scores = len(before_N2), before_N2, [np.empty(0, np.float32)]
    if by_class:
        left = allowance(strategy, [size], round_index, regions.pixels(centres)).pixels or 0
        centres, scores = _buy_by_class(by_class, left, regions, centres)
    while True:
        excluded, count = _open_regions(strategy, round_index, regions, centres, num_before, prefix_pixels, size)
        if strategy.spread.balanced:
            served_C = np.bincount(predicted_HW.cpu().numpy()[tuple(centres[num_before:].T)], minlength=num_classes)
            more = select_balanced(score_HW, excluded, count, regions.suppression, predicted_HW, served_C)
        elif strategy.diversity:
            assert features_Dhw is not None
            more = select_diverse(score_HW, excluded, count, strategy.diversity, regions, centres, features_Dhw)
        else:
            more = select(score_HW, excluded, count, regions.suppression)
        centres = np.concatenate([centres, more[0]])
        scores.append(more[1])
        if strategy.parity or not len(more[0]):
            return centres[num_before:], np.concatenate(scores)
