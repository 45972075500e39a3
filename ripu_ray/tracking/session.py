"""Opening and closing W&B runs. `wandb` is imported on first use, because that takes 0.7 s."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ripu_ray.errors import first_line
from ripu_ray.tracking.mode import QUIET, go_offline
from ripu_ray.tracking.wandb_internals import private_settings

TIMEOUT_S = {"online": 8.0, "offline": 60.0}
"""Timeout of the start of a run, and of the upload at its end; what is not uploaded stays on disk."""


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
    why = first_line(error)
    if isinstance(error, ValidationError):  # of W&B's settings, whose first line names none of them
        fault = error.errors()[0]
        why = f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
    go_offline(sweep, f"{type(error).__name__}: {why}")
