"""Failures of W&B, with real sockets and the real W&B: the trial continues offline, and nothing is lost."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import wandb

from ripu_ray.config import TrackingConfig, load_config
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.tracking import mode
from ripu_ray.tracking.mode import Decision, current, decide
from ripu_ray.tracking.wandb import WandbTracker
from tests.conftest import TINY
from tests.tracking.records import ROUNDS, WARMUP
from tests.tracking.server import KEY, WandbServer

STEPS = [record.step + record.round + 2 for record in (WARMUP, *ROUNDS)]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A key is known, and no session of W&B is shared with another test: a session keeps the server it started with."""
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    wandb.teardown()
    yield
    wandb.teardown()


@contextmanager
def _server(kind: str) -> Iterator[str]:
    """The address of a server that hangs, refuses connections, or refuses the key."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        if kind == "hangs":
            # The kernel accepts; there is no answer.
            listener.listen(100)
        if kind != "refuses the key":
            yield address
            return
    with WandbServer(takes_key=False) as server:
        yield server.url


@pytest.mark.parametrize("kind", ["hangs", "refuses connections", "refuses the key"])
def test_a_sweep_without_its_server_is_offline(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind != "refuses the key":
        monkeypatch.setattr(mode, "ANSWER_TIMEOUT_S", 3.0)
    with _server(kind) as address:
        monkeypatch.setenv("WANDB_BASE_URL", address)
        decision = decide(TrackingConfig(), tmp_path)
    assert decision.mode == "offline"
    expected = "user is not logged in" if kind == "refuses the key" else "no answer"
    assert decision.why.endswith(expected)
    assert address in decision.why
    assert KEY not in decision.why
    # Every trial follows, and asks no server.
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")
    assert current(TrackingConfig(), tmp_path) == decision


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A server that answers, and that W&B is told of."""
    with WandbServer() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        yield server


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """The folder of a sweep of two trials."""
    settings = (*TINY, "tracking.wandb=auto", "tracking.project=wheat", "sweep.seeds=[0, 1]")
    return RunFolder.create(tmp_path / "field", load_config(None, settings))


def _steps(server: WandbServer, trial_id: str) -> list[int]:
    (lines,) = (lines for name, lines in server.history.items() if name.startswith(f"{trial_id}-"))
    return [line["_step"] for line in lines]


def _sync(run: RunFolder, server: WandbServer) -> None:
    folders = sorted(map(str, run.path.glob("trials/*/wandb/offline-run-*")))
    environment = {**os.environ, "WANDB_BASE_URL": server.url, "WANDB_ERROR_REPORTING": "false"}
    command = [sys.executable, "-m", "wandb", "sync", *folders]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=run.path)
    assert "ERROR" not in done.stdout + done.stderr, done.stdout + done.stderr


@pytest.mark.slow
def test_a_resumed_run_is_not_logged_twice(run: RunFolder, online: WandbServer) -> None:
    trial_id = next(iter(run.trials))
    for records in ([WARMUP, ROUNDS[0]], [WARMUP, *ROUNDS]):
        tracker = WandbTracker(run, trial_id, run.trial(trial_id).path)
        for record in records:
            tracker.log_round(record, {})
        tracker.close()
    assert current(run.config.tracking, run.path) == Decision("online")
    assert _steps(online, trial_id) == STEPS
    assert not list(run.path.glob("trials/*/wandb/offline-run-*"))


@pytest.mark.slow
def test_a_server_that_dies_in_mid_run_costs_no_round(run: RunFolder, online: WandbServer) -> None:
    first, second = run.trials
    tracker = WandbTracker(run, first, run.trial(first).path)
    tracker.log_round(WARMUP, {})
    tracker.wait()
    online.die()
    for record in ROUNDS:
        tracker.log_round(record, {})
    tracker.close()
    assert current(run.config.tracking, run.path) == Decision("offline", "the upload did not end in time")
    # The next trial does not try.
    tracker = WandbTracker(run, second, run.trial(second).path)
    for record in (WARMUP, *ROUNDS):
        tracker.log_round(record, {})
    tracker.close()
    with WandbServer() as later:
        _sync(run, later)
        assert [_steps(later, trial_id) for trial_id in run.trials] == [STEPS] * 2


@pytest.mark.slow
def test_w_and_b_s_own_process_may_be_killed(run: RunFolder, online: WandbServer) -> None:
    trial_id = next(iter(run.trials))
    tracker = WandbTracker(run, trial_id, run.trial(trial_id).path)
    tracker.log_round(WARMUP, {})
    tracker.wait()
    threads = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    children = " ".join(thread.read_text() for thread in threads).split()
    (service,) = [child for child in children if b"wandb-core" in Path(f"/proc/{child}/cmdline").read_bytes()]
    os.kill(int(service), signal.SIGKILL)
    for record in ROUNDS:
        tracker.log_round(record, {})
    tracker.close()
    assert current(run.config.tracking, run.path).mode == "offline"
    with WandbServer() as later:
        _sync(run, later)
        assert _steps(later, trial_id) == STEPS


@pytest.mark.slow
def test_a_server_that_is_gone_after_the_question_leaves_an_offline_run(run: RunFolder, online: WandbServer) -> None:
    assert decide(run.config.tracking, run.path) == Decision("online")
    online.die()
    trial_id = next(iter(run.trials))
    tracker = WandbTracker(run, trial_id, run.trial(trial_id).path)
    tracker.log_round(WARMUP, {})
    tracker.close()
    assert current(run.config.tracking, run.path).mode == "offline"
    with WandbServer() as later:
        _sync(run, later)
        assert _steps(later, trial_id) == STEPS[:1]


@pytest.mark.slow
def test_the_console_says_it_once_and_no_key_is_written(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ripu_cli", "run", "--name", "field"]
    flags = [flag for setting in (*TINY, "tracking.wandb=auto", "cluster.scorers=0") for flag in ("--set", setting)]
    with _server("hangs") as address:
        environment = {**os.environ, "HOME": str(tmp_path), "WANDB_BASE_URL": address}
        done = subprocess.run(
            [*command, *flags], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("ripu: ")]
    assert said == [f"ripu: W&B is offline, `wandb sync` uploads later: {address}: no answer"]
    assert len(list(tmp_path.glob("runs/field/trials/*/wandb/offline-run-*/*.wandb"))) == 1
    assert KEY not in done.stdout + done.stderr
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file
