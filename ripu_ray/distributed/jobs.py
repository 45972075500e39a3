"""Sweeps as jobs of a Ray cluster: submit them to its head over HTTP, follow and stop them.

The package is installed in the cluster's image. A job is one command that reads the resolved configuration from its
standard input. It runs in the folder where Ray was started, and its log contains the configuration.
"""

import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ripu_ray.distributed import cluster as _variables  # noqa: F401  isort: skip (sets Ray's variables)
import ray
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus

from ripu_ray.config import Config, dump_config, vary
from ripu_ray.distributed.job_client import TimedJobClient
from ripu_ray.errors import ClusterError, ConfigError, first_line

CONNECT_TIMEOUT_S = 5.0
"""Timeout of the first request, short because the head may be absent."""
REQUEST_TIMEOUT_S = 60.0
"""Timeout of other requests, long because a busy head starts jobs slowly."""
POLL_S = 1.0
"""Interval between two reads of a job's log."""
_END = "END_OF_CONFIG"


class JobServer:
    """The job server at the head of a cluster.

    Args:
        address: `http://HEAD:8265`, or `https://`.

    Raises:
        ClusterError: there is no answer within `CONNECT_TIMEOUT_S`, or the server is not Ray.
        ConfigError: the token is missing or wrong, or the cluster runs another Ray or Python.
    """

    def __init__(self, address: str) -> None:
        if not re.match("https?://", str(address)):
            raise ConfigError(f"--address {address}: expected the cluster's job server, such as http://HEAD:8265")
        self.address = address
        # For Ray this variable, or else RAY_ADDRESS, takes precedence over the argument.
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
        """Start a job, or find the running one with the same entrypoint.

        Args:
            name: name of the run, from which the job's id is derived. A job that has ended keeps its id; the next
                job, which resumes the same run folder, is called `name-2`, `name-3` and so on.
            entrypoint: see `entrypoint` and `resuming_entrypoint`.
            secrets: environment variables of the job. All holders of the cluster's token can read them.

        Returns:
            The job's id, and whether it was started by this call.

        Raises:
            ConfigError: a job of this name is running with another entrypoint.
        """
        stem = re.sub("[^A-Za-z0-9_.-]+", "-", name)
        jobs = {job.submission_id: job for job in self.jobs()}
        number, job_id = 1, stem
        while (job := jobs.get(job_id)) and job.status.is_terminal():
            number += 1
            job_id = f"{stem}-{number}"
        if job is None:
            # The driver requests no resources: with any, it could run on another node, and a fraction of a core would
            # prevent the last scorer from fitting.
            with self._one_line():
                environment = {"env_vars": secrets} if secrets else {}
                self._client.submit_job(entrypoint=entrypoint, submission_id=job_id, runtime_env=environment)
            return job_id, True
        if job.entrypoint != entrypoint:
            raise ConfigError(
                f"{self.address}: job {job_id} is running with other settings or another folder; stop it, or choose "
                "another --name"
            )
        return job_id, False

    def jobs(self) -> list[JobDetails]:
        """All jobs submitted to this cluster, oldest first."""
        with self._one_line():
            jobs = self._client.list_jobs()
        return sorted((job for job in jobs if job.submission_id), key=lambda job: job.start_time or 0)

    def job(self, job_id: str) -> JobDetails:
        """The job with this id. Raises ConfigError if there is none."""
        found = next((job for job in self.jobs() if job.submission_id == job_id), None)
        if found is None:
            raise ConfigError(f"{self.address}: no job {job_id}; `ripu jobs` lists them")
        return found

    def log(self, job: JobDetails) -> str:
        """The output of a job so far, without Ray's own lines before it."""
        with self._one_line():
            text: str = self._client.get_job_logs(str(job.submission_id))
        _, found, own = text.partition(f"Running entrypoint for job {job.submission_id}: {job.entrypoint}\n")
        return own if found else ""

    def follow(self, job_id: str, write: Callable[[str], object]) -> JobDetails:
        """Write a job's log as it grows, until the job ends. Returns the ended job."""
        written = 0
        while True:
            # Status before log: the log of an ended job is complete.
            job = self.job(job_id)
            text = self.log(job)
            write(text[written:])
            written = len(text)
            if job.status.is_terminal():
                return job
            time.sleep(POLL_S)

    def stop(self, job_id: str) -> bool:
        """Request a job to stop. Returns whether it was running."""
        job = self.job(job_id)
        with self._one_line():
            return not job.status.is_terminal() and self._client.stop_job(job_id)

    @staticmethod
    def exit_code(job: JobDetails) -> int:
        """Exit code of an ended job as in a shell: 128 + n after signal n."""
        if job.status == JobStatus.SUCCEEDED:
            return 0
        code: int | None = job.driver_exit_code
        return 1 if not code else 128 - code if code < 0 else code

    @contextmanager
    def _one_line(self) -> Iterator[None]:
        try:
            yield
        except AuthenticationError as error:
            variables = "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH (docs/security.md)"
            refused = "failed" in str(error).partition(":")[0]
            what = f"refuses this token; check {variables}" if refused else f"requires a token; set {variables}"
            raise ConfigError(f"{self.address}: the cluster {what}") from None
        except (OSError, KeyError) as error:
            # All exceptions of `requests` are OSErrors.
            raise ClusterError(f"no Ray at {self.address}: {first_line(error)}") from None
        except RuntimeError as error:
            raise ClusterError(f"{self.address}: {first_line(error)}") from None


def entrypoint(config: Config, folder: Path, more_flags: Sequence[str] = ()) -> str:
    """The shell command that runs a configuration on the cluster where it is started.

    Args:
        config: its `cluster.address` is replaced by `auto`; its paths are paths on the cluster.
        folder: the run folder on shared storage, relative to the folder where Ray was started.
        more_flags: of `ripu sweep`.
    """
    there = vary(config, {"cluster.address": "auto"})
    flags = [f"--name={folder.name}", f"--output={folder.parent}", *more_flags]
    command = shlex.join(["ripu", "sweep", "--config=/dev/stdin", *flags])
    # In our YAML every line begins with a space or one of our keys, so no value can forge the end marker.
    return f"{command} <<'{_END}'\n{dump_config(there, with_sources=True)}{_END}"


def resuming_entrypoint(folder: Path, more_flags: Sequence[str] = ()) -> str:
    """The shell command that resumes a run folder on the cluster. `more_flags`: of `ripu sweep`."""
    return shlex.join(["ripu", "sweep", f"--resume={folder}", *more_flags])
