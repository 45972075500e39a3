"""Files that are either whole or not there: written aside, synced, renamed. And files that one process holds."""

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
from pathlib import Path
from typing import Any, BinaryIO

from ripu_ray.errors import StorageError
from ripu_ray.storage.remote import RemotePath


def replace_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Make `path` appear, or change, in one step.

    Args:
        path: its folder is made if missing.
        write: is given the open temporary file, which lies beside `path`, or in memory if that is remote.

    Raises:
        StorageError: such as of a full disk. Nothing appears under `path`, and the temporary file is taken away.
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
    """`replace_file` for UTF-8 text."""
    replace_file(path, lambda file: file.write(text.encode()))


def replace_json(path: Path, tree: Any) -> None:
    """`replace_file` for JSON; keys keep their order, so equal trees give equal bytes."""
    replace_text(path, json.dumps(tree, indent=1, allow_nan=False) + "\n")


def append_line(path: Path, line: str) -> None:
    """Append a line in one piece. Not synced: the last lines before a power cut may be lost.

    Args:
        path: several processes may append to it; if it is remote, one at a time: there the file is written anew.
        line: without its end.

    Raises:
        StorageError: such as of a full disk.
    """
    if isinstance(path, RemotePath):
        replace_text(path, (path.read_text(encoding="utf-8") if path.exists() else "") + line + "\n")
        return
    with one_line_error(path), path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # What a full disk has cut off stays a line of its own.
        torn = file.seek(0, os.SEEK_END) and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n"
        file.write(b"\n" * bool(torn) + line.encode() + b"\n")


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half-written anywhere below `folder`; nobody may be writing there."""
    for path in folder.rglob(".*.part"):
        if is_leftover(path):
            path.unlink(missing_ok=True)


def is_leftover(path: Path) -> bool:
    """Whether the name is that of a file which `replace_file` was writing."""
    return re.fullmatch(r"\..+\.\d+-[0-9a-f]{8}\.part", path.name) is not None


def digest(path: Path) -> str:
    """SHA-256 of the file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_stranger(folder: Path, patterns: Sequence[str]) -> Path | None:
    """What matches a pattern, such as `trials/*`, and is no part of the folder, or None.

    That is a symbolic link that leads out of it or nowhere, and a pipe or a device, which nobody should wait for.
    """
    if isinstance(folder, RemotePath):
        return None  # a store has neither
    root = folder.resolve()
    return next(
        (path for pattern in patterns for path in sorted(folder.glob(pattern)) if _is_strange(path, root)), None
    )


def _is_strange(path: Path, root: Path) -> bool:
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return not path.resolve().is_relative_to(root)
    except FileNotFoundError:
        return False  # gone in this moment, such as a temporary file
    except (OSError, RuntimeError):  # RuntimeError: links that lead to each other
        return True
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def path_beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def one_line_error(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        # torch says that its writer is out of place, and keeps what the disk said as the context.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        raise StorageError(f"{path}: cannot be written ({cause.strerror or cause})") from None
