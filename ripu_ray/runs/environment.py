"""`environment.json` of a run folder: the versions that a run was started with, and those that it was resumed with."""

import hashlib
import os
import platform
import re
import secrets
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from pydantic import TypeAdapter

from ripu_ray.runs.grid import Trial
from ripu_ray.runs.validate import read_typed
from ripu_ray.runs.versions import installed
from ripu_ray.storage.checksums import write_json

ENVIRONMENT = "environment.json"
"""Name of the file in the run folder."""
_PACKAGES = (
    *("ripu-ray", "ray", "torch", "numpy", "pandas", "pyarrow", "wandb", "pydantic", "pillow", "scikit-image"),
    *("transformers", "datasets"),  # networks and data sets
)
_FOR_GIT = ("PATH", "HOME", "XDG_CONFIG_HOME")


@dataclass(frozen=True)
class Environment:
    """Versions of one start of a run.

    Attributes:
        python: its version.
        platform: the operating system, as Python names it.
        packages: installed package -> version; of packages with a network of the user, also a digest of their sources.
        git_revision: of this package's checkout, with `-dirty` if it was changed; None outside a checkout.
        resumed_with: later environments with other versions, in order.
        token: random, of the first start, so that no two runs are taken for one; "" in later environments.
    """

    python: str
    platform: str
    packages: dict[str, str]
    git_revision: str | None
    resumed_with: list["Environment"] = field(default_factory=list)
    token: str = ""

    @property
    def versions(self) -> dict[str, str]:
        """Name -> version; that of this package includes the revision."""
        own = self.packages.get("ripu-ray", "") + (f" ({self.git_revision[:10]})" if self.git_revision else "")
        return {"python": self.python, **self.packages, "ripu-ray": own}


_ADAPTER = TypeAdapter(Environment)


def write_environment(folder: Path, trials: Iterable[Trial]) -> None:
    """Write the environment of this process to the folder of a run with these trials. Raises StorageError."""
    write_json(folder / ENVIRONMENT, asdict(replace(_environment(trials), token=secrets.token_hex(6))))


def add_environment(folder: Path, trials: Iterable[Trial]) -> str:
    """Add the environment of this process to that of an existing run, if versions changed since its last start.

    Args:
        folder: of the run.
        trials: of the run.

    Returns:
        The changes in one line, such as "torch 2.12 -> 2.13"; "" if there are none, or nothing to compare with.

    Raises:
        RunFolderError: the file was altered.
        StorageError: it cannot be written.
    """
    path = folder / ENVIRONMENT
    if not path.exists():
        return ""
    first, now = read_typed(_ADAPTER, path), _environment(trials)
    before, after = (first.resumed_with or [first])[-1].versions, now.versions
    changed = [name for name in after if name in before and after[name] != before[name]]
    if changed:
        write_json(path, asdict(replace(first, resumed_with=[*first.resumed_with, now])))
    return ", ".join(f"{name} {before[name]} -> {after[name]}" for name in changed)


def _environment(trials: Iterable[Trial]) -> Environment:
    packages = {name: version for name in _PACKAGES if (version := installed(name))}
    factories = {trial.config.model.factory or "" for trial in trials} - {""}
    for name in sorted({re.split("[.:]", factory)[0] for factory in factories}):
        if sources := _python_files(name):
            whole = hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in sources))
            packages[f"{name} (sources)"] = whole.hexdigest()[:10]
    return Environment(sys.version.split()[0], platform.platform(), packages, _git_revision())


def _python_files(name: str) -> list[Path]:
    """The Python files of an installed top-level module; none for files that are plug-ins, which are stored whole."""
    try:
        spec = find_spec(name)
    except ValueError:  # of a module that no file has
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return [file for folder in spec.submodule_search_locations for file in sorted(Path(folder).rglob("*.py"))]
    return [Path(spec.origin)] if spec.origin and spec.origin.endswith(".py") else []


def _git_revision() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    # Programs that git is configured to start, such as a monitor of files, get no keys. HOME has git's configuration.
    environment = {name: os.environ[name] for name in _FOR_GIT if name in os.environ}
    try:
        # In a session of its own, since Ctrl-C would end it, and the revision would seem to have changed.
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=10, start_new_session=True
        )
        return done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
