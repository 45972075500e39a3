"""Opening and closing W&B runs. `wandb` is imported on first use, because that takes 0.7 s."""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ripu_ray.errors import first_line
from ripu_ray.runs.environment import ENVIRONMENT
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.storage.checksums import read_json
from ripu_ray.tracking.mode import QUIET, go_offline
from ripu_ray.tracking.target import find_target
from ripu_ray.tracking.wandb_internals import private_settings

_READABLE = 80
"""Characters of the trial's name in a run's id."""
_LONGEST_TAG = 64
"""Characters of a tag that W&B's server accepts."""
TIMEOUT_S = {"online": 8.0, "offline": 60.0}
"""Timeout of the start of a run, and of the upload at its end; what is not uploaded stays on disk."""


def identify(
    run: RunFolder, name: str, kind: str, config: Mapping[str, Any], tags: Sequence[str] = (), notes: str | None = None
) -> dict[str, Any]:
    """Arguments of `wandb.init` that identify a run of a sweep.

    The configuration gets the commit of the code that the sweep was started with, if environment.json has it. Tags of
    the user come first.

    The id is the same in every process, and when the run is resumed, also under another name of its folder. It has the
    token of the run folder, so no other run has it, and a digest, because names that differ may become the same when
    other characters are replaced.
    """
    target = find_target(run.config.tracking, run.path)
    readable = re.sub(r"[^A-Za-z0-9_.-]", "-", name)
    own = f"{run.token}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return {
        "project": target.project,
        "entity": target.entity,
        "tags": list(dict.fromkeys((*target.tags, *(tag[:_LONGEST_TAG] for tag in tags)))) or None,
        "notes": notes,
        "group": run.name,
        "job_type": kind,
        "name": name,
        "id": f"{readable[:_READABLE]}-{own}",
        "config": {**config, **({"commit": commit} if (commit := _commit(run)) else {})},
    }


def _commit(run: RunFolder) -> str | None:
    path = run.path / ENVIRONMENT
    return read_json(path).get("git_revision") if path.exists() else None


def open_run(identity: Mapping[str, Any], folder: Path, is_online: bool) -> Any:
    """Open a W&B run, or resume it.

    Args:
        identity: result of `identify`.
        folder: parent of the folder `wandb`, which holds the run's files.
        is_online: whether the run is uploaded.

    Returns:
        The run. Its `finish` raises TimeoutError if the upload does not end in time.
    """
    os.environ |= {name: os.environ.get(name, value) for name, value in QUIET.items()}
    import wandb

    folder.mkdir(parents=True, exist_ok=True)
    mode = "online" if is_online else "offline"
    settings = wandb.Settings(
        silent=True,
        console="off",
        init_timeout=TIMEOUT_S[mode],
        finish_timeout=TIMEOUT_S[mode],
        finish_timeout_raises=True,
        # environment.json in the run folder has the packages and the revision.
        disable_git=True,
        **private_settings(wandb.Settings.model_fields),
    )
    return wandb.init(**identity, resume="allow", dir=str(folder.absolute()), mode=mode, settings=settings)  # type: ignore[arg-type]


def end_session(sweep: Path, error: Exception) -> None:
    """End a W&B session that failed, so that a new run can be opened, and set the sweep in the folder offline."""
    import wandb

    # `teardown` exits with the exit code of W&B's service process if that failed.
    with suppress(Exception, SystemExit):
        wandb.teardown()
    go_offline(sweep, f"{type(error).__name__}: {first_line(error)}")
