"""`ripu dashboard`: the saved workspace of a sweep in W&B."""

from pathlib import Path

import typer

from ripu_ray.data.loading import open_domains
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.tracking.dashboard import build_workspace, save_workspace
from ripu_ray.tracking.wandb_internals import specification


def dashboard(folder: Path, dry_run: bool) -> None:
    """Save the workspace and print its URL, or print its specification."""
    run = RunFolder(folder)
    class_names = open_domains(run.config.data, with_source=False).classes.names
    if dry_run:
        typer.echo(specification(build_workspace(run, class_names)))
    else:
        typer.echo(save_workspace(run, class_names))
