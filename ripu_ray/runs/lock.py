"""The lock of a run folder: `lock.json` names the one process that works in it."""

import json
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from ripu_ray.errors import RunFolderError
from ripu_ray.storage.locks import FileHeldError, Release, hold_file

LOCK = "lock.json"
"""Name of the lock in the run folder."""


_BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Differs between machines of one name, and before and after a restart."""


@dataclass(frozen=True)
class Owner:
    """The process that holds the lock.

    Attributes:
        pid, host: of the process.
        started: UTC, ISO 8601.
        boot: identifies the running kernel; "" if unknown.
        token: random, so that no two owners are equal.
    """

    pid: int
    host: str
    started: str
    boot: str = ""
    token: str = ""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.started}"


_UNKNOWN = Owner(0, "an unknown host", "an unknown time")
"""The owner of a damaged lock."""


@contextmanager
def lock_run(folder: Path, say: Callable[[str], object] = lambda line: None) -> Iterator[tuple[Owner | None, Release]]:
    """Lock a run folder until the block ends. If the process loses the lock because it was suspended, it ends itself.

    Args:
        folder: created if missing.
        say: receives a line for the user before the wait of a minute for the heartbeat of the lock's holder.

    Yields:
        The dead process whose lock was taken over, or None; and a function that releases the lock before the end of
        the block, for a process that is about to end. Any thread may call the function. A dead process of this host is
        detected at once. For a process of another host, or a lock with damaged text, the heartbeat decides.

    Raises:
        RunFolderError: another process holds the lock; names the process.
        StorageError: the folder cannot be written.
    """
    path = folder / LOCK
    started = datetime.now(UTC).isoformat(timespec="seconds")
    mine = Owner(os.getpid(), socket.gethostname(), started, _boot(), secrets.token_hex(8))

    def is_dead(text: str) -> bool:
        owner = _read(text)
        return owner is not None and owner.host == mine.host and owner.boot in ("", mine.boot)

    def watch(text: str, seconds: float) -> None:
        say(f"{folder}: locked by {_name(text)}; waiting {seconds:g} s for its heartbeat")

    def lose() -> None:
        # No clean-up: everything that is needed is on disk, and the files belong to another process now.
        line = f"ripu: {folder}: another process took the lock over, or it was removed; stopped now\n"
        os.write(2, line.encode(errors="replace"))
        os._exit(1)

    try:
        with hold_file(path, json.dumps(asdict(mine)) + "\n", is_dead, watch, lose) as (before, release):
            yield None if before is None else _read(before) or _UNKNOWN, release
    except FileHeldError as error:
        raise RunFolderError(f"{folder}: in use by {_name(error.text)}") from None


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def _name(text: str) -> str:
    return str(_read(text) or "an unknown process")


def is_lock(text: str) -> bool:
    """Whether this is the content of a lock."""
    return _read(text) is not None


def _read(text: str) -> Owner | None:
    try:
        return Owner(**json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None
