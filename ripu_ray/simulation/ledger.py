"""The ledger: what was bought, one Parquet file per round, append-only.

Annotations are never stored; they are rebuilt from the centres. A round counts as bought once its `purchase.json`,
which holds the digest of `purchase.parquet`, has appeared.
"""

import itertools
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
        self._image_ids = tuple(image_ids)
        self._purchase_pixels = purchase_pixels
        self._selections: dict[str, list[Selection]] = {image_id: [] for image_id in image_ids}
        self.num_rounds = 0
        self.spent = Spent(pixels=0, void_pixels=0, clipped_pixels=0, clicks=0)
        while (commit := self._commit_path(self.num_rounds)).exists():
            self._append(self._read(commit))

    def centres(self, image_id: str) -> NDArray[np.int32]:
        """(n, 2) int32 centres bought so far in one image, in order of purchase."""
        parts = [selection.centres_N2.astype(np.int32) for selection in self._selections[image_id]]
        return np.concatenate(parts) if parts else np.empty((0, 2), np.int32)

    def annotated(self) -> Mapping[str, NDArray[np.int32]]:
        """The centres of every image of the pool."""
        return {image_id: self.centres(image_id) for image_id in self._image_ids}

    def spent_pixels(self, image_id: str) -> int:
        """Pixels bought so far in one image."""
        return sum(int(selection.pixels_N.sum()) for selection in self._selections[image_id])

    def commit(self, round_index: int, selections: Iterable[Selection]) -> None:
        """Add one round. It is bought once this returns, and not before.

        Raises:
            ValueError: not the round that follows, or not every image of the pool exactly once.
        """
        if round_index != self.num_rounds:
            raise ValueError(f"round {round_index} cannot follow {self.num_rounds} rounds")
        by_image = {selection.image_id: selection for selection in selections}
        if by_image.keys() != self._selections.keys():
            raise ValueError(f"a purchase of round {round_index} does not cover the pool")
        ordered = [by_image[image_id] for image_id in self._image_ids]
        table = _to_table(ordered)
        path = self._commit_path(round_index).with_suffix(".parquet")
        replace_file(path, lambda file: pq.write_table(table, file, compression="zstd"))
        replace_json(path.with_suffix(".json"), {"purchase_sha256": digest(path), "num_regions": table.num_rows})
        self._append(ordered)

    def digest(self, round_index: int) -> str:
        """SHA-256 of a committed round's purchase, in hex."""
        return digest(self._commit_path(round_index).with_suffix(".parquet"))

    def _append(self, selections: Iterable[Selection]) -> None:
        for selection in selections:
            if len(selection.centres_N2):
                self._selections[selection.image_id].append(selection)
                clicks, pixels = len(selection.centres_N2), int(selection.pixels_N.sum())
                self.spent += Spent(
                    pixels=pixels,
                    void_pixels=int(selection.void_pixels_N.sum()),
                    clipped_pixels=clicks * self._purchase_pixels - pixels,
                    clicks=clicks,
                )
        self.num_rounds += 1

    def _read(self, commit: Path) -> list[Selection]:
        path = commit.with_suffix(".parquet")
        try:
            expected: dict[str, Any] = json.loads(commit.read_text())
            if digest(path) != expected["purchase_sha256"]:
                raise RunFolderError(f"{path}: altered or torn since it was committed (its digest differs)")
            selections = _from_table(pq.read_table(path, schema=_SCHEMA))
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            if isinstance(error, RunFolderError):
                raise
            raise RunFolderError(f"{commit}: not a committed purchase ({type(error).__name__})") from None
        strangers = {selection.image_id for selection in selections} - self._selections.keys()
        if strangers:
            raise RunFolderError(f"{path}: image {min(strangers)!r} is not in the pool")
        return selections

    def _commit_path(self, round_index: int) -> Path:
        return self._folder / f"round_{round_index:02d}" / "purchase.json"


def _to_table(selections: Sequence[Selection]) -> pa.Table:
    centres = np.concatenate([selection.centres_N2 for selection in selections])
    columns = [
        np.repeat(
            np.array([selection.image_id for selection in selections]),
            [len(selection.centres_N2) for selection in selections],
        ),
        centres[:, 0],
        centres[:, 1],
        np.concatenate([selection.scores_N for selection in selections]),
        np.concatenate([selection.pixels_N for selection in selections]),
        np.concatenate([selection.void_pixels_N for selection in selections]),
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_SCHEMA)


def _from_table(table: pa.Table) -> list[Selection]:
    image_ids = table["image_id"].to_numpy()
    row, col, scores, pixels, void_pixels = (table[name].to_numpy() for name in _SCHEMA.names[1:])
    centres = np.stack([row, col], axis=1)
    bounds = [0, *(np.flatnonzero(image_ids[1:] != image_ids[:-1]) + 1), len(image_ids)] if len(image_ids) else []
    parts = [slice(start, stop) for start, stop in itertools.pairwise(bounds)]
    return [
        Selection(str(image_ids[part.start]), centres[part], scores[part], pixels[part], void_pixels[part])
        for part in parts
    ]
