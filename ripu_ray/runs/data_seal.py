"""`data.json` of a run folder: digests of the data and initial weights that the run was started with."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shlex import quote

from pydantic import TypeAdapter

from ripu_ray.config import Config, DatasetSection, ModelConfig
from ripu_ray.data.contents import NOTHING, Contents, Mark, find_changes, line, mark_checkpoint, mark_file
from ripu_ray.errors import DataError, counted
from ripu_ray.runs.validate import read_typed
from ripu_ray.storage.checksums import write_json

SEAL = "data.json"
"""Name of the file in the run folder."""
_NUM_NAMED = 3
"""Changes that a message names; the others are counted."""


@dataclass(frozen=True)
class DataSeal:
    """The data and initial weights of a run.

    Attributes:
        sets: key of a `data` section -> contents of the data set. Drawn images are not among them: they depend on the
            configuration alone.
        weights: file or checkpoint -> its mark, as written by `contents.line`.
    """

    sets: dict[str, Contents] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.sets or self.weights)

    def contents(self, data: DatasetSection) -> Contents:
        """The contents of a data set, without images if it is drawn."""
        return self.sets.get(_key(data), NOTHING)

    def with_contents(self, data: DatasetSection, contents: Contents) -> "DataSeal":
        """The seal with one more data set."""
        return DataSeal({**self.sets, _key(data): contents}, self.weights)

    def with_weights(self, files: Mapping[str, Path], earlier: "DataSeal") -> "DataSeal":
        """The seal with files and folders of initial weights by their names in the configuration. Raises DataError."""
        marks = {
            name: mark_checkpoint(path) if path.is_dir() else mark_file(path, earlier._mark(name))
            for name, path in files.items()
        }
        return DataSeal(self.sets, self.weights | {name: line((mark,)) for name, mark in marks.items()})

    def digest(self, config: Config) -> str:
        """SHA-256, in hex, of the data and initial weights of one trial; "" if it has no files."""
        contents = self.contents(config.data)
        weights = [mark.digest for name in weight_files(config.model) if (mark := self._mark(name))]
        if contents == NOTHING and not weights:
            return ""
        return hashlib.sha256(json.dumps([contents.digest, weights]).encode()).hexdigest()

    def is_of(self, now: "DataSeal") -> bool:
        """Whether the data are unchanged."""
        return next(self._changes(now), None) is None

    def check(self, now: "DataSeal", folder: Path) -> None:
        """Compare with the data of now. Raises DataError, which names the first differences."""
        if changes := list(self._changes(now)):
            shown = "; ".join(changes[:_NUM_NAMED])
            more = f" (and {counted(len(changes) - _NUM_NAMED, 'more change')})" if len(changes) > _NUM_NAMED else ""
            raise DataError(
                f"{folder}: the data changed since the run was started: {shown}{more}; restore them, or start a new "
                f"run folder with them: `ripu sweep --resume {quote(str(folder))} --accept-changed-data`",
                changes,
            )

    def write(self, folder: Path) -> None:
        """Write the file; an empty seal has none. Raises StorageError."""
        if self:
            write_json(folder / SEAL, asdict(self))
        else:
            (folder / SEAL).unlink(missing_ok=True)  # of a start that was killed

    def _changes(self, now: "DataSeal") -> Iterator[str]:
        for key in dict.fromkeys((*self.sets, *now.sets)):
            yield from find_changes(self.sets.get(key, NOTHING), now.sets.get(key, NOTHING))
        for name in dict.fromkeys((*self.weights, *now.weights)):
            first, second = self._mark(name), now._mark(name)
            if first is None or second is None or first.digest != second.digest:
                yield f"{name} was changed"

    def _mark(self, name: str) -> Mark | None:
        found = self.weights.get(name, "").split()
        return Mark(*found) if len(found) == 2 else None


_SEAL = TypeAdapter(DataSeal)


def read_seal(folder: Path) -> DataSeal:
    """Read the seal of a run folder; it is empty if there is none. Raises RunFolderError if it was altered."""
    path = folder / SEAL
    return read_typed(_SEAL, path) if path.exists() else DataSeal()


def weight_files(model: ModelConfig) -> dict[str, Path | str]:
    """The initial weights that a configuration names: name -> path, URL or `HubId`."""
    return {str(file): file for file in (model.init_from, model.backbone_weights, model.checkpoint) if file}


def _key(data: DatasetSection) -> str:
    # Without defaults, so that a setting that a later version adds changes nothing.
    plain = f"{data.dataset} {data.model_dump_json(exclude_defaults=True)}"
    return hashlib.sha256(plain.encode()).hexdigest()[:12]
