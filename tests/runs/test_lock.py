"""The lock of a run folder: real processes that use the same folder, and processes that were killed in it."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from ripu_ray.errors import RunFolderError, StorageError
from ripu_ray.runs.lock import lock_run
from ripu_ray.storage import locks
from ripu_ray.storage.locks import Release, hold_file

CONTENDER = """
import sys
from pathlib import Path
from ripu_ray.errors import RunFolderError
from ripu_ray.runs.lock import lock_run
print("ready", flush=True)
sys.stdin.readline()
try:
    with lock_run(Path(sys.argv[1])) as (before, _):
        print("held", before.pid if before else "", flush=True)
        sys.stdin.readline()
except RunFolderError as error:
    print("refused", error, flush=True)
"""
"""Waits for a line, takes the lock and says so, and keeps it until there is another line."""


class Contender:
    """A process that wants the lock."""

    def __init__(self, folder: Path, host: str = "", preamble: str = "") -> None:
        command = [sys.executable, "-c", preamble + CONTENDER, str(folder)]
        if host:
            command = ["unshare", "--uts", "sh", "-c", f'hostname {host} && exec "$@"', "sh", *command]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.hears() == "ready"

    def say(self) -> None:
        """Let it go on."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def hears(self) -> str:
        """The next line of it."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def end(self, kill: bool = False) -> None:
        """End it, and wait."""
        if kill:
            self.process.send_signal(signal.SIGKILL)
        else:
            self.say()
        self.process.wait()


@contextmanager
def _contending(contender: Contender) -> Iterator[Contender]:
    with contender.process:
        try:
            yield contender
        finally:
            contender.process.kill()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Ends what a test started."""
    with ExitStack() as stack:
        yield stack


def _contend(folder: Path, stack: ExitStack, count: int = 1) -> list[Contender]:
    return [stack.enter_context(_contending(Contender(folder))) for _ in range(count)]


def test_a_second_process_is_refused_until_the_first_one_ends(tmp_path: Path, stack: ExitStack) -> None:
    first, second = _contend(tmp_path, stack, 2)
    first.say()
    assert first.hears() == "held"
    owner = json.loads((tmp_path / "lock.json").read_text())
    assert (owner["pid"], owner["host"]) == (first.process.pid, socket.gethostname())
    second.say()
    says = second.hears()
    assert says.startswith(f"refused {tmp_path}: in use by process {first.process.pid} on {socket.gethostname()}, ")
    first.end()
    assert list(tmp_path.iterdir()) == []
    with lock_run(tmp_path) as (before, _):
        assert before is None


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path, stack: ExitStack) -> None:
    (first,) = _contend(tmp_path, stack)
    first.say()
    assert first.hears() == "held"
    first.end(kill=True)
    assert (tmp_path / "lock.json").exists()
    with lock_run(tmp_path) as (before, _):
        assert before
        assert before.pid == first.process.pid


