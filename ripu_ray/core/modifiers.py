"""What may stand between an acquisition function and the purchase: a stochastic ranking, and turns for the classes.

Greedy choice trusts the scores; where the first model is poor, these spread the purchase. Shapes: H x W label pixels,
C classes, n chosen centres, M candidates.
"""

import heapq

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ripu_ray.core.selection import Board, candidates, checked


def stochastic(score_HW: Tensor, power: float, rng: np.random.Generator) -> Tensor:
    """Scores whose greedy choice is a draw without replacement, with chances that grow as score ** power.

    Args:
        score_HW: (H, W) float32; a score of 0 or less counts as the smallest normal float, so that it comes last.
        power: > 0; towards 0 the choice is uniform, for large powers it is the greedy one.
        rng: the generator of this image and round.

    Returns:
        (H, W) float32: power * log(score) + Gumbel noise. Comparable between images.

    Source: Gumbel-top-k; tests/core/test_modifiers.py compares frequencies with the definition.
    """
    # -log of a standard exponential is a standard Gumbel
    exponential_HW = rng.standard_exponential(tuple(score_HW.shape), dtype=np.float32)
    exponential = torch.from_numpy(exponential_HW).clamp_(min=torch.finfo(torch.float32).tiny).to(score_HW.device)
    return score_HW.clamp(min=torch.finfo(torch.float32).tiny).log_().mul_(power).sub_(exponential.log_())


def select_balanced(
    score_HW: Tensor,
    excluded_HW: Tensor | NDArray[np.bool_],
    count: int,
    suppression_radius: int,
    predicted_HW: Tensor,
    served_C: NDArray[np.integer],
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """`select`, but the classes predicted at the free pixels take turns: one choice each a turn, best scores first.

    Args:
        score_HW, excluded_HW, count, suppression_radius: as for `select`.
        predicted_HW: (H, W) uint8, the class that a choice of this pixel counts for.
        served_C: (C,) how many turns each class has had.

    Returns:
        Centres (n, 2) int32 in the order of choice, and a rank (n,) float32 that does not rise: minus the turn, and in
        (0, 1) above it the score squashed. A class with no free pixel left drops out.

    Raises:
        As `select`.

    Source: ours; tests/core/test_modifiers.py compares with one full-map maximum per choice.
    """
    blocked_HW = checked(score_HW, excluded_HW, count, suppression_radius)
    board = Board(blocked_HW, suppression_radius)
    rows_M, cols_M = candidates(score_HW, -np.inf)
    free_M = ~blocked_HW[rows_M, cols_M]
    position_M = board.positions(rows_M[free_M], cols_M[free_M])
    class_M = predicted_HW.cpu().numpy()[rows_M[free_M], cols_M[free_M]]
    queues = {int(label): iter(np.flatnonzero(class_M == label).tolist()) for label in np.unique(class_M)}
    # (turn, index among all candidates, class): candidates are in order of score, so the smallest is served next.
    waiting = [(int(served_C[label]), next(queue), label) for label, queue in queues.items()]
    heapq.heapify(waiting)
    chosen: list[int] = []
    turns: list[int] = []
    while waiting and len(chosen) < count:
        turn, index, label = heapq.heappop(waiting)
        position = int(position_M[index])
        if not board.bitmap[position]:
            board.bar(position)
            chosen.append(position)
            turns.append(turn)
            turn += 1
        following = next((index for index in queues[label] if not board.bitmap[position_M[index]]), None)
        if following is not None:
            heapq.heappush(waiting, (turn, following, label))
    centres = board.centres(chosen)
    score_n = score_HW[tuple(torch.from_numpy(centres).long().T)].cpu().numpy()
    return centres, (0.5 + 0.5 * score_n / (1 + np.abs(score_n)) - np.array(turns, np.float32)).astype(np.float32)
