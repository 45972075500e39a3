"""Atomic writes: a file is written to a temporary name, synced and renamed."""

import errno
import fcntl
import hashlib
import io
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PosixPath
from typing import IO, Any, BinaryIO

from ripu_ray.errors import StorageError
from ripu_ray.storage.remote import RemotePath

LACKS_CALL = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.EMLINK)
"""Errors of file systems without flock, hard links or fsync of folders, such as exFAT, and some of SMB and FUSE."""


def replace_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Create or replace `path` atomically.

    Args:
        path: its folder is created if missing.
        write: receives the open temporary file, which is in the same folder, or in memory for a remote path.

    Raises:
        StorageError: the write failed, for example on a full disk. `path` is unchanged; the temporary file is removed.
    """
    with one_line_error(path):
        if isinstance(path, RemotePath):
            content = io.BytesIO()
            write(content)
            path.put(content.getvalue())
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path_beside(path)
        try:
            with temporary.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)


def replace_text(path: Path, text: str) -> None:
    """Write UTF-8 text with `replace_file`."""
    replace_file(path, lambda file: file.write(text.encode()))


def replace_json(path: Path, tree: Any) -> None:
    """Write JSON with `replace_file`. Keys keep their order, so equal trees give equal bytes."""
    replace_text(path, json.dumps(tree, indent=1, allow_nan=False) + "\n")


def append_line(path: Path, line: str) -> None:
    """Append a line under a lock. The file is not synced: a power cut may lose the last lines.

    Args:
        path: several processes may append to a local file. A remote file is rewritten and may have one writer only.
        line: without the line end.

    Raises:
        StorageError: the write failed, for example on a full disk.
    """
    if isinstance(path, RemotePath):
        replace_text(path, (path.read_text(encoding="utf-8") if path.exists() else "") + line + "\n")
        return
    with one_line_error(path), path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in LACKS_CALL:
                raise
            # Without locks, a short line is still written in one call; two of them may only share a line's end.
        # A line that a full disk truncated remains a separate line.
        torn = file.seek(0, os.SEEK_END) and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n"
        file.write(b"\n" * bool(torn) + line.encode() + b"\n")


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of killed processes below `folder`. No process may be writing there."""
    for path in folder.rglob(".*.part"):
        if is_leftover(path):
            path.unlink(missing_ok=True)


def is_leftover(path: Path) -> bool:
    """Whether the name is that of a temporary file of `replace_file`."""
    return re.fullmatch(r"\..+\.\d+-[0-9a-f]{8}\.part", path.name) is not None


class InMemoryFile(PosixPath):
    """A file for reading, whose name is for messages only."""

    content: bytes

    def open(self, mode: str = "rb", *arguments: Any, **options: Any) -> IO[Any]:  # type: ignore[override]
        """Open the content for reading."""
        return io.BytesIO(self.content)


def digest(path: Path) -> str:
    """SHA-256 of the file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_unsafe_path(folder: Path, patterns: Sequence[str]) -> Path | None:
    """Return the first path that matches a pattern, such as `trials/*`, and must not be read, or None.

    Such a path is a symbolic link that is broken or leads out of the folder, or a pipe or device, which could block.
    """
    if isinstance(folder, RemotePath):
        return None  # an object store has no links or devices
    root = folder.resolve()
    return next((path for pattern in patterns for path in sorted(folder.glob(pattern)) if _is_unsafe(path, root)), None)


def _is_unsafe(path: Path, root: Path) -> bool:
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return not (path.exists() and path.resolve().is_relative_to(root))
    except FileNotFoundError:
        return False  # removed meanwhile, for example a temporary file
    except (OSError, RuntimeError):  # RuntimeError: a cycle of links
        return True
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def path_beside(path: Path) -> Path:
    """A new temporary name in the folder of `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in LACKS_CALL:
            raise
    finally:
        os.close(folder)


@contextmanager
def one_line_error(path: Path) -> Iterator[None]:
    """Convert an OSError inside the block to a StorageError that names `path`."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # torch raises a RuntimeError of its own; the OSError is its context.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        raise StorageError(f"{path}: cannot be written ({cause.strerror or cause})") from None
