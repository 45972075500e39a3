"""Real signals to real processes: Ctrl-C once and twice, SIGTERM, and two processes that want one run folder."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from ripu_cli.main import app
from typer.testing import CliRunner

from benchmarks.processes import ProcessTree
from ripu_ray.config import Config
from ripu_ray.data.loading import open_domains
from ripu_ray.runs.grid import schedule_steps
from ripu_ray.runs.ledger import Ledger
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.local import LocalFineTuner
from ripu_ray.training.checkpoint import identify, load_partial, load_training_state
from ripu_ray.training.job import TrainingJob
from tests.conftest import TINY
from tests.running import ignore_steps

ENDLESS = (*TINY, "training.round_steps=1000000", "training.checkpoint_every=1")
"""Nothing but a signal ends it; a step takes milliseconds."""
ALONE = (*ENDLESS, "cluster.scorers=0")
STOPPING = "ripu: stopping after the current step; interrupt again to stop now"
HOLD_IN_IMPORT = """
import os, pathlib, signal, sys
class Dropped:
    def __del__(self):  # Python prints exceptions of it, and goes on
        pathlib.Path("held").touch()
        signal.pause()
class Finder:
    def find_spec(name, path=None, target=None):
        if name == os.environ["HOLD_AT"]:
            Dropped()
