"""From a score map to the centres to buy: exact greedy selection in one scan over a sorted list of candidates.

Shapes: H x W label pixels, n chosen centres.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ripu_ray.errors import NonFiniteError

_SAMPLE = 32768
"""Pixels in the sample from which the lowest score of the candidates is estimated."""

_CHUNK = 16384
"""Candidates turned into Python integers at a time."""


def select(
    score_HW: Tensor, excluded_HW: Tensor | NDArray[np.bool_], count: int, suppression_radius: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Choose the best remaining pixel and exclude the square around it, `count` times or until no pixel is left.

    Args:
        score_HW: (H, W) float32 on any device.
        excluded_HW: (H, W) bool, True where no centre may be.
        count: number of centres to choose, >= 0.
        suppression_radius: of the square that each choice excludes.

    Returns:
        Centres (n, 2) int32 (row, col) in the order of choice, n <= count, and their scores (n,) float32.
        Among equal scores the smallest column comes first, then the smallest row.

    Raises:
        ValueError: the scores are not float32, the shapes differ, or count or radius is negative.
        NonFiniteError: a NaN or an infinity among the scores.

    Source: the greedy acquisition of RIPU, with the ties of the reference implementation; tests/core/test_selection.py
    compares with one full-map maximum per choice.
    """
    blocked_HW = checked(score_HW, excluded_HW, count, suppression_radius)
    board = Board(blocked_HW, suppression_radius)
    chosen: list[int] = []
    wanted = 6 * count
    while len(chosen) < count:
        lowest = _threshold(score_HW, blocked_HW, wanted)
        _scan(board.free(*candidates(score_HW, lowest)), board, count, chosen)
        if lowest == -np.inf:
            break
        wanted *= 8
    centres = board.centres(chosen)
    return centres, score_HW[tuple(torch.from_numpy(centres).long().T)].cpu().numpy()


class Board:
    """The blocked and free positions of an image, padded by the radius so that a square never wraps to another row.

    Args:
        blocked_HW: (H, W) bool, True where no centre may be.
        radius: of the square that each choice blocks.
    """

    def __init__(self, blocked_HW: NDArray[np.bool_], radius: int) -> None:
        height, width = blocked_HW.shape
        self.radius = radius
        self.stride = width + 2 * radius
        self.bitmap = bytearray((height + 2 * radius) * self.stride)
        self._bitmap_N = np.frombuffer(self.bitmap, dtype=np.bool_)
        self._bitmap_N.reshape(-1, self.stride)[radius:, radius:][:height, :width] = blocked_HW

    def positions(self, rows_M: NDArray[np.int64], cols_M: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions of these pixels in `bitmap`."""
        position_M: NDArray[np.int64] = (rows_M + self.radius) * self.stride + cols_M + self.radius
        return position_M

    def free(self, rows_M: NDArray[np.int64], cols_M: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions of the free ones of these pixels."""
        position_M = self.positions(rows_M, cols_M)
        return position_M[~self._bitmap_N[position_M]]

    def block(self, position: int) -> None:
        """Block the square around a position."""
        side = 2 * self.radius + 1
        row = b"\1" * side
        first = position - self.radius * self.stride - self.radius
        for left in range(first, first + side * self.stride, self.stride):
            self.bitmap[left : left + side] = row

    def centres(self, chosen: list[int]) -> NDArray[np.int32]:
        """Rows and columns (n, 2) of positions."""
        rows_n, cols_n = np.divmod(np.array(chosen, dtype=np.int64), self.stride)
        return (np.stack([rows_n, cols_n], axis=1) - self.radius).astype(np.int32)


def checked(
    score_HW: Tensor, excluded_HW: Tensor | NDArray[np.bool_], count: int, suppression_radius: int
) -> NDArray[np.bool_]:
    """Check the arguments of `select`, and return `excluded_HW` as an array. Raises as `select`."""
    blocked_HW = excluded_HW.cpu().numpy() if isinstance(excluded_HW, Tensor) else excluded_HW
    height, width = score_HW.shape
    if score_HW.dtype != torch.float32:
        raise ValueError(f"expected float32 scores, found {score_HW.dtype}")
    if blocked_HW.shape != (height, width) or count < 0 or suppression_radius < 0:
        raise ValueError(
            f"expected equal shapes, count and radius >= 0, found scores {(height, width)}, excluded "
            f"{blocked_HW.shape}, count {count}, radius {suppression_radius}"
        )
    if not torch.isfinite(torch.stack(torch.aminmax(score_HW))).all():
        raise NonFiniteError("a NaN or an infinity among the scores")
    return blocked_HW


def _threshold(score_HW: Tensor, blocked_HW: NDArray[np.bool_], wanted: int) -> float:
    """A score that about `wanted` free pixels reach, estimated from a sample; -inf if that is all of them."""
    step = max(blocked_HW.size // _SAMPLE, 1) | 1
    sample = score_HW.reshape(-1)[::step].cpu().numpy()[~blocked_HW.reshape(-1)[::step]]
    rank = -(-wanted // step)
    if rank >= len(sample):
        return -np.inf
    return float(np.partition(sample, len(sample) - 1 - rank)[len(sample) - 1 - rank])


def candidates(score_HW: Tensor, lowest: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the pixels that reach `lowest`, best first, ties by column and then by row."""
    height, width = score_HW.shape
    score_N = score_HW.reshape(-1)
    if score_N.is_cpu:
        index_M = np.flatnonzero(score_N.numpy() >= np.float32(lowest))
        score_M = score_N.numpy()[index_M]
    else:
        found_M = (score_N >= lowest).nonzero()[:, 0]
        index_M, score_M = found_M.cpu().numpy(), score_N[found_M].cpu().numpy()
    rows_M, cols_M = np.divmod(index_M, width)
    # One integer key sorts by score, column and row: with the sign handled, the bits of a float sort as the float.
    # Adding 0 converts -0 to 0.
    bits_M = (score_M + np.float32(0)).view(np.uint32)
    falling_M = np.where(bits_M >> 31, bits_M, ~bits_M & np.uint32(0x7FFFFFFF))
    key_M = np.sort(falling_M.astype(np.uint64) << np.uint64(32) | (cols_M * height + rows_M).astype(np.uint64))
    cols_M, rows_M = np.divmod((key_M & np.uint64(0xFFFFFFFF)).astype(np.int64), height)
    return rows_M, cols_M


def _scan(position_M: NDArray[np.int64], board: Board, count: int, chosen: list[int]) -> None:
    """Choose each free position in order and block the square around it, until `count` are chosen."""
    for start in range(0, len(position_M), _CHUNK):
        for position in position_M[start : start + _CHUNK].tolist():
            if board.bitmap[position]:
                continue
            if len(chosen) == count:
                return
            chosen.append(position)
            board.block(position)
