"""One process at a time: real processes that want the same run folder, and ones that were killed in it."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ripu_ray.errors import RunFolderError, StorageError
from ripu_ray.runs.lock import lock_run

CONTENDER = """
import sys
from pathlib import Path
from ripu_ray.errors import RunFolderError
from ripu_ray.runs.lock import lock_run
print("ready", flush=True)
sys.stdin.readline()
try:
    with lock_run(Path(sys.argv[1])) as before:
        print("held", before.pid if before else "", flush=True)
        sys.stdin.readline()
except RunFolderError as error:
    print("refused", error, flush=True)
"""
"""Waits for a line, takes the lock and says so, and keeps it until there is another line."""


class Contender:
    """A process that wants the lock."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-c", CONTENDER, str(folder)]
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


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Ends what a test started."""
    with ExitStack() as stack:
        yield stack


def _contend(folder: Path, stack: ExitStack, count: int = 1) -> list[Contender]:
    contenders = [Contender(folder) for _ in range(count)]
    for contender in contenders:
        stack.enter_context(contender.process)
        stack.callback(contender.process.kill)
    return contenders


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
    with lock_run(tmp_path) as before:
        assert before is None


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path, stack: ExitStack) -> None:
    (first,) = _contend(tmp_path, stack)
    first.say()
    assert first.hears() == "held"
    first.end(kill=True)
    assert (tmp_path / "lock.json").exists()
    with lock_run(tmp_path) as before:
        assert before
        assert before.pid == first.process.pid


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
        ("", "an unknown process"),
    ],
)
def test_a_lock_of_another_host_is_refused_with_the_way_out(tmp_path: Path, text: str, names: str) -> None:
    path = tmp_path / "lock.json"
    path.write_text(text)
    with pytest.raises(RunFolderError, match=f"in use by {names}.*if it is gone, remove {path}"), lock_run(tmp_path):
        pass
    path.unlink()
    with lock_run(tmp_path) as before:
        assert before is None


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/lock\.json: cannot be written"), lock_run(tmp_path / "file"):
        pass
