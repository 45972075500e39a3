"""Exclusive locks: of a local file by flock, of a remote object by a lease that its holder renews with a heartbeat."""

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ripu_ray.errors import StorageError
from ripu_ray.storage.files import one_line_error, path_beside
from ripu_ray.storage.remote import RemotePath

BEAT_S = 10.0
"""Interval of the heartbeat."""
PATIENCE_S = 60.0
"""A lease expires after this time without a heartbeat, by the waiting process's clock: clocks need not agree."""


class FileHeldError(Exception):
    """Another process holds the file.

    Attributes:
        text: the content of the file.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@contextmanager
def hold_file(path: Path, text: str, may_take: Callable[[str], bool]) -> Iterator[str | None]:
    """Lock the local file `path`, with `text` as its content, until the block ends.

    The kernel releases the lock when its holder ends, however it ends, so a holder on this machine is known to be alive
    or dead. The file appears with its text and already locked, so other processes see no intermediate state.

    Args:
        path: its folder is created if missing.
        text: names the holder.
        may_take: whether a file with this text, which no process on this machine locks, may be taken over.

    Yields:
        The text of the dead holder whose lock was taken over, or None.

    Raises:
        FileHeldError: another process holds the lock, or may hold it.
        StorageError: the folder cannot be written.
    """
    temporary = path_beside(path)
    with one_line_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        mine = temporary.open("w", encoding="utf-8")
    with mine:
        try:
            with one_line_error(path):
                fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
                mine.write(text)
                mine.flush()
                os.fsync(mine.fileno())
                before = _put_in_place(temporary, path, may_take)
        finally:
            temporary.unlink(missing_ok=True)
        try:
            yield before
        finally:
            if _is_open_file(path, mine.fileno()):
                path.unlink()


def _put_in_place(held: Path, path: Path, may_take: Callable[[str], bool]) -> str | None:
    while True:
        try:
            path.hardlink_to(held)
        except FileExistsError:
            pass
        else:
            return None
        try:
            theirs = path.open(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue  # released meanwhile
        with theirs:
            try:
                fcntl.flock(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FileHeldError(theirs.read()) from None
            if not _is_open_file(path, theirs.fileno()):
                continue  # another process took it over meanwhile
            if not may_take(text := theirs.read()):
                raise FileHeldError(text)
            held.replace(path)
            return text


def _is_open_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextmanager
def hold_object(path: RemotePath, text: str, wait: Callable[[str, float], object]) -> Iterator[str | None]:
    """Hold a lease on the remote object `path`, with `text` as its content, until the block ends.

    The store lets one of several writers create the object. An object without a heartbeat for `PATIENCE_S` is taken
    over by one of the waiting processes. A suspended holder does not notice this and continues; this is harmless, since
    the files of a run do not depend on the process that writes them.

    Args:
        path: of the object.
        text: names the holder; unique to it.
        wait: called with the text of the present holder, and the seconds for which it will be watched.

    Yields:
        The text of the dead holder whose lease was taken over, or None.

    Raises:
        FileHeldError: another process holds the lease.
        StorageError: the store cannot be written.
    """
    content = text.encode()
    try:
        before = _take(path, content, wait)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from None
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, content, ended), daemon=True)
    beat.start()
    try:
        yield before
    finally:
        ended.set()
        beat.join()
        try:
            if path.read_bytes() == content:
                path.unlink()
        except OSError:
            pass  # the lease expires


def _take(path: RemotePath, content: bytes, wait: Callable[[str, float], object]) -> str | None:
    while True:
        try:
            path.put(content, "create")
        except FileExistsError:
            pass
        else:
            return None
        try:
            return _take_over(path, content, wait)
        except FileNotFoundError:
            continue  # released meanwhile


def _take_over(path: RemotePath, content: bytes, wait: Callable[[str, float], object]) -> str:
    theirs, written = path.read_bytes(), path.stat().st_mtime_ns
    text = theirs.decode(errors="replace")
    wait(text, PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        time.sleep(min(1.0, BEAT_S / 2))
        if path.stat().st_mtime_ns != written:
            raise FileHeldError(text)
    # Of the processes that waited for the same holder, the one that creates the claim takes over.
    claim = path.with_name(f"{path.name}.{hashlib.sha256(theirs + str(written).encode()).hexdigest()[:16]}")
    try:
        claim.put(content, "create")
    except FileExistsError:
        raise FileHeldError(text) from None
    try:
        if path.read_bytes() != theirs or path.stat().st_mtime_ns != written:
            raise FileHeldError(text)
        path.put(content)
    finally:
        claim.unlink()
    return text


def _beat(path: RemotePath, content: bytes, ended: threading.Event) -> None:
    while not ended.wait(BEAT_S):
        try:
            if path.read_bytes() != content:
                return  # another process took it over
            path.put(content)
        except OSError:
            continue  # writers of results report the store's failure
