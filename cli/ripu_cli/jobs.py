"""`ripu sweep --address http://HEAD:8265`, and `ripu jobs`, `attach`, `logs` and `stop`: jobs on a cluster."""

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ripu_ray.config import Config
    from ripu_ray.distributed.jobs import JobServer

AddressOption = Annotated[
    str, typer.Option(envvar="RAY_API_SERVER_ADDRESS", help="The cluster's job server: http://HEAD:8265.")
]
JobArgument = Annotated[str, typer.Argument(help="Id of the job, which `ripu jobs` shows.", show_default=False)]


def is_job_server(address: str | None) -> bool:
    """Whether this address is a job server; for other addresses the driver runs in this process."""
    return address is not None and address.startswith(("http://", "https://"))


def submit(config: "Config", folder: Path, each: bool) -> int:
    """Run a configuration as a job, and follow it; `each`: as `--each`. Returns its exit code."""
    from ripu_ray.distributed.jobs import entrypoint
    from ripu_ray.runs.grid import expand

    expand(config)
    key = os.environ.get("WANDB_API_KEY") if config.tracking.wandb == "online" else None
    if key:
        typer.echo("ripu: WANDB_API_KEY is sent in the job's runtime environment: docs/security.md", err=True)
    command = entrypoint(config, folder, each)
    return _submit(str(config.cluster.address), folder, command, {"WANDB_API_KEY": key} if key else {})


def submit_resume(address: str, folder: Path, each: bool) -> int:
    """Resume a run folder on the cluster as a job, and follow it; `each`: as `--each`. Returns its exit code."""
    from ripu_ray.distributed.jobs import resuming_entrypoint

    return _submit(address, folder, resuming_entrypoint(folder, each), {})


def jobs(address: AddressOption) -> None:
    """List the jobs of a cluster."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from ripu_cli.display import wide_console
    from ripu_ray.distributed.jobs import JobServer, exit_code

    table = Table("job", "status", "started", "minutes", "exit code", "command", box=SIMPLE_HEAD)
    for job in JobServer(address).jobs():
        start, end = (datetime.fromtimestamp((ms or 0) / 1000) for ms in (job.start_time, job.end_time))
        ended = job.status.is_terminal()
        minutes = ((end if ended else datetime.now()) - start).total_seconds() / 60
        command = job.entrypoint.partition("\n")[0].partition(" <<")[0]
        code = str(exit_code(job)) if ended else ""
        table.add_row(job.submission_id, job.status.lower(), f"{start:%Y-%m-%d %H:%M}", f"{minutes:.1f}", code, command)
    wide_console().print(table)


def attach(job: JobArgument, address: AddressOption) -> None:
    """Follow a job's log until it ends, and exit with the job's exit code."""
    from ripu_ray.distributed.jobs import JobServer

    raise typer.Exit(_follow(JobServer(address), job))


def logs(job: JobArgument, address: AddressOption) -> None:
    """Print the output of a job so far."""
    from ripu_ray.distributed.jobs import JobServer

    server = JobServer(address)
    typer.echo(server.log(server.job(job)), nl=False)


def stop(job: JobArgument, address: AddressOption) -> None:
    """Stop a job; `--resume` or the same command resumes it later."""
    from ripu_ray.distributed.jobs import JobServer

    typer.echo(f"job {job}: {'is being stopped' if JobServer(address).stop(job) else 'was not running'}")


def _submit(address: str, folder: Path, entrypoint: str, secrets: dict[str, str]) -> int:
    from ripu_ray.distributed.jobs import JobServer

    server = JobServer(address)
    job_id, is_new = server.submit(folder.name, entrypoint, secrets)
    typer.echo(f"job {job_id}: {'submitted' if is_new else 'is running already'}")
    return _follow(server, job_id)


def _follow(server: "JobServer", job_id: str) -> int:
    from ripu_ray.distributed.jobs import exit_code

    there = f"{job_id} --address {server.address}"
    try:
        job = server.follow(job_id, _write)
    except KeyboardInterrupt:
        typer.echo(f"ripu: the job continues; follow it: ripu attach {there}; stop it: ripu stop {there}", err=True)
        return 130
    code = exit_code(job)
    if code:
        reason = (job.message or "").strip().partition("\n")[0] if job.driver_exit_code is None else f"exit code {code}"
        typer.echo(f"ripu: job {job_id} {job.status.lower()}: {reason}", err=True)
    return code


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
