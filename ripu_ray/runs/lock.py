"""The lock of a run folder: `lock.json` names the one process that works in it."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from ripu_ray.errors import RunFolderError
from ripu_ray.storage.locks import FileHeldError, hold_file, hold_object
from ripu_ray.storage.remote import RemotePath

LOCK = "lock.json"
"""Name of the lock in the run folder."""


@dataclass(frozen=True)
class Owner:
    """The process that holds the lock."""

    pid: int
    host: str
    started: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.started}"


@contextmanager
def lock_run(folder: Path, say: Callable[[str], object] = lambda line: None) -> Iterator[Owner | None]:
    """Lock a run folder until the block ends.

    Args:
        folder: created if missing.
        say: receives a line for the user before the wait of a minute for the heartbeat of a remote lock's holder.

    Yields:
        The dead process whose lock was taken over, or None. The lock of another host is taken over only if the folder
        is remote.

    Raises:
        RunFolderError: another process holds the lock, or one on another host may hold it; names the process.
        StorageError: the folder cannot be written.
    """
    host = socket.gethostname()
    path = folder / LOCK
    mine = Owner(os.getpid(), host, datetime.now(UTC).isoformat(timespec="seconds"))

    def is_of_this_host(text: str) -> bool:
        owner = _read(text)
        return owner is not None and owner.host == host

    def watch(text: str, seconds: float) -> None:
        say(f"{folder}: locked by {_read(text) or 'an unknown process'}; waiting {seconds:g} s for its heartbeat")

    text = json.dumps(asdict(mine)) + "\n"
    held = hold_object(path, text, watch) if isinstance(path, RemotePath) else hold_file(path, text, is_of_this_host)
    try:
        with held as before:
            yield None if before is None else _read(before)
    except FileHeldError as error:
        owner = _read(error.text)
        if isinstance(path, RemotePath) or (owner and owner.host == host):
            raise RunFolderError(f"{folder}: in use by {owner}") from None
        raise RunFolderError(
            f"{folder}: in use by {owner or 'an unknown process'}; {host} cannot check whether it is alive: "
            f"if it is gone, remove {path}"
        ) from None


def is_lock(text: str) -> bool:
    """Whether this is the content of a lock."""
    return _read(text) is not None


def _read(text: str) -> Owner | None:
    try:
        return Owner(**json.loads(text))
    except (ValueError, TypeError):
        return None
