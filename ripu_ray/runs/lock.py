"""One process at a time in a run folder: its `lock.json` says which one."""

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
    """Who runs what is in a run folder."""

    pid: int
    host: str
    started: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.started}"


@contextmanager
def lock_run(folder: Path, say: Callable[[str], object] = lambda line: None) -> Iterator[Owner | None]:
    """Keep every other process out of a run folder until the block ends.

    Args:
        folder: made if missing.
        say: is told what is waited for: behind a URL, whether a holder lives takes a minute to see.

    Yields:
        The dead process whose lock was taken over, of this host unless the folder is behind a URL, or None.

    Raises:
        RunFolderError: another process, which it names, is at work there, or one of another host may be.
        StorageError: the folder cannot be written.
    """
    host = socket.gethostname()
    path = folder / LOCK
    mine = Owner(os.getpid(), host, datetime.now(UTC).isoformat(timespec="seconds"))

    def is_of_this_host(text: str) -> bool:
        owner = _read(text)
        return owner is not None and owner.host == host

    def watch(text: str, seconds: float) -> None:
        say(f"{folder}: held by {_read(text) or 'an unknown process'}; watching for {seconds:g} s whether it lives")

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
            f"{folder}: in use by {owner or 'an unknown process'}; whether it lives cannot be seen from {host}: "
            f"if it is gone, remove {path}"
        ) from None


def _read(text: str) -> Owner | None:
    try:
        return Owner(**json.loads(text))
    except (ValueError, TypeError):
        return None
