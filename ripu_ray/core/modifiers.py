"""Modifiers of the greedy selection: weights, a stochastic ranking, and a balance of predicted classes.

Shapes: H x W label pixels, C classes, n chosen centres, M candidates.
"""

import heapq
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ripu_ray.core.selection import Board, candidates, checked


def stochastic(score_HW: Tensor, power: float, rng: np.random.Generator) -> Tensor:
    """Perturb scores so that the greedy selection draws without replacement, with probability ~ score ** power.

    Args:
        score_HW: (H, W) float32; scores of 0 or less have weight 0: they rank last, in random order.
        power: > 0; near 0 the selection is uniform among positive scores, for large powers it is greedy.
        rng: the generator of this image and round.

    Returns:
        (H, W) float32: power * log(score) + Gumbel noise, comparable between images.

    Source: Gumbel-top-k; tests/core/test_modifiers.py compares frequencies with the definition.
    """
    # -log of a standard exponential is a standard Gumbel
    exponential_HW = rng.standard_exponential(tuple(score_HW.shape), dtype=np.float32)
    smallest = torch.finfo(torch.float32).tiny
    exponential = torch.from_numpy(exponential_HW).clamp_(min=smallest).to(score_HW.device)
    weight_HW = score_HW.clamp(min=smallest).log_().mul_(power)
    if power < 1:
        # smallest ** power is not small, and most windows may have a score of 0.
        weight_HW.masked_fill_(score_HW <= 0, math.log(smallest))
    return weight_HW.sub_(exponential.log_())


def lowered(score_HW: Tensor, weight_HW: Tensor) -> Tensor:
    """Lower scores by weights: score * weight, or score * (2 - weight) for a negative score, to lower it, too.

    Args:
        score_HW: (H, W) float32.
        weight_HW: (H, W) float32 in [0, 1]; 1 keeps a score.

    Returns:
        (H, W) float32; the smallest float, with which a plug-in may say "never", stays finite.
    """
    lowered_HW = torch.where(score_HW > 0, score_HW * weight_HW, score_HW * (2 - weight_HW))
    return lowered_HW.clamp_(min=torch.finfo(torch.float32).min)


def select_balanced(
    score_HW: Tensor,
    excluded_HW: Tensor | NDArray[np.bool_],
    count: int,
    suppression_radius: int,
    predicted_HW: Tensor,
    served_C: NDArray[np.integer],
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Select as `select` does, but in turns: one centre of each predicted class per turn, best scores first.

    Args:
        score_HW, excluded_HW, count, suppression_radius: as for `select`.
        predicted_HW: (H, W) uint8, the predicted class of each pixel.
        served_C: (C,) number of previous turns of each class.

    Returns:
        Centres (n, 2) int32 in the order of choice, and non-increasing ranks (n,) float32: minus the turn, plus the
        score mapped into (0, 1). A class without free pixels gets no more turns.

    Raises as `select` does. Source: ours; tests/core/test_modifiers.py compares with one full-map maximum per choice.
    """
    blocked_HW = checked(score_HW, excluded_HW, count, suppression_radius)
    board = Board(blocked_HW, suppression_radius)
    rows_M, cols_M = candidates(score_HW, -np.inf)
    free_M = ~blocked_HW[rows_M, cols_M]
    position_M = board.positions(rows_M[free_M], cols_M[free_M])
    class_M = predicted_HW.cpu().numpy()[rows_M[free_M], cols_M[free_M]]
    queues = {int(label): iter(np.flatnonzero(class_M == label).tolist()) for label in np.unique(class_M)}
    # (turn, index among all candidates, class): candidates are in order of score, so the smallest tuple is next.
    waiting = [(int(served_C[label]), next(queue), label) for label, queue in queues.items()]
    heapq.heapify(waiting)
    chosen: list[int] = []
    turns: list[int] = []
    while waiting and len(chosen) < count:
        turn, index, label = heapq.heappop(waiting)
        position = int(position_M[index])
        if not board.bitmap[position]:
            board.block(position)
            chosen.append(position)
            turns.append(turn)
            turn += 1
        following = next((index for index in queues[label] if not board.bitmap[position_M[index]]), None)
        if following is not None:
            heapq.heappush(waiting, (turn, following, label))
    centres = board.centres(chosen)
    score_n = score_HW[tuple(torch.from_numpy(centres).long().T)].cpu().numpy()
    return centres, (0.5 + 0.5 * score_n / (1 + np.abs(score_n)) - np.array(turns, np.float32)).astype(np.float32)
