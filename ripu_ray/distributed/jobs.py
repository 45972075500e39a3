"""Sweeps as jobs of a Ray cluster: submitted to its head over HTTP, followed, stopped.

The package is in the cluster's image. What travels is one command and the resolved configuration, which the command
reads from its standard input; so the job stays in the folder where Ray was started, and its log says what it runs.
"""

import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ripu_ray.distributed import cluster as _variables  # noqa: F401  isort: skip (sets Ray's variables)
import ray
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus

from ripu_ray.config import Config, dump_config, vary
from ripu_ray.distributed.cluster import first_line
from ripu_ray.distributed.ray_internals import TimedJobClient
from ripu_ray.errors import ClusterError, ConfigError

CONNECT_TIMEOUT_S = 5.0
"""Of the first request: a head that is not there is told soon."""
REQUEST_TIMEOUT_S = 60.0
"""Of all others: a busy head takes its time to start a job."""
POLL_S = 1.0
"""Between two looks at a job's log."""
_END = "END_OF_CONFIG"


class JobServer:
    """The job server at the head of a cluster.

    Args:
        address: `http://HEAD:8265`, or `https://`.

    Raises:
        ClusterError: nobody answers there within `CONNECT_TIMEOUT_S`, or it is no Ray.
        ConfigError: the token is missing or wrong, or the cluster runs another Ray or Python.
    """

    def __init__(self, address: str) -> None:
        if not re.match("https?://", address):
            raise ConfigError(f"--address {address}: expected the cluster's job server, such as http://HEAD:8265")
        self.address = address
        # Ray lets this variable, or else RAY_ADDRESS, win over the argument.
        os.environ["RAY_API_SERVER_ADDRESS"] = address
        with self._one_line():
            self._client = TimedJobClient(address, CONNECT_TIMEOUT_S)
            theirs = self._client.versions()
        self._client.timeout_s = REQUEST_TIMEOUT_S
        ours = ray.__version__, ".".join(map(str, sys.version_info[:3]))
        if theirs[0] != ours[0] or theirs[1].split(".")[:2] != ours[1].split(".")[:2]:
            raise ConfigError(
                f"{address}: the cluster runs Ray {theirs[0]} on Python {theirs[1]}, this is Ray {ours[0]} on "
                f"Python {ours[1]}; expected the same Ray and the same minor version of Python"
            )

    def submit(self, name: str, entrypoint: str, secrets: dict[str, str]) -> tuple[str, bool]:
        """Start a job, or find the one that is at work on the same.

        Args:
            name: of the run; the job's id is made of it. A job that has ended keeps its id, and its successor, which
                goes on in the same run folder, is called `name-2`, `name-3` and so on.
            entrypoint: see `entrypoint` and `resuming_entrypoint`.
            secrets: environment variables of the job. Whoever holds the cluster's token can read them.

        Returns:
            The job's id, and whether it was started by this call.

        Raises:
            ConfigError: a job of this name is at work on something else.
        """
        stem = re.sub("[^A-Za-z0-9_.-]+", "-", name)
        jobs = {job.submission_id: job for job in self.jobs()}
        number, job_id = 1, stem
        while (job := jobs.get(job_id)) and job.status.is_terminal():
            number += 1
            job_id = f"{stem}-{number}"
        if job is None:
            # No resources are asked for, not even a little: with any, the driver would leave the head, and a part of
            # a core that it held would keep the last scorer from fitting.
            with self._one_line():
                environment = {"env_vars": secrets} if secrets else {}
                self._client.submit_job(entrypoint=entrypoint, submission_id=job_id, runtime_env=environment)
            return job_id, True
        if job.entrypoint != entrypoint:
            raise ConfigError(
                f"{self.address}: job {job_id} is at work with other settings or another folder; stop it, or choose "
                "another --name"
            )
        return job_id, False

    def jobs(self) -> list[JobDetails]:
        """Every job that was ever submitted to this cluster, the oldest first."""
        with self._one_line():
            jobs = self._client.list_jobs()
        return sorted((job for job in jobs if job.submission_id), key=lambda job: job.start_time or 0)

    def job(self, job_id: str) -> JobDetails:
        """One job. Raises ConfigError if there is none of this id."""
        found = next((job for job in self.jobs() if job.submission_id == job_id), None)
        if found is None:
            raise ConfigError(f"{self.address}: no job {job_id}; `ripu jobs` lists them")
        return found

    def log(self, job: JobDetails) -> str:
        """What a job has printed so far, without Ray's own lines before it."""
        with self._one_line():
            text: str = self._client.get_job_logs(str(job.submission_id))
        _, found, own = text.partition(f"Running entrypoint for job {job.submission_id}: {job.entrypoint}\n")
        return own if found else ""

    def follow(self, job_id: str, write: Callable[[str], object]) -> JobDetails:
        """Hand over a job's log as it grows, until the job ends; returns the job as it ended."""
        written = 0
        while True:
            # In this order: the log of a job that has ended is complete.
            job = self.job(job_id)
            text = self.log(job)
            write(text[written:])
            written = len(text)
            if job.status.is_terminal():
                return job
            time.sleep(POLL_S)

    def stop(self, job_id: str) -> bool:
        """Ask a job to stop. Returns whether it was at work."""
        job = self.job(job_id)
        with self._one_line():
            return not job.status.is_terminal() and self._client.stop_job(job_id)

    @contextmanager
    def _one_line(self) -> Iterator[None]:
        try:
            yield
        except AuthenticationError as error:
            variables = "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH (docs/security.md)"
            refused = "failed" in str(error).partition(":")[0]
            what = f"refuses this token; look at {variables}" if refused else f"wants a token; set {variables}"
            raise ConfigError(f"{self.address}: the cluster {what}") from None
        except (OSError, KeyError) as error:
            # Whatever `requests` raises is an OSError.
            raise ClusterError(f"no Ray at {self.address}: {first_line(error)}") from None
        except RuntimeError as error:
            raise ClusterError(f"{self.address}: {first_line(error)}") from None


def entrypoint(config: Config, folder: Path) -> str:
    """The shell command that runs a configuration on the cluster that it is started in.

    Args:
        config: its `cluster.address` does not travel; paths in it are paths of the cluster.
        folder: the run folder, on storage that all nodes share; relative to where Ray was started.
    """
    there = vary(config, {"cluster.address": "auto"})
    flags = [f"--name={folder.name}", f"--output={folder.parent}"]
    command = shlex.join(["ripu", "sweep", "--config=/dev/stdin", *flags])
    # In YAML as we write it, whatever stands at the beginning of a line is a key of ours: the end cannot be forged.
    return f"{command} <<'{_END}'\n{dump_config(there)}{_END}"


def resuming_entrypoint(folder: Path) -> str:
    """The shell command that goes on with a run folder of the cluster."""
    return shlex.join(["ripu", "sweep", f"--resume={folder}"])


def exit_code(job: JobDetails) -> int:
    """Exit code of a job that has ended, as a shell would give it: 128 + n after signal n."""
    if job.status == JobStatus.SUCCEEDED:
        return 0
    code: int | None = job.driver_exit_code
    return 1 if not code else 128 - code if code < 0 else code
