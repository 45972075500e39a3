"""Where a trial keeps its state: folders of one trial and of one warm-up, and what is committed in them.

    <run>/config.yaml, environment.json        written before anything starts
    <run>/warmups/<key>/                        round record -1 and weights, shared by the trials
    <run>/trials/<trial_id>/round_NN/            purchase.parquet, purchase.json, weights.pt, seconds.json, record.json

A round is committed once its `record.json` has appeared.
"""

import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from importlib import metadata
from pathlib import Path

from ripu_ray.config import Config, dump_config, load_config, to_tree
from ripu_ray.errors import RunFolderError
from ripu_ray.files import digest, replace_json, replace_text
from ripu_ray.simulation.grid import Trial, expand, warmup_key
from ripu_ray.simulation.protocols import RoundRecord


class StageFolder:
    """One folder with weights and a record: a round, or a warm-up."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.weights = path / "weights.pt"
        self._record = path / "record.json"
        self._seconds = path / "seconds.json"

    def is_committed(self) -> bool:
        """Whether everything of this stage is on disk."""
        return self._record.exists()

    def commit(self, record: RoundRecord, seconds: Mapping[str, float]) -> None:
        """Declare the stage done."""
        replace_json(self._seconds, dict(seconds))
        replace_json(self._record, asdict(record))

    def read(self) -> RoundRecord:
        """The committed record. Raises RunFolderError if it, or the weights it speaks of, were altered."""
        record = read_record(self._record)
        if not self.weights.exists() or digest(self.weights) != record.weights_sha256:
            raise RunFolderError(f"{self.weights}: missing, torn or altered since it was committed")
        return record

    def seconds(self) -> dict[str, float]:
        """Seconds of each phase."""
        seconds: dict[str, float] = json.loads(self._seconds.read_text())
        return seconds


class RunFolder:
    """The folder of a sweep.

    Args:
        path: its last part is the sweep's name.

    Raises:
        RunFolderError: it holds no run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        if not self._config_path.exists():
            raise RunFolderError(f"{path}: not a run folder (it has no config.yaml)")

    @classmethod
    def create(cls, path: Path, config: Config) -> "RunFolder":
        """Write down what is about to run; going on with the same configuration is fine.

        Raises:
            RunFolderError: the folder holds another sweep, or something else, or cannot be written.
        """
        config_path = path / "config.yaml"
        if config_path.exists():
            older = load_config(config_path)
            if _identity(older) != _identity(config):
                raise RunFolderError(f"{path}: holds another sweep; choose another --name or --output")
            return cls(path)
        try:
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise RunFolderError(f"{path}: not empty and not a run folder; choose another --name or --output")
            replace_json(path / "environment.json", _environment())
            replace_text(config_path, dump_config(config))
        except OSError as error:
            raise RunFolderError(f"{path}: cannot be written ({error.strerror})") from None
        return cls(path)

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
        """The distinct warm-ups: key -> configuration of a trial that needs it."""
        return {warmup_key(trial.config): trial.config for trial in reversed(self.trials.values())}

    def trial(self, trial_id: str) -> "TrialFolder":
        """The folder of one trial."""
        return TrialFolder(self.path / "trials" / trial_id)

    def is_finished(self, trial_id: str) -> bool:
        """Whether all rounds of a trial are committed."""
        return self.trial(trial_id).num_committed() == self.config.strategy.rounds

    def warmup(self, key: str) -> "StageFolder":
        """The folder of one warm-up."""
        return StageFolder(self.path / "warmups" / key)

    @property
    def _config_path(self) -> Path:
        return self.path / "config.yaml"


class TrialFolder:
    """The folder of one trial."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stage(self, round_index: int) -> StageFolder:
        """The folder of one round."""
        return StageFolder(self.path / f"round_{round_index:02d}")

    def num_committed(self) -> int:
        """Rounds that are done."""
        count = 0
        while self.stage(count).is_committed():
            count += 1
        return count


def read_record(path: Path) -> RoundRecord:
    """Read a record. Raises RunFolderError for anything else."""
    try:
        return RoundRecord(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise RunFolderError(f"{path}: not a round record ({type(error).__name__})") from None


def _identity(config: Config) -> dict[str, object]:
    """What makes two sweeps the same: not where they run, nor who is told."""
    tree = to_tree(config)
    return {name: tree[name] for name in ("seed", "data", "model", "training", "strategy", "sweep")}


def _environment() -> dict[str, object]:
    packages = ("ripu-ray", "ray", "torch", "numpy", "pandas", "pyarrow", "wandb", "pydantic")
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: metadata.version(name) for name in packages},
        "git_revision": _git_revision(),
    }


def _git_revision() -> str | None:
    """Revision of the checkout this file is part of, with `-dirty` if it was changed; None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
