"""All private interfaces of W&B that this package uses: the files of local runs, a setting, inputs, a workspace's JSON.

tests/tracking/test_wandb_internals.py fails when they change.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ripu_ray.errors import TrackingError
from ripu_ray.runs.versions import private_use

READ_FROM = {"wandb": "0.31", "wandb-workspaces": "0.4"}
"""Package -> version in whose source these were found."""
SETTINGS = {"x_save_requirements": False}
"""Settings with the prefix `x_`, which W&B may rename in any version."""


@dataclass(frozen=True)
class LocalRuns:
    """The W&B runs of one folder.

    Attributes:
        steps: steps that were logged in any of them.
        is_pending: whether one of them is not uploaded.
        artifacts: names of artifacts that were logged in any of them.
    """

    steps: frozenset[int]
    is_pending: bool
    artifacts: frozenset[str] = frozenset()


def read_local_runs(folder: Path) -> LocalRuns:
    """Read the runs that earlier processes logged below `folder`/wandb, and repair those of killed processes.

    The run of a killed process is marked as not uploaded. It is removed if it has no entries.
    """
    steps: set[int] = set()
    artifacts: set[str] = set()
    for file in sorted(folder.glob("wandb/*run-*/*.wandb")):
        entries = read_entries(file)
        if not entries:
            shutil.rmtree(file.parent)
            continue
        steps |= {entry["history"]["step"].get("num", 0) for entry in entries if entry["type"] == "history"}
        artifacts |= {entry["artifact"]["name"] for entry in entries if entry["type"] == "artifact"}
        # Not always the last entry: W&B describes the machine in a thread, which may write after the exit.
        if all(entry["type"] != "exit" for entry in entries):
            keep_for_upload(file.parent)
    pending = [run for run in folder.glob("wandb/offline-run-*") if not list(run.glob("*.synced"))]
    return LocalRuns(frozenset(steps), bool(pending), frozenset(artifacts))


def keep_for_upload(run: Path) -> None:
    """Rename the folder of an online run to that of an offline run, which `wandb sync` uploads."""
    if run.name.startswith("run-"):
        run.rename(run.with_name(f"offline-{run.name}"))


def read_entries(file: Path) -> list[dict[str, Any]]:
    """The complete records of a `.wandb` file, each with its type and content, read by `wandb leet inspect`."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    try:
        # In a session of its own, since Ctrl-C would end it, and a resumed run would be offline.
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, start_new_session=True
        )
        return [json.loads(line) for line in done.stdout.splitlines()]
    except (subprocess.CalledProcessError, ValueError) as error:
        raise TrackingError(private_use("wandb", READ_FROM["wandb"], error)) from None


def log_input(run: Any, artifact: Any) -> None:
    """Log an artifact as an input of a run. The public `use_artifact` refuses offline runs."""
    try:
        run._log_artifact(artifact, use_after_commit=True)
    except (AttributeError, TypeError) as error:
        raise TrackingError(private_use("wandb", READ_FROM["wandb"], error)) from None


def private_settings(known: Collection[str]) -> dict[str, bool]:
    """`SETTINGS`. Raises TrackingError if W&B does not have one of them, see `known`."""
    if unknown := sorted(SETTINGS.keys() - set(known)):
        raise TrackingError(private_use("wandb", READ_FROM["wandb"], KeyError(*unknown)))
    return SETTINGS


def specification(view: Any) -> str:
    """The JSON that `save` of a workspace or a report sends to the server."""
    try:
        tree = view._to_model().model_dump(by_alias=True, exclude_none=True) if hasattr(view, "blocks") else view._spec
        return json.dumps(tree, indent=1, sort_keys=True, default=str)
    except AttributeError as error:
        package = "wandb-workspaces"
        raise TrackingError(private_use(package, READ_FROM[package], error)) from None
