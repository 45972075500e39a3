"""The folders of a trial, of its rounds and of a warm-up. A round is committed when its `record.json` exists."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from ripu_ray.errors import RunFolderError
from ripu_ray.runs.record import RoundRecord
from ripu_ray.runs.validate import read_record, read_typed
from ripu_ray.storage.checksums import write_json
from ripu_ray.storage.files import digest

_SECONDS = TypeAdapter(dict[str, float])
_OF = "round"
"""Key in `seconds.json` of the round, -1 for a warm-up."""


class StageFolder:
    """The folder of a round or a warm-up, with weights and a record."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.weights = path / "weights.pt"
        self.partial = path / "partial.pt"
        self._record = path / "record.json"
        self._seconds = path / "seconds.json"

    def is_committed(self) -> bool:
        """Whether the record exists."""
        return self._record.exists()

    def commit(self, record: RoundRecord, seconds: Mapping[str, float]) -> None:
        """Write the record and the seconds of each phase, and remove the mid-phase checkpoint."""
        write_json(self._seconds, {**seconds, _OF: record.round})
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
        read = read_typed(_SECONDS, self._seconds)
        if read.pop(_OF, None) != self.record().round:
            raise RunFolderError(f"{self._seconds}: belongs to another round or warm-up")
        return read


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
