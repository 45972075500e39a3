"""The files of a run: folders of the sweep, its warm-ups and its trials.

    <run>/config.yaml, environment.json        written before the start
    <run>/warmups/<key>/                        record of round -1 and weights, shared by trials
    <run>/trials/<trial_id>/finished.json        number of rounds, and the reason of an early stop
    <run>/trials/<trial_id>/round_NN/            purchase.parquet, purchase.json, weights.pt, seconds.json, record.json
    <run>/trials/<trial_id>/questions, answers   with people as the oracle: a ledger of questions, and their answers

A round is committed when its `record.json` exists.
"""

import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path

from pydantic import TypeAdapter

from ripu_ray.config import Config, dump_config, load_config
from ripu_ray.errors import RunFolderError
from ripu_ray.runs.grid import Trial, expand, recipe, warmup_key
from ripu_ray.runs.interrupt import STOP, StopRequest
from ripu_ray.runs.lock import LOCK
from ripu_ray.runs.record import RoundRecord
from ripu_ray.runs.validate import read_record, read_typed
from ripu_ray.storage.checksums import check_yaml, read_json, write_json, write_yaml
from ripu_ray.storage.files import digest, find_unsafe_path, is_leftover, remove_leftovers

_SECONDS = TypeAdapter(dict[str, float])
_OF = "round"
"""Key in `seconds.json` of the round, -1 for a warm-up."""
_LONGEST_NAME = 60
"""Characters of a run's name: W&B builds file names from it and the trial's id."""

# W&B's own folder contains links to logs elsewhere; this package does not follow them.
_OWN = (
    *("*", "trials/*", "trials/*/*", "trials/*/round_*/*", "warmups/*", "warmups/*/*"),
    *("trials/*/questions/*", "trials/*/questions/*/*", "trials/*/answers/*"),
)


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


class RunFolder:
    """The folder of a sweep.

    Args:
        path: its last part is the sweep's name.

    Raises:
        RunFolderError: it contains no run, or links that lead out of it, or an altered configuration or environment.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._config_path, environment_path = self.path / "config.yaml", self.path / "environment.json"
        if not self._config_path.exists():
            raise RunFolderError(f"{path}: not a run folder (it has no config.yaml)")
        if unsafe := find_unsafe_path(self.path, _OWN):
            raise RunFolderError(f"{unsafe}: leads out of the run folder, or is neither a file nor a folder")
        check_yaml(self._config_path)
        if environment_path.exists():
            read_json(environment_path)

    @classmethod
    def create(cls, path: Path, config: Config) -> "RunFolder":
        """Write the configuration and environment of a run, or open the run if it has the same configuration.

        Raises:
            RunFolderError: the folder contains another sweep, or other files.
            StorageError: it cannot be written.
        """
        config_path = path / "config.yaml"
        if config_path.exists():
            older = cls(path).config
            if recipe(older) != recipe(config):
                raise RunFolderError(f"{path}: holds another sweep; choose another --name or --output")
            if older != config:
                write_yaml(config_path, dump_config(config))
            return cls(path)
        if len(path.name) > _LONGEST_NAME or not path.name.isprintable() or path.name in ("", ".", ".."):
            raise RunFolderError(f"{path}: expected a name of at most {_LONGEST_NAME} printable characters")
        if path.exists() and (not path.is_dir() or not all(map(_is_beginning, path.iterdir()))):
            raise RunFolderError(f"{path}: not empty and not a run folder; choose another --name or --output")
        write_json(path / "environment.json", _environment())
        write_yaml(config_path, dump_config(config))
        return cls(path)

    @property
    def stop(self) -> StopRequest:
        """The stop request of this run."""
        return StopRequest(self.path / STOP)

    def tidy(self) -> None:
        """Remove temporary files and useless mid-phase checkpoints of killed processes. No process may be at work."""
        remove_leftovers(self.path)
        for partial in (*self.path.glob("warmups/*/partial.pt"), *self.path.glob("trials/*/round_*/partial.pt")):
            if StageFolder(partial.parent).is_committed():
                partial.unlink()

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.path.name

    @cached_property
    def config(self) -> Config:
        """The resolved configuration."""
        return load_config(self._config_path)

    @cached_property
    def trials(self) -> dict[str, Trial]:
        """Every trial of the grid by its id, in order."""
        return {trial.trial_id: trial for trial in expand(self.config)}

    @cached_property
    def warmups(self) -> dict[str, Config]:
        """The distinct warm-ups: key -> configuration of a trial that uses it."""
        return {warmup_key(trial.config): trial.config for trial in reversed(self.trials.values())}

    def trial(self, trial_id: str) -> "TrialFolder":
        """The folder of one trial."""
        return TrialFolder(self._part("trials", trial_id))

    def is_finished(self, trial_id: str) -> bool:
        """Whether the marker of a trial and the rounds that it counts are committed."""
        folder = self.trial(trial_id)
        ending = folder.ending()
        return ending is not None and ending.rounds == folder.num_committed()

    def is_done(self, name: str) -> bool:
        """Whether a trial or a warm-up is complete."""
        return self.is_finished(name) if name in self.trials else self.warmup(name).is_committed()

    def startable(self) -> list[str]:
        """Trials that are not finished, and whose warm-up is committed."""
        trials = [trial for trial in self.trials.values() if not self.is_finished(trial.trial_id)]
        return [trial.trial_id for trial in trials if self.is_done(warmup_key(trial.config))]

    def warmup(self, key: str) -> "StageFolder":
        """The folder of one warm-up."""
        return StageFolder(self._part("warmups", key))

    def heartbeat(self, name: str) -> Path:
        """The heartbeat file of the process of a trial or warm-up."""
        return (self.trial(name).path if name in self.trials else self.warmup(name).path) / "at.json"

    def _part(self, kind: str, name: str) -> Path:
        is_name = name.isprintable() and len(name.encode(errors="replace")) <= 255
        if name in ("", ".", "..") or not is_name or Path(name).name != name:
            raise RunFolderError(f"{self.path / kind}: {name!r} is not the name of a folder in it")
        return self.path / kind / name


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


def _is_beginning(path: Path) -> bool:
    """Whether a process that was killed while it created a run folder may have left this file."""
    return path.name in (LOCK, STOP, "environment.json") or is_leftover(path)


def _environment() -> dict[str, object]:
    packages = ("ripu-ray", "ray", "torch", "numpy", "pandas", "pyarrow", "wandb", "pydantic")
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: metadata.version(name) for name in packages},
        "git_revision": _git_revision(),
    }


def _git_revision() -> str | None:
    """Revision of this file's checkout, with `-dirty` if it was changed; None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