sys.meta_path.insert(0, Finder)
"""
RESUME = "`ripu sweep --resume runs/x` resumes it"


def _start(folder: Path, settings: tuple[str, ...], *arguments: str) -> ProcessTree:
    flags = [flag for setting in settings for flag in ("--set", setting)]
    return ProcessTree([*(arguments or ("run",)), *flags, "--name", "x"], folder)


def _is_gcs_server(pid: int) -> bool:
    try:
        return b"gcs_server" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False  # ended in this moment


def _partials(folder: Path) -> list[Path]:
    return list((folder / "runs/x/trials").glob("*/round_00/partial.pt"))


def _job(run: RunFolder, config: Config, num_steps: int, output: Path) -> TrainingJob:
    """The round that was broken off, as far as it came."""
    (trial_id,), (key,) = run.trials, run.warmups
    ledger = Ledger(run.trial(trial_id).path, open_domains(config.data).pool.image_ids, 9)
    start, sha256 = run.warmup(key).weights, ledger.digest(0)
    return TrainingJob(config, 3, num_steps, start, output, "round 0", ledger.annotated(), sha256)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow),
    ],
)
def test_one_signal_stops_where_nothing_is_lost(tmp_path: Path, number: int, code: int) -> None:
    with _start(tmp_path, ALONE) as tree:
        assert tree.wait_until(lambda: _partials(tmp_path))
        tree.interrupt(number)
        assert tree.process.wait() == code
        assert tree.err.splitlines() == [STOPPING, f"ripu: stopped; {RESUME}"]
        assert not tree.members()
    run = RunFolder(tmp_path / "runs/x")
    assert not [path.name for path in run.path.iterdir() if path.name in ("stop", "lock.json")]
    # What was written is the state of an unbroken round after as many steps.
    (trial_id,) = run.trials
    broken = _job(run, run.trials[trial_id].config, 1_000_000, run.trial(trial_id).stage(0).weights)
    partial = load_partial(broken, identify(broken))
    assert partial
    config = broken.config
    horizon = {"schedule_steps": schedule_steps(config), "checkpoint_every": 1_000_000}
    config = config.model_copy(update={"training": config.training.model_copy(update=horizon)})
    whole = _job(run, config, partial.state.step - 3, tmp_path / "whole.pt")
    losses = LocalFineTuner(config).fit(whole, ignore_steps)
    assert {name: value / whole.num_steps for name, value in partial.sums.items()} == losses
    expected = load_training_state(whole.output).network
    assert expected.keys() == partial.state.network.keys()
    assert all(torch.equal(tensor, partial.state.network[name]) for name, tensor in expected.items())


@pytest.mark.parametrize(
    ("module", "number", "code"),
    [
        ("typer", signal.SIGINT, 130),
        ("ripu_ray.config", signal.SIGTERM, 143),
        ("ripu_ray.config", signal.SIGHUP, 129),
        ("numpy", signal.SIGINT, 130),  # once the command runs
    ],
)
def test_a_signal_in_an_import_ends_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, number: int, code: int
) -> None:
    (tmp_path / "sitecustomize.py").write_text(HOLD_IN_IMPORT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("HOLD_AT", module)
    with _start(tmp_path, ALONE) as tree:
        assert tree.wait_until(lambda: (tmp_path / "held").exists())
        tree.process.send_signal(number)
        assert (tree.process.wait(), tree.out, tree.err) == (code, "", "")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_signal_while_ray_starts_is_ours(tmp_path: Path) -> None:
    with _start(tmp_path, (*ENDLESS, "cluster.scorers=1")) as tree:
        assert tree.wait_until(lambda: "starting Ray" in tree.out)
        # As long as Ray starts, it takes the signal for its own.
        assert tree.wait_until(lambda: any(map(_is_gcs_server, tree.members())))
        tree.process.send_signal(signal.SIGTERM)
        assert tree.process.wait() == 143
        assert tree.err.splitlines() == [STOPPING, f"ripu: stopped; {RESUME}"]


@pytest.mark.slow
def test_a_second_signal_stops_now(tmp_path: Path) -> None:
    # One step takes much longer than to see that the first signal has come.
    slow = ("data.size=[256, 512]", "model.width=32", "training.source_batch=8", "training.warmup_steps=9")
    with _start(tmp_path, (*ALONE, *slow)) as tree:
        assert tree.wait_until(lambda: "warm-up, seed 0: warm-up" in tree.out)
        tree.interrupt()
        assert tree.wait_until(lambda: STOPPING in tree.err)
        tree.interrupt()
        assert tree.process.wait() == 130
        assert tree.err.splitlines() == [STOPPING, f"ripu: stopped now; {RESUME}"]
        assert not tree.members()


@pytest.mark.slow
def test_a_folder_in_use_is_refused_and_that_of_a_dead_process_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with _start(tmp_path, ALONE) as first:
        assert first.wait_until(lambda: _partials(tmp_path))
        flags = [flag for setting in ALONE for flag in ("--set", setting)]
        # The second process is this one.
        second = CliRunner().invoke(app, ["run", *flags, "--name", "x"])
        assert second.exit_code == 2
        owner = f"process {first.process.pid} on {socket.gethostname()}"
        assert second.stderr.startswith(f"ripu: runs/x: in use by {owner}, since ")
        assert second.stderr.count("\n") == 1
        before = {path: path.stat().st_ino for path in (tmp_path / "runs/x").rglob("*.parquet")}
        first.kill()
    assert json.loads((tmp_path / "runs/x/lock.json").read_text())["pid"] == first.process.pid
    with ProcessTree(["sweep", "--resume", "runs/x"], tmp_path, "third") as third:
        assert third.wait_until(lambda: "train" in third.out or (tmp_path / "runs/x/lock.json").exists())
        assert third.wait_until(lambda: third.err)
        third.interrupt()
        assert third.process.wait() == 130
        lines = third.err.splitlines()
        assert lines[0].startswith(f"ripu: runs/x: taken over from {owner}, since ")
        assert lines[0].endswith(", which has ended")
        assert lines[1:] == [STOPPING, f"ripu: stopped; {RESUME}"]
    assert {path: path.stat().st_ino for path in (tmp_path / "runs/x").rglob("*.parquet")} == before


@pytest.mark.slow
@pytest.mark.parametrize("twice", [False, True])
def test_signals_reach_trials_on_ray(tmp_path: Path, twice: bool) -> None:
    settings = (*ENDLESS, "cluster.scorers=1", "cluster.concurrent_trials=1")
    with _start(tmp_path, settings, "sweep", "--budgets", "5,9px,12px,15px,18px,21px") as tree:
        assert tree.wait_until(lambda: _partials(tmp_path))
        tree.interrupt()
        if twice:
            assert tree.wait_until(lambda: STOPPING in tree.err)
            tree.interrupt()
        assert tree.process.wait() == 130
        assert tree.err.splitlines() == [STOPPING, f"ripu: stopped{' now' * twice}; {RESUME}"]
        # Ray's own processes end with their parent, and need a moment for it.
        tree.wait_until_gone(150)
    (partial,) = _partials(tmp_path)
    assert partial.stat().st_size > 0
    # The other trials were not begun for the sake of being ended, and Tune has not made results for all of them.
    assert [path.name for path in (tmp_path / "runs/x/trials").iterdir()] == ["region-w3-ripu-b5-s0"]


def _kill_everybody(tree: ProcessTree) -> None:
    for pid in tree.members():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _signal_one(name: bytes, number: int = signal.SIGKILL) -> Callable[[ProcessTree], None]:
    def send(tree: ProcessTree) -> None:
        for pid in tree.members():
            with suppress(OSError):
                if Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].endswith(name):
                    os.kill(pid, number)

    return send


def _hang_and_kill_everybody(tree: ProcessTree) -> None:
    for name in (b"gcs_server", b"raylet"):
        _signal_one(name, signal.SIGSTOP)(tree)
    # The driver asks the control store once a second, and then waits in Ray's library. Nothing can be seen of that.
    time.sleep(2)
    _kill_everybody(tree)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kill", "code", "says"),
    [
        (_kill_everybody, 143, [STOPPING, f"ripu: Ray on this machine died; {RESUME}"]),
        (_hang_and_kill_everybody, 143, [STOPPING, f"ripu: Ray on this machine died; {RESUME}"]),
        (_signal_one(b"gcs_server"), 1, [f"ripu: Ray on this machine died; {RESUME}"]),
        (_signal_one(b"raylet"), 1, [f"ripu: Ray on this machine died; {RESUME}"]),
    ],
    ids=["SIGTERM to all", "SIGTERM to all while Ray hangs", "control store", "raylet"],
)
def test_the_death_of_our_own_ray_ends_the_run_at_once(
    tmp_path: Path, kill: Callable[[ProcessTree], None], code: int, says: list[str]
) -> None:
    with _start(tmp_path, (*ENDLESS, "cluster.scorers=1"), "sweep", "--budgets", "5") as tree:
        assert tree.wait_until(lambda: _partials(tmp_path))
        kill(tree)
        start = time.monotonic()
        assert tree.process.wait(30) == code
        seconds = time.monotonic() - start
        assert [re.sub(r" died \(.*\)", " died", line) for line in tree.err.splitlines()] == says
        tree.wait_until_gone(5)
    assert seconds < 5
    (partial,) = _partials(tmp_path)
    assert partial.stat().st_size > 0
    assert not (tmp_path / "runs/x/lock.json").exists()


@pytest.mark.slow
def test_under_nohup_a_hangup_is_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        tree = _start(tmp_path, ALONE)
    finally:
        signal.signal(signal.SIGHUP, before)
    with tree:
        assert tree.wait_until(lambda: _partials(tmp_path))
        tree.interrupt(signal.SIGHUP)
        first = _partials(tmp_path)[0].stat().st_mtime_ns
        assert tree.wait_until(lambda: _partials(tmp_path)[0].stat().st_mtime_ns > first + 10**9)
        tree.interrupt(signal.SIGTERM)
        assert tree.process.wait() == 143


def test_an_end_knows_of_a_signal_that_python_has_not_handled(tmp_path: Path) -> None:
    program = """
import ctypes, signal, sys, threading
from pathlib import Path
from ripu_cli.interrupts import stop_on_signals

with stop_on_signals(Path(sys.argv[1])) as end:
    def die():
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        end("Ray died")
    threading.Thread(target=die).start()
    ctypes.CDLL(None).sleep(60)  # the main thread, which runs handlers, waits outside Python
"""
    folder = tmp_path / "x"
    folder.mkdir()
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, timeout=50)
    assert done.returncode == 143
    assert done.stderr.splitlines()[0] == STOPPING
    assert done.stderr.splitlines()[1].startswith("ripu: Ray died; ")
