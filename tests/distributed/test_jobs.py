"""Sweeps submitted to a real head with a dashboard and a token, from a process that is not part of the cluster."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import ray
from ripu_cli.main import app
from typer.testing import CliRunner, Result

from ripu_ray.config import load_config
from ripu_ray.runs.run_folder import RunFolder
from tests.conftest import TINY
from tests.running import committed, run_all

TINY_FLAGS = [flag for setting in TINY for flag in ("--set", setting)]
ALONE = ["run", *TINY_FLAGS, "--set", "cluster.scorers=0"]
ENDLESS = [*ALONE, "--set", "training.warmup_steps=1000000", "--name", "endless"]
TOKEN, OTHER_TOKEN, KEY = "0123456789abcdef" * 2, "fedcba9876543210" * 2, "a-planted-key-" + "k" * 30


@dataclass(frozen=True)
class Head:
    """A cluster of one node, and a laptop that knows its address.

    Attributes:
        folder: where Ray was started; run folders land in its `runs`.
        laptop: where the commands are given.
    """

    address: str
    folder: Path
    laptop: Path

    def at(self, flag: str) -> "Head":
        """The same cluster at the port that `ray start` was told by `flag`."""
        started = (self.folder / "command").read_text()
        (port,) = re.findall(rf"--{flag}=(\d+)", started)
        return replace(self, address=f"{'ray://' if 'client' in flag else ''}127.0.0.1:{port}")

    def environment(self, **more: str) -> dict[str, str]:
        """Variables of a command on the laptop."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "WANDB_"))}
        ray_s = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
        return plain | ray_s | {"PATH": path, "HOME": str(self.laptop), "COLUMNS": "200"} | more

    def command(self, *arguments: str) -> list[str]:
        """A command of ours that goes to the cluster."""
        return [sys.executable, "-m", "ripu_cli", *arguments, "--address", self.address]

    def ripu(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command until it ends."""
        variables = self.environment(**environment)
        return subprocess.run(
            self.command(*arguments), cwd=self.laptop, env=variables, capture_output=True, text=True, check=False
        )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _start(head: Head, temporary: str, log: Path) -> subprocess.Popen[bytes]:
    """Start Ray, and wait until it runs, or has given up, as it does on a machine with too much to do."""
    gcs, agent, client = _free_ports(3)
    flags = {
        "port": gcs,
        "dashboard-port": head.address.rpartition(":")[2],
        "dashboard-host": "127.0.0.1",
        "dashboard-agent-listen-port": agent,
        "ray-client-server-port": client,
        "temp-dir": temporary,
        "num-cpus": 2,
    }
    ray_s = str(Path(sys.executable).with_name("ray"))
    command = [ray_s, "start", "--head", "--block", "--disable-usage-stats", *(f"--{k}={v}" for k, v in flags.items())]
    (head.folder / "command").write_text(" ".join(command))
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=head.folder, env=head.environment(), stdout=file, stderr=file)
    while process.poll() is None and "Ray runtime started" not in log.read_text():
        time.sleep(0.2)
    return process


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    folder, laptop = tmp_path_factory.mktemp("head"), tmp_path_factory.mktemp("laptop")
    # Paths of sockets have to be short.
    temporary = tempfile.mkdtemp()
    head = Head(f"http://127.0.0.1:{_free_ports(1)[0]}", folder, laptop)
    log = folder / "head.log"
    process = _start(head, temporary, log)
    if process.poll() is not None:
        process = _start(head, temporary, log)
    try:
        yield head
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(temporary, ignore_errors=True)


@pytest.mark.slow
def test_a_submitted_sweep_ends_like_one_that_runs_here(head: Head, tmp_path: Path) -> None:
    flags = ["sweep", *TINY_FLAGS, "--budgets", "5,9px", "--name", "one"]
    done = head.ripu(*flags)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.startswith("job one: submitted\n2 trials, 1 warm-up; starting Ray\n")
    assert "region-w3-ripu-b5-s0: done, mIoU" in done.stdout
    assert not (head.laptop / "runs").exists()
    there = RunFolder(head.folder / "runs/one")
    assert there.config.cluster.address == "auto"
    here = run_all(tmp_path / "run", load_config(None, (*TINY, "cluster.scorers=0"), {"sweep.budgets": ["5", "9px"]}))
    assert committed(there) == committed(here)

    # The job has ended, so the same command goes on in its folder under another id; nothing is left to do there.
    (head.folder / "runs/one/results.csv").unlink()
    for number, again in ((2, flags), (3, ["sweep", "--resume", "runs/one"])):
        done = head.ripu(*again)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert done.stdout.startswith(f"job one-{number}: submitted\n")
        assert (head.folder / "runs/one/results.csv").exists()
        assert ": round" not in done.stdout


@pytest.mark.slow
def test_a_job_ends_with_its_own_exit_code(head: Head) -> None:
    failed = head.ripu(*ALONE, "--set", "training.learning_rate=1e30", "--name", "steep")
    assert failed.returncode == 1
    assert failed.stderr == "ripu: job steep failed: exit code 1\n"
    assert "warm-up, step" in failed.stdout

    # Data is looked for where the job runs; the key travels, where W&B is asked for, and is nowhere to be read.
    lost = ["--set", "data.dataset=folder", "--set", "data.root=nowhere", "--wandb", "online", "--name", "lost"]
    refused = head.ripu("run", *TINY_FLAGS[10:], *lost, WANDB_API_KEY=KEY)
    assert refused.returncode == 2
    assert f"ripu: {head.laptop}/nowhere: data.root is not a folder" in refused.stdout
    assert "WANDB_API_KEY is sent in the job's runtime environment" in refused.stderr
    assert "job lost failed: exit code 2" in refused.stderr
    assert KEY not in refused.stdout + refused.stderr
    request = urllib.request.Request(f"{head.address}/api/jobs/lost", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request) as answer:
        about = json.load(answer)
    assert about.pop("runtime_env") == {"env_vars": {"WANDB_API_KEY": KEY}}
    assert KEY not in json.dumps(about)


@pytest.mark.slow
def test_a_job_outlives_the_one_who_watches_it(head: Head) -> None:
    watcher = subprocess.Popen(
        head.command(*ENDLESS),
        cwd=head.laptop,
        env=head.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watcher.stdout
    # Lines of the job itself, so it is at work.
    assert [watcher.stdout.readline() for _ in range(2)] == [
        "job endless: submitted\n",
        "1 trial, 1 warm-up; starting Ray\n",
    ]
    watcher.send_signal(signal.SIGINT)
    _, words = watcher.communicate()
    assert watcher.returncode == 130
    there = f"endless --address {head.address}"
    assert words == f"ripu: the job continues; follow it: ripu attach {there}; stop it: ripu stop {there}\n"

    listed = head.ripu("jobs")
    (line,) = (line for line in listed.stdout.splitlines() if "--name=endless" in line)
    assert line.split()[:2] == ["endless", "running"]
    other = head.ripu(*ENDLESS, "--budget", "7")
    assert other.returncode == 2
    assert other.stderr.count("\n") == 1
    assert "job endless is running with other settings" in other.stderr

    # The same command finds the job, and hears of its end.
    with subprocess.Popen(
        head.command(*ENDLESS), cwd=head.laptop, env=head.environment(), stdout=subprocess.PIPE, text=True
    ) as again:
        assert again.stdout
        assert again.stdout.readline() == "job endless: is running already\n"
        assert head.ripu("stop", "endless").stdout == "job endless: is being stopped\n"
        assert again.wait() == 1
    ended = head.ripu("attach", "endless")
    assert ended.returncode == 1
    assert ended.stdout.startswith("1 trial, 1 warm-up; starting Ray\n")
    assert ended.stderr.startswith("ripu: job endless stopped: ")
    assert head.ripu("logs", "endless").stdout == ended.stdout
    assert head.ripu("stop", "endless").stdout == "job endless: was not running\n"
    unknown = head.ripu("logs", "no-such-job")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert "no job no-such-job" in unknown.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"RAY_AUTH_TOKEN": OTHER_TOKEN}, "the cluster refuses this token; check RAY_AUTH_MODE=token"),
        ({"RAY_AUTH_MODE": "disabled"}, "the cluster requires a token; set RAY_AUTH_MODE=token"),
    ],
)
def test_without_the_right_token_nothing_is_submitted(head: Head, environment: dict[str, str], says: str) -> None:
    refused = head.ripu(*ALONE, "--name", "stranger", **environment)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert says in refused.stderr
    assert "stranger" not in head.ripu("jobs").stdout
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{head.address}/api/jobs/", timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["port", "ray-client-server-port", "auto"])
def test_a_driver_without_the_right_token_does_not_join(head: Head, flag: str) -> None:
    there = replace(head, address="auto") if flag == "auto" else head.at(flag)
    known = {"RAY_AUTH_TOKEN": OTHER_TOKEN, "RAY_ADDRESS": head.at("port").address}
    refused = there.ripu("run", *TINY_FLAGS, "--name", "stranger", **known)
    # Ray's own core may have a line of its own before it.
    *before, line = refused.stderr.splitlines()
    assert (refused.returncode, len(before) <= 1) == (1, True), refused.stderr
    # `auto` reads RAY_ADDRESS, in which Ray puts the node's own address for the loopback's.
    place = rf"\S+:{known['RAY_ADDRESS'].rpartition(':')[2]}" if flag == "auto" else re.escape(there.address)
    assert re.match(rf"ripu: no Ray at {place}.* for this token", line), line


class _OtherCluster(BaseHTTPRequestHandler):
    """Answers as the job server of a cluster of other versions does."""

    versions = "", ""

    def do_GET(self) -> None:
        """Say which versions."""
        ray_s, python = self.versions
        body = json.dumps({"ray_version": ray_s, "data": {"rayVersion": ray_s, "pythonVersion": python}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Be silent."""


def _here(address: str, *arguments: str) -> Result:
    """A command that goes to an address, in this process. An error that is not expected is raised."""
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*arguments, "--address", address])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.mark.parametrize(
    ("versions", "says"),
    [
        (("2.9.0", "3.11.7"), f"the cluster runs Ray 2.9.0 on Python 3.11.7, this is Ray {ray.__version__}"),
        ((ray.__version__, "3.8.2"), f"the cluster runs Ray {ray.__version__} on Python 3.8.2"),
    ],
)
def test_another_ray_or_python_is_one_line(
    versions: tuple[str, str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server = HTTPServer(("127.0.0.1", 0), type("_", (_OtherCluster,), {"versions": versions}))
    threading.Thread(target=server.serve_forever).start()
    try:
        done = _here(f"http://127.0.0.1:{server.server_port}", *ALONE)
    finally:
        server.shutdown()
        server.server_close()
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert says in done.stderr


@pytest.mark.parametrize("silent", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_job_server_that_is_not_there_is_one_line(
    silent: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        if not silent:
            listening.close()
        done = _here(address, "run", *TINY_FLAGS)
    # A job is refused before anything is printed.
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"ripu: no Ray at {address}: ")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_head_that_is_not_there_is_one_line(scheme: str, tmp_path: Path) -> None:
    address = f"{scheme}127.0.0.1:{_free_ports(1)[0]}"
    # A trial whose process does everything runs on the cluster, too.
    done = Head(address, tmp_path, tmp_path).ripu("run", *TINY_FLAGS, "--set", "cluster.scorers=0")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(f"ripu: no Ray at {address}: ")
    # The driver has begun by then.
    assert done.stdout != ""


def test_the_driver_is_refused_what_only_a_job_server_does() -> None:
    done = _here("auto", "jobs")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "--address auto: expected the cluster's job server" in done.stderr


def test_a_dry_run_for_a_cluster_looks_for_no_data_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["--set", "data.dataset=folder", "--set", "data.root=/only/there", "--dry-run"]
    done = _here("http://absent.invalid:8265", "sweep", *flags)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "4 trials, " in done.stdout
