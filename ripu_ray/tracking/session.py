"""W&B's runs as this package opens them. Nothing here is imported before a run is opened: it takes 0.7 s."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.tracking.mode import QUIET

_TIMEOUT_S = {"online": 8.0, "offline": 60.0}
"""For the start of a run, and for what is not uploaded yet at its end: the rest stays on disk."""


def identify(run: RunFolder, name: str, kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What W&B calls a run of a sweep: arguments of `wandb.init`. The same run has the same id in every process."""
    return {
        "project": run.config.tracking.project,
        "entity": run.config.tracking.entity,
        "group": run.name,
        "job_type": kind,
        "name": name,
        "id": re.sub(r"[^A-Za-z0-9_.-]", "-", f"{run.name}-{name}"),
        "config": dict(config),
    }


def open_run(identity: Mapping[str, Any], folder: Path, is_online: bool) -> Any:
    """Open a run of W&B, or go on with it.

    Args:
        identity: of `identify`.
        folder: gets a folder `wandb` with the run's files.
        is_online: whether the run is uploaded.

    Returns:
        The run. Its `finish` raises TimeoutError when the upload does not end in time.
    """
    os.environ |= {name: os.environ.get(name, value) for name, value in QUIET.items()}
    import wandb

    folder.mkdir(parents=True, exist_ok=True)
    mode = "online" if is_online else "offline"
    settings = wandb.Settings(
        silent=True,
        console="off",
        init_timeout=_TIMEOUT_S[mode],
        finish_timeout=_TIMEOUT_S[mode],
        finish_timeout_raises=True,
        # The run folder's environment.json has the packages and the revision.
        disable_git=True,
        x_save_requirements=False,
    )
    return wandb.init(**identity, resume="allow", dir=str(folder.absolute()), mode=mode, settings=settings)  # type: ignore[arg-type]


def end_session() -> None:
    """Let go of a W&B that failed, so that another run can be opened."""
    import wandb

    # It exits with the code of its own process, where that has failed.
    with suppress(Exception, SystemExit):
        wandb.teardown()
