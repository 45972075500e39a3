"""Runs as jobs of a Ray cluster: `JobServer` follows, lists and stops them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ripu_ray.api.arguments import check_config
from ripu_ray.api.starting import SILENT, Observer, check_options
from ripu_ray.config import Config, vary
from ripu_ray.errors import ConfigError
from ripu_ray.runs.grid import expand
from ripu_ray.storage.remote import locate
from ripu_ray.tracking.mode import KEY
from ripu_ray.tracking.target import find_target, wanted_mode

if TYPE_CHECKING:
    from ripu_ray.distributed.jobs import JobServer


def is_job_server(address: str | None) -> bool:
    """Whether an address is that of a job server: http:// or https://. For others, the run starts in this process."""
    return isinstance(address, str) and address.startswith(("http://", "https://"))


def submit(
    config: Config, folder: str | Path, flags: Sequence[str] = (), observer: Observer = SILENT
) -> tuple["JobServer", str, bool]:
    """Run a configuration as a job of the cluster whose job server `cluster.address` names.

    Args:
        config: its paths are those of the cluster.
        folder: run folder on storage that the cluster's machines share.
        flags: more flags of `ripu sweep`, which the job runs.
        observer: its `notify` receives a line if a key is sent.

    Returns:
        The job server, the job's id, and whether it was started by this call: the same call finds a running job.

    Raises:
        ConfigError: a wrong configuration, address or token, or a job of this name has other settings.
        ClusterError: the server does not answer.
    """
    from ripu_ray.distributed.jobs import entrypoint

    check_config(config)
    check_options(observer)
    path, address = locate(folder), str(config.cluster.address)
    expand(config)
    target, mode = find_target(config.tracking, path), wanted_mode(config.tracking)
    own = {"tracking.wandb": mode, "tracking.project": target.project, "tracking.entity": target.entity}
    config = vary(config, own)
    key = os.environ.get(KEY) if config.tracking.wandb == "online" else None
    if key:
        observer.notify(f"{KEY} is sent in the job's runtime environment: docs/security.md")
    variables = {KEY: key or "", "WANDB_TAGS": ",".join(target.tags)}
    variables = {name: value for name, value in variables.items() if value}
    return _submit(address, path, entrypoint(config, path, flags), variables)


def submit_resume(address: str, folder: str | Path, flags: Sequence[str] = ()) -> tuple["JobServer", str, bool]:
    """Resume a run folder as a job. `folder` is its path on the cluster's machines. For all else, see `submit`."""
    from ripu_ray.distributed.jobs import resuming_entrypoint

    path = locate(folder)
    return _submit(address, path, resuming_entrypoint(path, flags), {})


def _submit(address: str, folder: Path, entrypoint: str, secrets: dict[str, str]) -> tuple["JobServer", str, bool]:
    from ripu_ray.distributed.jobs import JobServer

    if not is_job_server(address):
        raise ConfigError(f"cluster.address {address}: expected the cluster's job server, such as http://HEAD:8265")
    server = JobServer(address)
    return server, *server.submit(folder.name, entrypoint, secrets)
