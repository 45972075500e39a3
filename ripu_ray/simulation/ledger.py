"""The ledger: what was bought, one Parquet file per round, append-only.

Annotations are never stored; they are rebuilt from the centres. A round counts as bought once its `purchase.json`,
which holds the digest of `purchase.parquet`, has appeared.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ripu_ray.core.budget import Spent
from ripu_ray.errors import RunFolderError
from ripu_ray.files import digest, replace_file, replace_json

_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("row", pa.uint16()),
        ("col", pa.uint16()),
        ("score", pa.float32()),
        ("pixels", pa.uint32()),
        ("void_pixels", pa.uint32()),
    ]
)


@dataclass(frozen=True)
class Selection:
    """The regions chosen in one image in one round, best first.

    Attributes:
        image_id: which image.
        centres_N2: (n, 2) uint16, row and column in label pixels.
        scores_N: (n,) float32.
        pixels_N: (n,) uint32, pixels of each region inside the image.
        void_pixels_N: (n,) uint32, those of them for which the oracle has no class.
    """

    image_id: str
    centres_N2: NDArray[np.uint16]
    scores_N: NDArray[np.float32]
    pixels_N: NDArray[np.uint32]
    void_pixels_N: NDArray[np.uint32]


class Ledger:
    """All purchases of one trial.

    Args:
        folder: holds `round_NN/purchase.parquet` and `.json`.
        image_ids: the pool, in order.
        purchase_pixels: nominal pixels of one purchase, (2 * radius + 1) ** 2 for a region and 1 for a pixel.

    Raises:
        RunFolderError: a file is missing, torn, altered or speaks of images outside the pool.
    """

    def __init__(self, folder: Path, image_ids: Sequence[str], purchase_pixels: int) -> None:
        self._folder = folder
        self._position = {image_id: position for position, image_id in enumerate(image_ids)}
        self._purchase_pixels = purchase_pixels
        self._rounds: list[_Round] = []
        self.spent = Spent()
        while (commit := self._commit_path(self.num_rounds)).exists():
            self._append(self._read(commit))

    @property
    def num_rounds(self) -> int:
        """Rounds that are bought."""
        return len(self._rounds)

    def centres(self, image_id: str) -> NDArray[np.int32]:
        """(n, 2) int32 centres bought so far in one image, in order of purchase."""
        position = self._position[image_id]
        return np.concatenate([_EMPTY, *(bought.centres(position) for bought in self._rounds)], dtype=np.int32)

    def annotated(self) -> Mapping[str, NDArray[np.int32]]:
        """The centres of every image of the pool."""
        return {image_id: self.centres(image_id) for image_id in self._position}

    def commit(self, round_index: int, selections: Iterable[Selection]) -> None:
        """Add one round. It is bought once this returns, and not before.

        Raises:
            ValueError: not the round that follows, or not every image of the pool exactly once.
        """
        if round_index != self.num_rounds:
            raise ValueError(f"round {round_index} cannot follow {self.num_rounds} rounds")
        by_image = {selection.image_id: selection for selection in selections}
        if by_image.keys() != self._position.keys():
            raise ValueError(f"a purchase of round {round_index} does not cover the pool")
        table = _to_table([by_image[image_id] for image_id in self._position])
        path = self._commit_path(round_index).with_suffix(".parquet")
        replace_file(path, lambda file: pq.write_table(table, file, compression="zstd"))
        replace_json(path.with_suffix(".json"), {"purchase_sha256": digest(path), "num_regions": table.num_rows})
        self._append(table)

    def digest(self, round_index: int) -> str:
        """SHA-256 of a committed round's purchase, in hex."""
        return digest(self._commit_path(round_index).with_suffix(".parquet"))

    def _append(self, table: pa.Table) -> None:
        ids = table["image_id"].combine_chunks().dictionary_encode()
        positions = np.array([self._position[name] for name in ids.dictionary.to_pylist()], np.int64)[ids.indices]
        row, col, pixels, void_pixels = (table[name].to_numpy() for name in ("row", "col", "pixels", "void_pixels"))
        counts = np.bincount(positions, minlength=len(self._position))
        self._rounds.append(_Round(np.concatenate([[0], counts.cumsum()]), np.stack([row, col], axis=1)))
        bought = int(pixels.sum(dtype=np.int64))
        self.spent += Spent(
            pixels=bought,
            void_pixels=int(void_pixels.sum(dtype=np.int64)),
            clipped_pixels=table.num_rows * self._purchase_pixels - bought,
            clicks=table.num_rows,
        )

    def _read(self, commit: Path) -> pa.Table:
        path = commit.with_suffix(".parquet")
        try:
            expected: dict[str, Any] = json.loads(commit.read_text())
            if digest(path) != expected["purchase_sha256"]:
                raise RunFolderError(f"{path}: altered or torn since it was committed (its digest differs)")
            table = pq.read_table(path, schema=_SCHEMA)
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            if isinstance(error, RunFolderError):
                raise
            raise RunFolderError(f"{commit}: not a committed purchase ({type(error).__name__})") from None
        strangers = set(table["image_id"].unique().to_pylist()) - self._position.keys()
        if strangers:
            raise RunFolderError(f"{path}: image {min(strangers)!r} is not in the pool")
        return table

    def _commit_path(self, round_index: int) -> Path:
        return self._folder / f"round_{round_index:02d}" / "purchase.json"


_EMPTY = np.empty((0, 2), np.int32)


@dataclass(frozen=True)
class _Round:
    """Centres of one round, (n, 2) in the order of the pool; those of image i are starts[i] to starts[i + 1]."""

    starts: NDArray[np.int64]
    all_centres: NDArray[np.uint16]

    def centres(self, position: int) -> NDArray[np.uint16]:
        return self.all_centres[self.starts[position] : self.starts[position + 1]]


def _to_table(selections: Sequence[Selection]) -> pa.Table:
    def joined(parts: Iterable[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate(list(parts))

    counts = [len(selection.centres_N2) for selection in selections]
    centres = joined(selection.centres_N2 for selection in selections)
    columns = [
        pa.array([selection.image_id for selection in selections], pa.string()).take(
            np.repeat(np.arange(len(selections)), counts)
        ),
        centres[:, 0],
        centres[:, 1],
        joined(selection.scores_N for selection in selections),
        joined(selection.pixels_N for selection in selections),
        joined(selection.void_pixels_N for selection in selections),
    ]
    return pa.Table.from_arrays([pa.array(c, f.type) for c, f in zip(columns, _SCHEMA, strict=True)], schema=_SCHEMA)
