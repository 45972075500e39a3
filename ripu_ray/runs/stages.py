"""The folders of a trial, of its rounds and of a warm-up. A round is committed when its `record.json` exists."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter

from ripu_ray.core.metrics import iou
from ripu_ray.errors import RunFolderError
from ripu_ray.runs.record import RoundRecord
from ripu_ray.runs.validate import read_record, read_typed
from ripu_ray.storage.checksums import write_json
from ripu_ray.storage.files import digest

_SECONDS = TypeAdapter(dict[str, float])
_OF = "round"
"""Key in `seconds.json` of the round, -1 for a warm-up."""
_SPEED = "training/"
"""Prefix in `seconds.json` of numbers that say how fast training was."""


@dataclass(frozen=True)
class _Confusion:
    """The content of `confusion.json`. Attributes: round: -1 for a warm-up; counts: rows are true classes."""

    round: int
    counts: list[list[Annotated[int, Field(ge=0, le=2**53)]]]


_CONFUSION = TypeAdapter(_Confusion)


class StageFolder:
    """The folder of a round or a warm-up, with weights and a record."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.weights = path / "weights.pt"
        self.partial = path / "partial.pt"
        self._record = path / "record.json"
        self._seconds = path / "seconds.json"
        self._confusion = path / "confusion.json"

    def is_committed(self) -> bool:
        """Whether the record exists."""
        return self._record.exists()

    def commit(
        self,
        record: RoundRecord,
        seconds: Mapping[str, float],
        confusion_CC: NDArray[np.int64],
        speed: Mapping[str, float] | None = None,
    ) -> None:
        """Write the times, the confusion counts and the record; remove the mid-phase checkpoint.

        Args:
            record: of the round.
            seconds: phase -> seconds.
            confusion_CC: (C, C) pixels of the validation split, rows are true classes; all 0 without validation images.
            speed: numbers that say how fast training was.
        """
        measured = {f"{_SPEED}{name}": value for name, value in (speed or {}).items()}
        write_json(self._seconds, {**seconds, **measured, _OF: record.round})
        write_json(self._confusion, asdict(_Confusion(record.round, confusion_CC.tolist())))
        write_json(self._record, record.to_tree())
        self.partial.unlink(missing_ok=True)

    def record(self) -> RoundRecord:
        """Read the committed record without its weights. Raises RunFolderError if it was altered."""
        return read_record(self._record)

    def read(self) -> RoundRecord:
        """Read the committed record and check the weights. Raises RunFolderError if one of them was altered."""
        record = self.record()
        if not self.weights.is_file() or digest(self.weights) != record.weights_sha256:
            raise RunFolderError(f"{self.weights}: missing, torn or altered since it was committed")
        return record

    def seconds(self) -> dict[str, float]:
        """Seconds of each phase. Raises RunFolderError if the file was altered or is of another stage."""
        return self.times()[0]

    def times(self) -> tuple[dict[str, float], dict[str, float]]:
        """The `seconds`, and the numbers that say how fast training was. Raises RunFolderError as `seconds` does."""
        read = read_typed(_SECONDS, self._seconds)
        if read.pop(_OF, None) != self.record().round:
            raise RunFolderError(f"{self._seconds}: belongs to another round or warm-up")
        speed = {name.removeprefix(_SPEED): read.pop(name) for name in list(read) if name.startswith(_SPEED)}
        return read, speed

    def confusion(self) -> NDArray[np.int64] | None:
        """The confusion counts behind the committed record's IoU.

        Returns:
            (C, C) pixels of the validation split; rows are true classes and columns predicted ones, in the order of
            `record().iou`. None in a run of older code, which did not write them.

        Raises:
            RunFolderError: the file was altered, or is of another round or warm-up.
        """
        if not self._confusion.exists():
            return None
        read, record = read_typed(_CONFUSION, self._confusion), self.record()
        num_classes, expected = len(record.iou), [np.nan if value is None else value for value in record.iou.values()]
        if [len(row) for row in read.counts] == [num_classes] * num_classes:
            counts_CC = np.array(read.counts, np.int64)
            if read.round == record.round and np.array_equal(iou(counts_CC), expected, equal_nan=True):
                return counts_CC
        raise RunFolderError(f"{self._confusion}: belongs to another round or warm-up")


@dataclass(frozen=True)
class Ending:
    """How a trial ended.

    Attributes:
        rounds: number of committed rounds.
        reason: why a stopping rule ended it; empty when all rounds were run.
    """

    rounds: int
    reason: str = ""


_ENDING = TypeAdapter(Ending)


class TrialFolder:
    """The folder of one trial."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.questions = path / "questions"
        self.answers = path / "answers"
        self._ending = path / "finished.json"

    def finish(self, ending: Ending) -> None:
        """Commit the marker of the end of the trial; an equal marker is not written again."""
        if self.ending() != ending:
            write_json(self._ending, asdict(ending))

    def ending(self) -> Ending | None:
        """Read the committed marker, or return None. Raises RunFolderError if it was altered."""
        return read_typed(_ENDING, self._ending) if self._ending.exists() else None

    def stage(self, round_index: int) -> StageFolder:
        """The folder of one round."""
        return StageFolder(self.path / f"round_{round_index:02d}")

    def num_committed(self) -> int:
        """Number of committed rounds."""
        count = 0
        while self.stage(count).is_committed():
            count += 1
        return count
