"""Files that are either whole or not there: written aside, synced, renamed."""

import hashlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO


def replace_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Make `path` appear, or change, in one step.

    Args:
        path: its folder is made if missing.
        write: is given the open temporary file, which lies beside `path`.

    Raises:
        OSError: nothing appears under `path`, and the temporary file is taken away.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def replace_text(path: Path, text: str) -> None:
    """`replace_file` for UTF-8 text."""
    replace_file(path, lambda file: file.write(text.encode()))


def replace_json(path: Path, tree: Any) -> None:
    """`replace_file` for JSON; keys keep their order, so equal trees give equal bytes."""
    replace_text(path, json.dumps(tree, indent=1, allow_nan=False) + "\n")


def digest(path: Path) -> str:
    """SHA-256 of the file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
