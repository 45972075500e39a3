"""Holding an object of a store: no kernel tells who lives, so the holder shows it by writing the object anew."""

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
"""Between two signs of life."""
PATIENCE_S = 60.0
"""How long a holder may show none. Measured by the clock of whoever waits, so clocks need not agree."""


class FileHeldError(Exception):
    """Another process holds the file.

    Attributes:
        text: what it wrote there.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@contextmanager
def hold_file(path: Path, text: str, may_take: Callable[[str], bool]) -> Iterator[str | None]:
    """Hold `path`, which says `text` to everybody else, until the block ends.

    The kernel lets go of the file when its holder ends, however it ends, so that a holder on this machine is known to
    be alive, or dead. The file appears with its text, already held, so no other process sees anything in between.

    Args:
        path: its folder is made if missing.
        text: who holds it.
        may_take: whether a file of this text, which nobody on this machine holds, may be taken over.

    Yields:
        The text of the holder that was taken over, or None.

    Raises:
        FileHeldError: another process holds it, or may.
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
            continue  # let go of in this moment
        with theirs:
            try:
                fcntl.flock(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FileHeldError(theirs.read()) from None
            if not _is_open_file(path, theirs.fileno()):
                continue  # somebody else was faster
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
    """Hold `path`, which says `text` to everybody else, until the block ends.

    The store lets one of several writers create the object. An object that nobody has written anew for `PATIENCE_S` is
    taken over; of several that want to, again, one is let through. A holder that slept through this, such as a
    machine that was suspended, goes on unaware: all that a run writes is the same whoever writes it.

    Args:
        path: of the object.
        text: who holds it, and nobody else's text.
        wait: is told the text of a holder, and for how many seconds it will be watched.

    Yields:
        The text of the holder that was taken over, or None.

    Raises:
        FileHeldError: another process holds it.
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
            pass  # it will be taken over


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
            continue  # let go of while we watched


def _take_over(path: RemotePath, content: bytes, wait: Callable[[str, float], object]) -> str:
    theirs, written = path.read_bytes(), path.stat().st_mtime_ns
    text = theirs.decode(errors="replace")
    wait(text, PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        time.sleep(min(1.0, BEAT_S / 2))
        if path.stat().st_mtime_ns != written:
            raise FileHeldError(text)
    # One of those who have waited for the same death is let through; whoever looks later finds another holder.
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
                return  # somebody took it over
            path.put(content)
        except OSError:
            continue  # the store is in trouble, and tells whoever writes what matters
