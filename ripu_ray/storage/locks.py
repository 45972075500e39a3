"""Exclusive locks. A lock is a file that names its holder. The holder renews the file with a heartbeat.

Of several processes, one creates the file. On this machine, the kernel's lock (flock) shows at once whether the holder
is alive. On other machines, behind a URL, and on file systems without flock or hard links, the heartbeat shows this: if
there is none for `PATIENCE_S`, one of the waiting processes takes the file over.
"""

import fcntl
import hashlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, TextIO

from ripu_ray.storage.files import LACKS_CALL, one_line_error, path_beside, replace_file
from ripu_ray.storage.remote import RemotePath

BEAT_S = 10.0
"""Interval of the heartbeat."""
PATIENCE_S = 60.0
"""A lease expires after this time without a heartbeat, by the waiting process's clock: clocks need not agree."""
Release = Callable[[], None]
"""Releases a lock."""
Stamp = tuple[bytes, int]
"""Content of a lock and time of its last heartbeat, which is compared with earlier ones only."""


class FileHeldError(Exception):
    """Another process holds the file.

    Attributes:
        text: the content of the file.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Watch(Protocol):
    """Called by a process that waits for a lock."""

    def __call__(self, text: str, seconds: float) -> object:
        """Called with the text of the present holder, and the seconds for which its heartbeat will be watched."""


class _Lease:
    """A lock on a file system or in a store that can only create a file exclusively and replace it."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.content = path, text.encode()

    def create(self) -> None:
        """Create the lock. Raises FileExistsError."""
        _create(self.path, self.content)

    def replace(self) -> None:
        """Put this lock in place of another one."""
        replace_file(self.path, lambda file: file.write(self.content))

    def take_dead(self, is_dead: Callable[[str], bool]) -> str | None:
        """Take over the lock if its holder is known to be dead. Returns its text; None: it must be watched."""
        return None

    def renew(self) -> None:
        """Write a heartbeat."""
        if isinstance(self.path, RemotePath):
            self.path.put(self.content)
        else:
            os.utime(self.path)


