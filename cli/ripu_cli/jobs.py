"""`ripu sweep --address http://HEAD:8265`, and `ripu jobs`, `attach`, `logs` and `stop`: jobs on a cluster."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

import ripu_ray as ripu
from ripu_ray.errors import printable

AddressOption = Annotated[
    str, typer.Option(envvar="RAY_API_SERVER_ADDRESS", help="The cluster's job server: http://HEAD:8265.")
]
JobArgument = Annotated[str, typer.Argument(help="Id of the job, which `ripu jobs` shows.", show_default=False)]


def submit(config: "ripu.Config", folder: Path, flags: Sequence[str]) -> int:
    """Run a configuration as a job, and follow it. Returns its exit code."""
    from ripu_cli.command import observer

    return _tell_and_follow(*ripu.submit(config, folder, flags, observer()))


def submit_resume(address: str, folder: Path, flags: Sequence[str]) -> int:
    """Resume a run folder on the cluster as a job, and follow it. Returns its exit code."""
    return _tell_and_follow(*ripu.submit_resume(address, folder, flags))


def jobs(address: AddressOption) -> None:
    """List the jobs of a cluster."""
    from ripu_cli.display import new_table, wide_console

    table = new_table("job", "status", "started", "minutes", "exit code", "command")
    for job in ripu.JobServer(address).jobs():
        start, end = (datetime.fromtimestamp((ms or 0) / 1000) for ms in (job.start_time, job.end_time))
        ended = job.status.is_terminal()
        minutes = ((end if ended else datetime.now()) - start).total_seconds() / 60
        command = job.entrypoint.partition("\n")[0].partition(" <<")[0]
        code = str(ripu.JobServer.exit_code(job)) if ended else ""
        table.add_row(
            str(job.submission_id), job.status.lower(), f"{start:%Y-%m-%d %H:%M}", f"{minutes:.1f}", code, command
        )
    wide_console().print(table)


def attach(job: JobArgument, address: AddressOption) -> None:
    """Follow a job's log until the job ends. The exit code is the job's."""
    raise typer.Exit(_follow(ripu.JobServer(address), job))


def logs(job: JobArgument, address: AddressOption) -> None:
    """Print the output of a job so far."""
    server = ripu.JobServer(address)
    _write(server.log(server.job(job)))


def stop(job: JobArgument, address: AddressOption) -> None:
    """Stop a job. `--resume` or the same command resumes it later."""
    typer.echo(f"job {job}: {'is being stopped' if ripu.JobServer(address).stop(job) else 'was not running'}")


def _tell_and_follow(server: "ripu.JobServer", job_id: str, is_new: bool) -> int:
    typer.echo(f"job {job_id}: {'submitted' if is_new else 'is running already'}")
    return _follow(server, job_id)


def _follow(server: "ripu.JobServer", job_id: str) -> int:
    there = f"{job_id} --address {server.address}"
    try:
        job = server.follow(job_id, _write)
    except KeyboardInterrupt:
        typer.echo(f"ripu: the job continues; follow it: ripu attach {there}; stop it: ripu stop {there}", err=True)
        return 130
    code = ripu.JobServer.exit_code(job)
    if code:
        reason = (job.message or "").strip().partition("\n")[0] if job.driver_exit_code is None else f"exit code {code}"
        hint = "; the cluster looks up paths on its own machines" if code == 2 else ""
        typer.echo(f"ripu: job {job_id} {job.status.lower()}: {printable(reason)}{hint}", err=True)
    return code


def _write(text: str) -> None:
    """Print a part of a log, which may hold any characters; line ends and tabs are kept."""
    typer.echo("".join(c if c in "\n\r\t" else printable(c) for c in text), nl=False)
