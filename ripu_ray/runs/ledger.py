"""The ledger: an append-only record of purchases, one Parquet file per round.

Masks are not stored; they are rebuilt from the centres. Other answers (`oracle.answer`) are in the file.
`classes.json` contains the labelled pixels of each class. A purchase is committed when its `purchase.json`, with the
digest of `purchase.parquet`, exists.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ripu_ray.config import Answer
from ripu_ray.core.budget import Spent
from ripu_ray.errors import RunFolderError, counted
from ripu_ray.runs.purchases import NAMED_SCHEMA, SCHEMA, classes_column, named_classes, read_purchase
from ripu_ray.runs.record import RoundRecord
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.runs.selections import PackedSelections, Selection
from ripu_ray.runs.validate import PurchaseCheck, Rows
from ripu_ray.storage.checksums import read_json, write_json
from ripu_ray.storage.files import digest, replace_file
from ripu_ray.storage.remote import locate

if TYPE_CHECKING:
    import pandas as pd

CLASSES = "classes.json"
_LABELLED = (("pixels", 1), ("void_pixels", -1))
"""Columns whose sum, with these signs, is the number of labelled pixels."""
_CHUNK = 1024
"""Images packed at a time."""
_EMPTY = np.empty((0, 2), np.int32)


class Ledger:
    """All purchases of one trial.

    Args:
        folder: contains `round_NN/purchase.parquet` and `.json`.
        image_ids: the pool, in order.
        purchase_pixels: nominal pixels of one purchase, (2 * radius + 1) ** 2 for a window and 1 for a pixel;
            None: regions differ in size, and the image border cuts none of them.
        check: validates the purchases that are read; None: no validation.
        answer: what the annotator says of a region; None: what the files contain.

    Raises:
        RunFolderError: a file is missing, truncated or altered, or contains images outside the pool or impossible
            purchases.
    """

    def __init__(
        self,
        folder: Path,
        image_ids: Sequence[str],
        purchase_pixels: int | None,
        check: PurchaseCheck | None = None,
        answer: Answer | None = None,
    ) -> None:
        self._folder = folder
        self._position = {image_id: position for position, image_id in enumerate(image_ids)}
        self._purchase_pixels, self._answer = purchase_pixels, answer
        self._rounds: list[_Round] = []
        self.spent = Spent()
        self._class_pixels: list[NDArray[np.int64]] = []
        while (commit := self._commit_path(self.num_rounds)).exists():
            positions, table = self._read(commit)
            if check and (fault := check.find_fault(_rows(positions, table))):
                raise RunFolderError(f"{commit.with_suffix('.parquet')}: image {image_ids[fault[0]]}: {fault[1]}")
            self._class_pixels.append(self._read_classes(commit, table))
            self._append(positions, table, commit.with_suffix(".parquet"))

    @classmethod
    def open(cls, run: str | Path, trial: str) -> "Ledger":
        """Read the ledger of a trial without its data: the pool are the images in which regions were bought.

        Args:
            run: run folder, or its URL.
            trial: id of a trial.

        Raises:
            RunFolderError: there is no such run or trial, or a purchase is damaged.
        """
        opened = RunFolder(locate(run))
        if trial not in opened.trials:
            raise RunFolderError(f"{run}: no trial {trial}; expected one of {', '.join(opened.trials)}")
        folder = opened.trial(trial).path
        commits = folder.glob("round_*/purchase.json")
        image_ids = {image_id for commit in commits for image_id in read_purchase(commit)["image_id"].to_pylist()}
        return cls(folder, sorted(image_ids), None)

    def to_frame(self) -> "pd.DataFrame":
        """One row for each purchase, in order: round, image_id, row, col, score, pixels, void and boundary pixels."""
        import pandas as pd

        tables = [read_purchase(self._commit_path(number)) for number in range(self.num_rounds)]
        frames = [table.to_pandas() for table in tables] or [SCHEMA.empty_table().to_pandas()]
        frame = pd.concat(frames, keys=range(len(frames)), names=["round", None])
        renumbered: pd.DataFrame = frame.reset_index("round").reset_index(drop=True)
        return renumbered

    @property
    def num_rounds(self) -> int:
        """Number of committed purchases."""
        return len(self._rounds)

    def centres(self, image_id: str) -> NDArray[np.int32]:
        """(n, 2) int32 centres bought so far in one image, in order of purchase. KeyError: not an image of the pool."""
        position = self._position[image_id]
        return np.concatenate([_EMPTY, *(bought.centres(position) for bought in self._rounds)], dtype=np.int32)

    def bought_in(self, round_index: int, image_id: str) -> NDArray[np.int32]:
        """(n, 2) int32 centres bought in one round in one image, in order of purchase."""
        return self._rounds[round_index].centres(self._position[image_id]).astype(np.int32)

    def table(self, round_index: int) -> pa.Table:
        """The rows of one committed round, in the order of the pool, then of purchase. Raises RunFolderError."""
        return self._read(self._commit_path(round_index))[1]

    def annotated(self) -> Mapping[str, NDArray[np.int32]]:
        """The centres of every image of the pool."""
        return {image_id: self.centres(image_id) for image_id in self._position}

    def named(self) -> Mapping[str, NDArray[np.bool_]] | None:
        """The classes named in each bought region, (n, C) bool by image; None: the answers are masks."""
        if self._answer in (None, "mask"):
            return None
        return {
            image_id: np.concatenate([bought.named(position) for bought in self._rounds])
            for image_id, position in self._position.items()
        }

    def class_pixels(self, num_classes: int) -> NDArray[np.int64]:
        """(C,) labelled pixels of each class bought so far, by the true labels.

        Raises:
            RunFolderError: a round has counts for another number of classes.
        """
        total_C = np.zeros(num_classes, np.int64)
        for round_index, counts in enumerate(self._class_pixels):
            if len(counts) != num_classes:
                path = self._commit_path(round_index).with_name(CLASSES)
                raise RunFolderError(f"{path}: counts of {counted(len(counts), 'class')}, the data has {num_classes}")
            total_C += counts
        return total_C

    def commit(self, round_index: int, selections: Iterable[Selection]) -> None:
        """Commit the purchase of one round.

        Raises:
            ValueError: not the round that follows, or not every image of the pool exactly once.
        """
        if round_index != self.num_rounds:
            raise ValueError(f"round {round_index} cannot follow {self.num_rounds} rounds")
        positions, table, class_pixels_C = self._to_table(selections, round_index)
        path = self._commit_path(round_index).with_suffix(".parquet")
        write_json(path.with_name(CLASSES), {"class_pixels": class_pixels_C.tolist()})
        replace_file(path, lambda file: pq.write_table(table, file, compression="zstd"))
        write_json(path.with_suffix(".json"), {"purchase_sha256": digest(path), "num_regions": table.num_rows})
        self._class_pixels.append(class_pixels_C)
        self._append(positions, table, path)

    def digest(self, round_index: int) -> str:
        """SHA-256 of a committed round's purchase, in hex."""
        return digest(self._commit_path(round_index).with_suffix(".parquet"))

    def check_record(self, round_index: int, record: RoundRecord) -> None:
        """Check that a record belongs to this round's purchase. Raises RunFolderError."""
        path = self._commit_path(round_index).with_suffix(".parquet")
        if round_index >= self.num_rounds:
            missing = next((file for file in (path, path.with_suffix(".json")) if not file.exists()), path)
            raise RunFolderError(f"{missing}: missing, but the round's record is there")
        bought = self._rounds[round_index].spent
        recorded = (record.spent_pixels, record.void_pixels, record.clipped_pixels, record.clicks)
        expected = (bought.pixels, bought.void_pixels, bought.clipped_pixels, bought.clicks)
        if record.purchase_sha256 != self.digest(round_index) or recorded != expected:
            raise RunFolderError(f"{path.with_name('record.json')}: does not belong to the purchase in {path.name}")

    def check_next(self, round_index: int) -> None:
        """Check that no purchase exists after the round that is next. Raises RunFolderError."""
        # It is not among the rounds read if this round's own purchase is missing.
        if (later := self._commit_path(round_index + 1)).exists():
            raise RunFolderError(f"{later}: bought, but round {round_index} before it is not committed")

    def _append(self, positions: NDArray[np.int32], table: pa.Table, path: Path) -> None:
        """Add a round, whose class pixels are added already. Raises RunFolderError: answers that cannot be."""
        names = ("row", "col", "pixels", "void_pixels", "boundary_pixels")
        row, col, pixels, void_pixels, boundary_pixels = (table[name].to_numpy() for name in names)
        counts, named_NC = np.bincount(positions, minlength=len(self._position)), self._named(table, path)
        bought = int(pixels.sum(dtype=np.int64))
        self.spent += Spent(
            pixels=bought,
            void_pixels=int(void_pixels.sum(dtype=np.int64)),
            clipped_pixels=table.num_rows * self._purchase_pixels - bought if self._purchase_pixels else 0,
            clicks=int(table["clicks"].to_numpy().sum(dtype=np.int64)) if named_NC.size else table.num_rows,
            boundary_pixels=int(boundary_pixels.sum(dtype=np.int64)),
        )
        starts = np.concatenate([[0], counts.cumsum()])
        self._rounds.append(_Round(starts, np.stack([row, col], axis=1), self.spent, named_NC))

    def _named(self, table: pa.Table, path: Path) -> NDArray[np.bool_]:
        """(n, C) bool classes named in the last round; (0, 0) for masks. Raises RunFolderError."""
        try:
            return named_classes(table, self._answer, len(self._class_pixels[-1]))
        except ValueError as error:
            raise RunFolderError(f"{path}: {error}") from None

    def _read(self, commit: Path) -> tuple[NDArray[np.int32], pa.Table]:
        path, table = commit.with_suffix(".parquet"), read_purchase(commit)
        ids = table["image_id"].combine_chunks().dictionary_encode()
        names = ids.dictionary.to_pylist()
        if unknown := set(names) - self._position.keys():
            raise RunFolderError(f"{path}: image {min(unknown)!r} is not in the pool")
        return np.array([self._position[name] for name in names], np.int32)[ids.indices], table

    def _read_classes(self, commit: Path, table: pa.Table) -> NDArray[np.int64]:
        """(C,) labelled pixels of each class of one round. Raises RunFolderError: damaged, or of other purchases."""
        path = commit.with_name(CLASSES)
        counts = read_json(path).get("class_pixels")
        labelled = sum(sign * table[name].to_numpy().sum(dtype=np.int64) for name, sign in _LABELLED)
        if not isinstance(counts, list) or any(type(count) is not int or count < 0 for count in counts):
            raise RunFolderError(f"{path}: expected the pixels of each class")
        if sum(counts) != labelled:
            raise RunFolderError(f"{path}: {sum(counts)} labelled pixels, {commit.stem}.parquet has {labelled}")
        return np.array(counts, np.int64)

    def _to_table(
        self, selections: Iterable[Selection], round_index: int
    ) -> tuple[NDArray[np.int32], pa.Table, NDArray[np.int64]]:
        """Position in the pool of each row; the rows, in the order of the pool; and (C,) labelled pixels by class.

        Packs selections as they arrive: a large pool needs 15 bytes per region.
        """
        iterator = iter(selections)
        positions: list[int] = []
        packs: list[PackedSelections] = []
        class_pixels = np.zeros((), np.int64)
        while chunk := list(itertools.islice(iterator, _CHUNK)):
            positions += [self._position.get(selection.image_id, -1) for selection in chunk]
            packs.append(PackedSelections.pack(chunk))
            class_pixels = class_pixels + packs[-1].class_pixels_MC.sum(axis=0, dtype=np.int64)
        if sorted(positions) != list(range(len(self._position))):
            raise ValueError(f"a purchase of round {round_index} does not cover the pool, each image once")

        def joined(name: str) -> NDArray[Any]:
            return np.concatenate([getattr(pack, name) for pack in packs])

        place = np.repeat(np.array(positions, np.int32), joined("counts_B"))
        order = np.argsort(place, kind="stable")
        centres = joined("centres_N2")[order]
        columns = [
            pa.array(list(self._position), pa.string()).take(pa.array(place[order])),
            centres[:, 0],
            centres[:, 1],
            *(joined(name)[order] for name in ("scores_N", "pixels_N", "void_pixels_N", "boundary_pixels_N")),
        ]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
        if self._answer in (None, "mask"):
            return place[order], pa.Table.from_arrays(arrays, schema=SCHEMA), class_pixels
        arrays += [pa.array(joined("clicks_N")[order], pa.uint32()), classes_column(joined("named_NC")[order])]
        return place[order], pa.Table.from_arrays(arrays, schema=NAMED_SCHEMA), class_pixels

    def _commit_path(self, round_index: int) -> Path:
        return self._folder / f"round_{round_index:02d}" / "purchase.json"


def _rows(positions: NDArray[np.int32], table: pa.Table) -> Rows:
    """Convert a table to signed integers."""
    names = ("row", "col", "pixels", "void_pixels")
    row, col, pixels, void_pixels = (table[name].to_numpy().astype(np.int64) for name in names)
    return Rows(positions.astype(np.int64), row, col, table["score"].to_numpy(), pixels, void_pixels)


@dataclass(frozen=True)
class _Round:
    """Centres of one round, (n, 2) in the order of the pool; those of image i are starts[i] to starts[i + 1].

    `spent` is the total of this round and all before it. `named_NC` has the named classes of each; (0, 0) for masks.
    """

    starts: NDArray[np.int64]
    all_centres: NDArray[np.uint16]
    spent: Spent
    named_NC: NDArray[np.bool_]

    def centres(self, position: int) -> NDArray[np.uint16]:
        return self.all_centres[self.starts[position] : self.starts[position + 1]]

    def named(self, position: int) -> NDArray[np.bool_]:
        return self.named_NC[self.starts[position] : self.starts[position + 1]]
