"""Score map -> the centres to buy: exact greedy selection in one scan over a sorted list of candidates.

Shapes: H x W label pixels, n chosen centres.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ripu_ray.errors import NonFiniteError

_SAMPLE = 32768
"""Pixels that are looked at to guess how low the scores of the candidates must reach."""

_CHUNK = 16384
"""Candidates turned into Python integers at a time."""


def select(
    score_HW: Tensor, excluded_HW: Tensor | NDArray[np.bool_], count: int, suppression_radius: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Choose the best remaining pixel, exclude its surroundings, and again, `count` times or until nothing is left.

    Args:
        score_HW: (H, W) float32 on any device.
        excluded_HW: (H, W) bool, True where no centre may be.
        count: how many to choose, >= 0.
        suppression_radius: each choice excludes the square of this radius around it.

    Returns:
        Centres (n, 2) int32 (row, col) in the order of choice, n <= count, and their scores (n,) float32.
        Among equal scores the smallest column comes first, then the smallest row.

    Raises:
        ValueError: scores not float32, shapes that differ, or a negative count or radius.
        NonFiniteError: a NaN or an infinity among the scores.

    Source: the greedy acquisition of RIPU, ties as in the reference implementation;
    tests/core/test_selection.py compares with one full-map maximum per choice.
    """
    height, width = score_HW.shape
    blocked_HW = excluded_HW.cpu().numpy() if isinstance(excluded_HW, Tensor) else excluded_HW
    if score_HW.dtype != torch.float32:
        raise ValueError(f"expected float32 scores, found {score_HW.dtype}")
    if blocked_HW.shape != (height, width) or count < 0 or suppression_radius < 0:
        raise ValueError(
            f"expected equal shapes, count and radius >= 0, found scores {(height, width)}, excluded "
            f"{blocked_HW.shape}, count {count}, radius {suppression_radius}"
        )
    if not torch.isfinite(torch.stack(torch.aminmax(score_HW))).all():
        raise NonFiniteError("a NaN or an infinity among the scores")
    # Wider than the image by the radius on each side, so that a choice near the border bars no pixel elsewhere.
    stride = width + 2 * suppression_radius
    bitmap = bytearray((height + 2 * suppression_radius) * stride)
    bitmap_N = np.frombuffer(bitmap, dtype=np.bool_)
    inside_HW = bitmap_N.reshape(-1, stride)[suppression_radius:, suppression_radius:][:height, :width]
    inside_HW[...] = blocked_HW
    chosen: list[int] = []
    wanted = 6 * count
    while len(chosen) < count:
        lowest = _threshold(score_HW, blocked_HW, wanted)
        rows_M, cols_M = _candidates(score_HW, lowest)
        position_M = (rows_M + suppression_radius) * stride + cols_M + suppression_radius
        _scan(position_M[~bitmap_N[position_M]], bitmap, stride, suppression_radius, count, chosen)
        if lowest == -np.inf:
            break
        wanted *= 8
    rows_n, cols_n = np.divmod(np.array(chosen, dtype=np.int64), stride)
    centres = np.stack([rows_n, cols_n], axis=1) - suppression_radius
    score_n = score_HW[torch.from_numpy(centres[:, 0]), torch.from_numpy(centres[:, 1])].cpu().numpy()
    return centres.astype(np.int32), score_n


def _threshold(score_HW: Tensor, blocked_HW: NDArray[np.bool_], wanted: int) -> float:
    """A score that about `wanted` free pixels reach, guessed from a sample; -inf when that is all of them."""
    step = max(blocked_HW.size // _SAMPLE, 1) | 1
    sample = score_HW.reshape(-1)[::step].cpu().numpy()[~blocked_HW.reshape(-1)[::step]]
    rank = -(-wanted // step)
    if rank >= len(sample):
        return -np.inf
    return float(np.partition(sample, len(sample) - 1 - rank)[len(sample) - 1 - rank])


def _candidates(score_HW: Tensor, lowest: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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
    # One integer sorts by all three: an IEEE float's bits order as the float does once the sign is taken care of.
    # Adding 0 makes -0 the same as 0.
    bits_M = (score_M + np.float32(0)).view(np.uint32)
    falling_M = np.where(bits_M >> 31, bits_M, ~bits_M & np.uint32(0x7FFFFFFF))
    key_M = np.sort(falling_M.astype(np.uint64) << np.uint64(32) | (cols_M * height + rows_M).astype(np.uint64))
    cols_M, rows_M = np.divmod((key_M & np.uint64(0xFFFFFFFF)).astype(np.int64), height)
    return rows_M, cols_M


def _scan(
    position_M: NDArray[np.int64], bitmap: bytearray, stride: int, radius: int, count: int, chosen: list[int]
) -> None:
    """Take each free position in turn and bar the square around it, until `count` are chosen."""
    bar = b"\1" * (2 * radius + 1)
    to_first, to_end = -radius * stride - radius, radius * stride - radius + 1
    for start in range(0, len(position_M), _CHUNK):
        for position in position_M[start : start + _CHUNK].tolist():
            if bitmap[position]:
                continue
            if len(chosen) == count:
                return
            chosen.append(position)
            for left in range(position + to_first, position + to_end, stride):
                bitmap[left : left + 2 * radius + 1] = bar