class _Flock(_Lease):
    """A lock on a file system with flock and hard links. The file appears with its text, and already locked."""

    def __init__(self, path: Path, text: str, held: Path) -> None:
        super().__init__(path, text)
        self._held = held

    def create(self) -> None:
        self.path.hardlink_to(self._held)
        self._held.unlink()

    def replace(self) -> None:
        self._held.replace(self.path)

    def take_dead(self, is_dead: Callable[[str], bool]) -> str | None:
        # For NFS, an exclusive lock needs a file that is open for writing.
        with self.path.open("r+b") as theirs:
            stamp = theirs.read(), os.fstat(theirs.fileno()).st_mtime_ns
            text = stamp[0].decode(errors="replace")
            try:
                fcntl.flock(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FileHeldError(text) from None
            if not is_dead(text):
                return None
            _claim(self, stamp)
            return text


@contextmanager
def hold_file(
    path: Path, text: str, is_dead: Callable[[str], bool], watch: Watch, lose: Callable[[], object]
) -> Iterator[tuple[str | None, Release]]:
    """Hold the lock `path`, with `text` as its content, until the block ends.

    Args:
        path: its folder is created if missing.
        text: names the holder; unique to it.
        is_dead: whether a file with this text, which no process on this machine locks, is that of a dead process.
        watch: called before the wait for the heartbeat of a holder.
        lose: called in another thread if another process took the lock over because this process was suspended.

    Yields:
        The text of the dead holder whose lock was taken over, or None; and a function that releases the lock before
        the end of the block, for a process that is about to end. Any thread may call it, more than once.

    Raises:
        FileHeldError: another process holds the lock.
        StorageError: the folder cannot be written.
    """
    with _locked(path, text) as lease:
        with one_line_error(path):
            before = _take(lease, is_dead, watch)
        ended = threading.Event()
        beat = threading.Thread(target=_beat, args=(lease, ended, lose), daemon=True)
        beat.start()

        def release() -> None:
            # The heartbeat ends first: it would take the missing file for a lost lock, or write it again in a store.
            ended.set()
            beat.join()
            with suppress(OSError):  # the lease expires
                if _read(path)[0] == lease.content:
                    path.unlink()

        try:
            yield before, release
        finally:
            release()


@contextmanager
def _locked(path: Path, text: str) -> Iterator[_Lease]:
    if isinstance(path, RemotePath):
        yield _Lease(path, text)
        return
    held = path_beside(path)
    with one_line_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = held.open("w", encoding="utf-8")
    try:
        with one_line_error(path):
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            can_lock = _lock(file, held)
            if not can_lock:
                held.unlink()
        yield _Flock(path, text, held) if can_lock else _Lease(path, text)
    finally:
        held.unlink(missing_ok=True)
        with suppress(OSError):  # on a full disk, it tries again to write the text
            file.close()


def _lock(file: TextIO, path: Path) -> bool:
    """Lock an open file. Returns whether its file system has locks and hard links."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        other = path_beside(path)
        other.hardlink_to(path)
        other.unlink()
    except OSError as error:
        if error.errno in LACKS_CALL:
            return False
        raise
    return True


def _take(lease: _Lease, is_dead: Callable[[str], bool], watch: Watch) -> str | None:
    while True:
        with suppress(FileExistsError):
            lease.create()
            return None
        try:
            if (text := lease.take_dead(is_dead)) is not None:
                return text
            stamp = _read(lease.path)
            watch(stamp[0].decode(errors="replace"), PATIENCE_S)
            _await_expiry(lease.path, stamp)
            _claim(lease, stamp)
        except FileNotFoundError:
            continue  # released meanwhile
        return stamp[0].decode(errors="replace")


def _await_expiry(path: Path, stamp: Stamp) -> None:
    """Wait until the lease has expired. Raises FileHeldError on a heartbeat, FileNotFoundError if it was released."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        time.sleep(min(1.0, BEAT_S / 2))
        _check_unchanged(path, stamp)


def _claim(lease: _Lease, stamp: Stamp) -> None:
    """Take over: of the processes that found the same dead holder, the one that creates the claim does it.

    A process may be killed while it holds the claim. The claim then expires like a lock, and the next one counts.
    """
    name = f"{lease.path.name}.{hashlib.sha256(stamp[0] + str(stamp[1]).encode()).hexdigest()[:16]}"
    for number in itertools.count():
        claim = lease.path.with_name(f"{name}-{number}")
        try:
            _create(claim, lease.content)
        except FileExistsError:
            _await_expiry(lease.path, stamp)
            continue
        try:
            _check_unchanged(lease.path, stamp)
            lease.replace()
        finally:
            for older in range(number + 1):
                lease.path.with_name(f"{name}-{older}").unlink(missing_ok=True)
        return


def _check_unchanged(path: Path, stamp: Stamp) -> None:
    if (now := _read(path)) != stamp:
        raise FileHeldError(now[0].decode(errors="replace"))


def _read(path: Path) -> Stamp:
    # A file is opened for each look: on NFS, this asks the server for its times.
    if isinstance(path, RemotePath):
        return path.read_bytes(), path.stat().st_mtime_ns
    with path.open("rb") as file:
        return file.read(), os.fstat(file.fileno()).st_mtime_ns


def _create(path: Path, content: bytes) -> None:
    if isinstance(path, RemotePath):
        path.put(content, "create")
        return
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _beat(lease: _Lease, ended: threading.Event, lose: Callable[[], object]) -> None:
    while not ended.wait(BEAT_S):
        try:
            if _read(lease.path)[0] != lease.content:
                lose()
                return
            lease.renew()
        except FileNotFoundError:
            lose()
            return
        except OSError:
            continue  # writers of results report the failure
