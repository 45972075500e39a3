"""Validation of what is read back from a run folder: types and ranges of JSON files, and purchases.

A checksum does not detect a file that was fabricated as a whole. docs/security.md names the threats.

Shapes: N rows of a purchase, in the order of the pool; P images of the pool.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from ripu_ray.config import StrategyConfig
from ripu_ray.core.budget import allowance
from ripu_ray.core.geometry import purchase_radius, suppression_radius
from ripu_ray.errors import RunFolderError
from ripu_ray.runs.record import RoundRecord
from ripu_ray.storage.checksums import read_json

_T = TypeVar("_T")
_RECORD = TypeAdapter(RoundRecord)


def read_record(path: Path) -> RoundRecord:
    """Read a record. Raises RunFolderError for any other file, including the record of another round."""
    record = read_typed(_RECORD, path)
    folder = path.parent.name
    expected = int(folder.removeprefix("round_")) if re.fullmatch(r"round_\d+", folder) else -1
    is_evaluated = record.miou == record.miou or any(value is not None for value in record.iou.values())
    measured = (record.miou, record.accuracy) if is_evaluated else ()
    shares = (*measured, record.spent_share, *(value or 0.0 for value in record.iou.values()))
    counts = (record.step, record.budget_pixels, record.void_pixels, record.clipped_pixels, record.clicks)
    if record.round != expected:
        raise RunFolderError(f"{path}: the record of round {record.round}, not of {expected}")
    if min(counts) < 0 or record.void_pixels > record.spent_pixels or not all(0 <= share <= 1 for share in shares):
        raise RunFolderError(f"{path}: not a round record (a number is out of its range)")
    return record


def read_typed(adapter: TypeAdapter[_T], path: Path) -> _T:
    """Read JSON with the keys and types of `_T`. Raises RunFolderError."""
    tree = read_json(path)
    try:
        value = adapter.validate_json(json.dumps(tree), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise RunFolderError(f"{path}: unexpected content ({place}: {first['msg']})") from None
    if is_dataclass(value) and tree.keys() - {field.name for field in fields(value)}:
        raise RunFolderError(f"{path}: unexpected content (unknown keys)")
    return value


@dataclass(frozen=True)
class Rows:
    """A purchase: position of each image in the pool, centre, score and pixels of each region."""

    positions_N: NDArray[np.int64]
    rows_N: NDArray[np.int64]
    cols_N: NDArray[np.int64]
    scores_N: NDArray[np.float32]
    pixels_N: NDArray[np.int64]
    void_pixels_N: NDArray[np.int64]


class PurchaseCheck:
    """Validates purchases round by round, without reading an image.

    Args:
        sizes: (H, W) of each label map of the pool, in order.
        strategy: of the purchases; not a reference.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], strategy: StrategyConfig) -> None:
        self._sizes_P2 = np.array(sizes, np.int64).reshape(-1, 2)
        self._strategy = strategy
        self._centres: list[NDArray[np.int64]] = []
        self._spent_P = np.zeros(len(self._sizes_P2), np.int64)

    def find_fault(self, rows: Rows) -> tuple[int, str] | None:
        """Validate the next round.

        Returns:
            None, or the position of an image and its fault as text: out of order, a centre outside the image, a wrong
            number of pixels, windows that overlap each other or those of earlier rounds, or more than the budget.
        """
        strategy = self._strategy
        height_N, width_N = self._sizes_P2[rows.positions_N].T
        extents = (self._extent(rows.rows_N, height_N), self._extent(rows.cols_N, width_N))
        inside_N = rows.pixels_N if strategy.shape == "superpixels" else extents[0] * extents[1]
        for wrong_N, fault in (
            (np.diff(rows.positions_N, prepend=0) < 0, "out of the pool's order"),
            ((rows.rows_N >= height_N) | (rows.cols_N >= width_N), "a centre outside the image"),
            (~np.isfinite(rows.scores_N), "a score that is not a finite number"),
            ((rows.pixels_N != inside_N) | (rows.pixels_N < 1), "a number of pixels that differs from the window's"),
            (rows.void_pixels_N > rows.pixels_N, "more void pixels than pixels"),
        ):
            if wrong_N.any():
                return int(rows.positions_N[np.argmax(wrong_N)]), fault
        self._centres.append(np.stack([rows.positions_N, rows.rows_N, rows.cols_N]))
        reach = suppression_radius(strategy.mode, strategy.radius) if strategy.shape == "sliding" else 0
        position = _find_overlap(np.concatenate(self._centres, axis=1), reach)
        if position is not None:
            return position, "regions that are too close to each other to have been bought"
        return self._overspent(rows)

    def _extent(self, centre_N: NDArray[np.int64], limit_N: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pixels of the window, or of the cell of a grid, inside the image, along one axis."""
        strategy = self._strategy
        if strategy.shape == "grid":
            first_N = centre_N - centre_N % strategy.window
            return np.minimum(strategy.window, limit_N - first_N)
        radius = purchase_radius(strategy.mode, strategy.radius)
        return np.minimum(centre_N + radius + 1, limit_N) - np.maximum(centre_N - radius, 0)

    def _overspent(self, rows: Rows) -> tuple[int, str] | None:
        strategy, round_index = self._strategy, len(self._centres) - 1
        self._spent_P += np.bincount(rows.positions_N, rows.pixels_N, len(self._spent_P)).astype(np.int64)
        sizes = [(int(height), int(width)) for height, width in self._sizes_P2]
        bought_P = np.bincount(rows.positions_N, minlength=len(self._spent_P))
        if strategy.allocation == "pool":
            allowed = allowance(strategy, sizes, round_index)
            is_over = allowed.is_exceeded(int(self._spent_P.sum()), len(rows.positions_N))
            return (0, "more than the budget, over the pool") if is_over else None
        allowed_by_size = {size: allowance(strategy, [size], round_index) for size in set(sizes)}
        for position, size in enumerate(sizes):
            if allowed_by_size[size].is_exceeded(int(self._spent_P[position]), int(bought_P[position])):
                return position, "more than the budget"
        return None


def _find_overlap(centres_3N: NDArray[np.int64], reach: int) -> int | None:
    """The image of two centres (position, row, column) that are within `reach` of each other, or None.

    Two centres in one cell of `reach + 1` pixels a side are a fault; otherwise each cell is compared with its
    neighbours by sorted keys. Millions of centres take seconds.
    """
    if centres_3N.shape[1] < 2:
        return None
    position_N, row_N, col_N = centres_3N
    side = reach + 1
    columns = int(col_N.max()) // side + 3
    lines = int(row_N.max()) // side + 2
    key_N = (position_N * lines + row_N // side) * columns + col_N // side + 1
    order_N = np.argsort(key_N, kind="stable")
    key_N, position_N, row_N, col_N = key_N[order_N], position_N[order_N], row_N[order_N], col_N[order_N]
    same_N = np.flatnonzero(np.diff(key_N) == 0)
    if same_N.size:
        return int(position_N[same_N[0]])
    for step in (1, columns - 1, columns, columns + 1):
        there_N = np.minimum(np.searchsorted(key_N, key_N + step), len(key_N) - 1)
        close_N = (
            (key_N[there_N] == key_N + step)
            & (position_N[there_N] == position_N)
            & (np.abs(row_N[there_N] - row_N) <= reach)
            & (np.abs(col_N[there_N] - col_N) <= reach)
        )
        if close_N.any():
            return int(position_N[np.argmax(close_N)])
    return None