def test_a_lock_that_is_released_early_is_neither_lost_nor_taken_from_the_next_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "BEAT_S", 0.001)
    lost: list[str] = []

    def hold(text: str) -> AbstractContextManager[tuple[str | None, Release]]:
        return hold_file(tmp_path / "lock", text, lambda text: True, lambda *_: None, lambda: lost.append(text))

    threads = threading.active_count()
    with ExitStack() as next_one:
        with hold("first") as (_, release):
            release()
            assert threading.active_count() == threads
            assert next_one.enter_context(hold("second"))[0] is None
            release()
        assert (tmp_path / "lock").read_text() == "second"
    assert lost == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_at_once_one_gets_in(tmp_path: Path, stack: ExitStack, stale: bool) -> None:
    if stale:
        (dead,) = _contend(tmp_path, stack)
        dead.say()
        dead.hears()
        dead.end(kill=True)
    contenders = _contend(tmp_path, stack, 6)
    for contender in contenders:
        contender.say()
    answers = [contender.hears().split()[0] for contender in contenders]
    assert sorted(answers) == ["held", *["refused"] * 5]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"pid": 7, "host": "node7", "started": "2026-01-01T00:00:00+00:00"}', "process 7 on node7, since 2026-01-01"),
        ('{"pid": 7, "host": "HERE", "started": "then", "boot": "earlier"}', "process 7 on HERE, since then"),
        ("", "an unknown process"),
        ("[1", "an unknown process"),
    ],
)
@pytest.mark.parametrize("clock_s", [-1e6, 0, 1e6])
def test_a_lock_without_a_heartbeat_is_taken_over_whatever_the_clocks_say(
    tmp_path: Path, text: str, names: str, clock_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE_S", 1.5)
    path = tmp_path / "lock.json"
    path.write_text(text.replace("HERE", socket.gethostname()))
    os.utime(path, (path.stat().st_mtime + clock_s,) * 2)
    said: list[str] = []
    with lock_run(tmp_path, said.append) as (before, _):
        assert before
        with pytest.raises(RunFolderError, match=f"in use by process {os.getpid()}"), lock_run(tmp_path):
            pass
    assert len(said) == 1
    assert f"locked by {names.replace('HERE', socket.gethostname())}" in said[0]
    assert said[0].endswith("waiting 1.5 s for its heartbeat")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_of_another_host_with_a_heartbeat_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "BEAT_S", 0.4)
    path = tmp_path / "lock.json"
    path.write_text('{"pid": 7, "host": "node7", "started": "then"}')
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(0.3):
            os.utime(path)

    thread = threading.Thread(target=beat)
    thread.start()
    with pytest.raises(RunFolderError, match="in use by process 7 on node7"), lock_run(tmp_path):
        pass
    ended.set()
    thread.join()


NO_FLOCK = """
import errno, fcntl
def refuse(*_):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = refuse
"""
NO_LINKS = """
import errno, os
def refuse(*_, **__):
    raise OSError(errno.EPERM, "Operation not permitted")
os.link = refuse
"""
QUICK = "import ripu_ray.storage.locks as l; l.BEAT_S, l.PATIENCE_S = 0.5, 4.0\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a process another host name")
@pytest.mark.parametrize("file_system", ["", NO_FLOCK, NO_LINKS], ids=["full", "no flock", "no hard links"])
@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_of_two_hosts_one_works_and_the_other_goes_on_after_a_kill(
    tmp_path: Path, stack: ExitStack, file_system: str, order: tuple[str, str]
) -> None:
    first, second, third = (
        stack.enter_context(_contending(Contender(tmp_path, host, file_system + QUICK))) for host in (*order, order[1])
    )
    first.say()
    assert first.hears() == "held"
    assert json.loads((tmp_path / "lock.json").read_text())["host"] == order[0]
    second.say()
    assert second.hears().startswith(f"refused {tmp_path}: in use by process {first.process.pid} on {order[0]}, ")
    first.end(kill=True)
    third.say()
    assert third.hears() == f"held {first.process.pid}"
    third.end()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a process another host name")
def test_a_suspended_owner_that_was_replaced_ends(tmp_path: Path, stack: ExitStack) -> None:
    first, second = (
        stack.enter_context(_contending(Contender(tmp_path, host, NO_FLOCK + QUICK))) for host in ("one", "two")
    )
    first.say()
    assert first.hears() == "held"
    first.process.send_signal(signal.SIGSTOP)
    second.say()
    assert second.hears() == f"held {first.process.pid}"
    first.process.send_signal(signal.SIGCONT)
    assert first.process.wait(10) == 1
    assert json.loads((tmp_path / "lock.json").read_text())["host"] == "two"
    second.end()
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_watch_one_takes_over_also_after_a_killed_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE_S", 2.0)
    path = tmp_path / "lock.json"
    path.write_text('{"pid": 7, "host": "node7", "started": "then"}')
    name = hashlib.sha256(path.read_bytes() + str(path.stat().st_mtime_ns).encode()).hexdigest()[:16]
    (tmp_path / f"lock.json.{name}-0").touch()
    with ExitStack() as held, ThreadPoolExecutor(4) as threads:

        def take(_: int) -> str:
            try:
                return str(held.enter_context(lock_run(tmp_path))[0])
            except RunFolderError:
                return "refused"

        answers = sorted(threads.map(take, range(4)))
    assert answers == ["process 7 on node7, since then", "refused", "refused", "refused"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/lock\.json: cannot be written"), lock_run(tmp_path / "file"):
        pass
