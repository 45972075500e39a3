"""Where W&B runs go: settings, else what the run folder has stored, else W&B's own variables, else defaults."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from ripu_ray.config import TrackingConfig
from ripu_ray.config.fields import WandbName
from ripu_ray.errors import ConfigError, first_line
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.storage.bounded import read_json_value

FILE = "tracking.json"
"""Name of the file in the run folder with the target and the mode, which every trial on every node reads."""
LONGEST_TAG = 64
"""W&B refuses longer ones."""
_NAMES = ("API_KEY", "IDENTITY_TOKEN_FILE", "MODE", "DISABLED", "PROJECT", "ENTITY", "TAGS", "DIR")
_READ_HERE = {f"WANDB_{name}" for name in _NAMES}
_PROJECT = "ripu-ray"
_MODES: dict[str, Literal["online", "offline", "disabled"]] = {
    "online": "online",
    "run": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
_NAME = TypeAdapter(WandbName)


@dataclass(frozen=True)
class Target:
    """Attributes:
    project, entity: of the runs; without an entity, W&B's default one.
    tags: of the runs.
    folder: absolute path of the folder for W&B's files; empty for the run folder.
    """

    project: str
    entity: str | None = None
    tags: tuple[str, ...] = ()
    folder: str = ""


def find_target(tracking: TrackingConfig, run: Path) -> Target:
    """The target of a run. Raises ConfigError: the value of a variable of W&B cannot be used.

    Args:
        tracking: its settings come first.
        run: the run folder, which may be missing. What it has stored comes before the variables, so that a resumed run
            keeps its target.
    """
    stored = read_stored(run)
    if "target" in stored:
        known = dict(stored["target"])
    else:
        known = {
            "project": _named("WANDB_PROJECT"),
            "entity": _named("WANDB_ENTITY"),
            "tags": _tags(),
            "folder": str(_folder() or ""),
        }
    return Target(
        tracking.project or known.get("project") or _PROJECT,
        tracking.entity or known.get("entity"),
        tuple(known.get("tags", ())),
        known.get("folder", ""),
    )


def wanted_mode(tracking: TrackingConfig) -> Literal["auto", "online", "offline", "disabled"]:
    """`tracking.wandb`; for auto what WANDB_MODE says, or auto. Raises ConfigError: WANDB_MODE is unknown."""
    if tracking.wandb != "auto":
        return tracking.wandb
    if os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1", "yes", "on"):
        return "disabled"
    mode = os.environ.get("WANDB_MODE", "")
    if mode and mode not in _MODES:
        raise ConfigError(f"WANDB_MODE is {mode!r}: expected online, offline or disabled")
    return _MODES[mode] if mode else "auto"


def check_variables(tracking: TrackingConfig) -> None:
    """Let W&B check its variables of which this package reads none. Raises ConfigError: names one and its value."""
    given = {name: value for name, value in os.environ.items() if name.startswith("WANDB_") and name not in _READ_HERE}
    if not given or wanted_mode(tracking) == "disabled":
        return
    import wandb

    try:
        wandb.Settings().update_from_env_vars(given)
    except ValidationError as error:
        fault = error.errors()[0]
        raise ConfigError(f"{_holding(given, fault['input'])}: {fault['msg']}") from None
    except wandb.Error as error:
        raise ConfigError(f"a variable WANDB_... is wrong: {first_line(error)}") from None


def _holding(variables: dict[str, str], value: Any) -> str:
    names = [f"{name} is {value!r}" for name, held in variables.items() if held == value]
    return names[0] if names else f"a variable WANDB_... is {value!r}"


def files_of(run: RunFolder, name: str, folder: Path) -> Path:
    """The folder for W&B's files of a trial, or of the summary.

    Args:
        run: the sweep.
        name: of the trial, or `summary`.
        folder: in the run folder; taken unless WANDB_DIR names another place, where each run has a folder of its own.
    """
    place = find_target(run.config.tracking, run.path).folder
    return Path(place) / f"{run.name}-{run.token or 'run'}" / name if place else folder


def read_stored(run: Path) -> dict[str, Any]:
    """The content of `tracking.json`; empty if there is none."""
    try:
        tree = read_json_value(run / FILE)
    except (OSError, ValueError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _named(variable: str) -> str | None:
    name = os.environ.get(variable)
    try:
        return _NAME.validate_python(name) if name else None
    except ValidationError:
        raise ConfigError(f"{variable} is {name!r}: expected the name of a project or entity of W&B") from None


def _tags() -> list[str]:
    tags = [tag.strip() for tag in os.environ.get("WANDB_TAGS", "").split(",") if tag.strip()]
    if long := next((tag for tag in tags if len(tag) > LONGEST_TAG), None):
        raise ConfigError(
            f"WANDB_TAGS: {long!r}: expected tags of at most {LONGEST_TAG} characters, with commas between"
        )
    return tags


def _folder() -> Path | None:
    text = os.environ.get("WANDB_DIR")
    if not text:
        return None
    path = Path(text).expanduser().absolute()
    parent = next(folder for folder in (path, *path.parents) if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise ConfigError(f"WANDB_DIR is {text!r}: {parent} is not a folder that can be written")
    return path
