"""The configuration as a whole, and where its values come from.

Each stronger than the one before: the defaults of the sections (the embedded demo), a YAML file, `--set key=value`,
the command line's flags. This module imports nothing of ours but the sections and the errors.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from ripu_ray.errors import ConfigError
from ripu_ray.settings import (
    AcquisitionName,
    Budget,
    BudgetField,
    CityscapesData,
    ClusterConfig,
    Data,
    FolderData,
    Mode,
    ModelConfig,
    Section,
    Size,
    StrategyConfig,
    SweepConfig,
    SyntheticData,
    TrackingConfig,
    TrainingConfig,
    WandbMode,
    Window,
    Windows,
)

__all__ = [
    "AcquisitionName",
    "Budget",
    "BudgetField",
    "CityscapesData",
    "ClusterConfig",
    "Config",
    "Data",
    "FolderData",
    "Mode",
    "ModelConfig",
    "Overrides",
    "Size",
    "StrategyConfig",
    "SweepConfig",
    "SyntheticData",
    "TrackingConfig",
    "TrainingConfig",
    "WandbMode",
    "Window",
    "Windows",
    "dump_config",
    "load_config",
    "to_tree",
]


def _default_dataset(data: object) -> object:
    return {"dataset": "synthetic", **data} if isinstance(data, dict) else data


class Config(Section):
    """Everything that a run, or a sweep of runs, depends on."""

    seed: int = Field(0, ge=0)
    data: Annotated[Data, Field(discriminator="dataset"), BeforeValidator(_default_dataset)] = SyntheticData()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    strategy: StrategyConfig = StrategyConfig()
    sweep: SweepConfig = SweepConfig()
    cluster: ClusterConfig = ClusterConfig()
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def _source_free_has_a_start(self) -> Self:
        if self.training.source_free and not self.model.init_from:
            raise ValueError("training.source_free needs model.init_from, the checkpoint of a source-only model")
        if self.training.source_free and self.training.warmup_steps:
            raise ValueError("training.source_free needs training.warmup_steps=0: there is no source to warm up on")
        return self

    def round_steps(self, round_index: int) -> int:
        """Optimiser updates of a round, 0-based."""
        training = self.training
        is_last = round_index == self.strategy.rounds - 1
        return training.last_round_steps or training.round_steps if is_last else training.round_steps

    def num_round_steps(self) -> int:
        """Optimiser updates of all rounds of a trial."""
        return sum(map(self.round_steps, range(self.strategy.rounds)))

    @model_validator(mode="after")
    def _batches_reach_every_worker(self) -> Self:
        smallest = min(self.training.source_batch, self.training.target_batch)
        if self.cluster.train_workers > smallest:
            raise ValueError(
                f"cluster.train_workers is {self.cluster.train_workers}: expected at most {smallest}, the smaller of "
                "training.source_batch and training.target_batch, so that every worker has an image"
            )
        return self


Overrides = Mapping[str, Any]


def load_config(file: Path | None = None, settings: Sequence[str] = (), flags: Overrides | None = None) -> Config:
    """Read and check a configuration.

    Args:
        file: YAML file of (part of) a `Config`; None for the defaults.
        settings: `key=value` texts, keys dotted, values in YAML ("training.round_steps=20").
        flags: dotted key -> value; a value of None is passed over.

    Returns:
        The checked configuration.

    Raises:
        ConfigError: one line that names the file or key and what was expected.
    """
    tree: dict[str, Any] = _read_yaml(file) if file else {}
    for setting in settings:
        key, sign, text = setting.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"--set {setting}: expected key=value, such as training.round_steps=20")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"--set {setting}: {text!r} is not a YAML value") from None
        _put(tree, key.strip(), value, origin=f"--set {setting}")
    for key, value in (flags or {}).items():
        if value is not None:
            _put(tree, key, value, origin=key)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_one_line(error, file)) from None


def dump_config(config: Config) -> str:
    """The configuration as YAML that `load_config` reads back to an equal one."""
    return yaml.safe_dump(to_tree(config), sort_keys=False, allow_unicode=True)


def to_tree(config: Config) -> dict[str, Any]:
    """The configuration as plain dicts, lists, numbers and texts."""
    tree = config.model_dump(mode="json")
    tree["strategy"]["budget"] = str(config.strategy.budget)
    tree["sweep"]["budgets"] = [str(budget) for budget in config.sweep.budgets]
    return tree


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{file}: not valid YAML{where}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: expected keys and values, found {type(tree).__name__}")
    return tree


def _put(tree: dict[str, Any], dotted: str, value: object, origin: str) -> None:
    *path, last = dotted.split(".")
    for key in path:
        child = tree.setdefault(key, {})
        if not isinstance(child, dict):
            raise ConfigError(f"{origin}: {key!r} is a value, not a section")
        tree = child
    tree[last] = value


def _one_line(error: ValidationError, file: Path | None) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("synthetic", "folder", "cityscapes"))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "unknown key"
    elif first["type"] not in ("value_error", "missing"):
        message = f"{message} (found {first['input']!r})"
    prefix = f"{file}: " if file else ""
    return f"{prefix}{place}: {message}" if place and place not in message else f"{prefix}{message}"
