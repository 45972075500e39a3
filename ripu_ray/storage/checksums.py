"""Small files of a run folder that contain their own checksum, which detects truncated and altered files.

The checksum is not a signature and does not stop a forger: see docs/security.md.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from ripu_ray.errors import RunFolderError
from ripu_ray.storage.bounded import read_limited
from ripu_ray.storage.files import replace_text

_KEY, _KIND = "seal", "sha256:"
_BYTES = 2**28
"""The digests of a million images take about 200 MB."""
_LINE = re.compile(r"# sha256 of what follows: ([0-9a-f]{64})\n")


def write_json(path: Path, tree: dict[str, Any]) -> None:
    """Write a JSON object with its SHA-256 as the last key. Equal trees give equal bytes."""
    replace_text(path, _with_checksum(tree))


def read_json(path: Path) -> dict[str, Any]:
    """Read an object that `write_json` wrote. Raises RunFolderError, which names the file."""
    content = _read(path)
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        raise RunFolderError(f"{path}: torn or altered (not valid JSON)") from None
    if not isinstance(tree, dict):
        raise RunFolderError(f"{path}: expected keys and values, found {type(tree).__name__}")
    tree.pop(_KEY, None)
    if content != _with_checksum(tree).encode(errors="replace"):
        raise RunFolderError(f"{path}: torn or altered since it was written (its digest differs)")
    return tree


def write_yaml(path: Path, text: str) -> None:
    """Write YAML after a comment line with its SHA-256."""
    replace_text(path, f"# sha256 of what follows: {hashlib.sha256(text.encode()).hexdigest()}\n{text}")


def check_yaml(path: Path) -> None:
    """Check the checksum of a file of `write_yaml`. Raises RunFolderError, which names the file."""
    content = _read(path).decode(errors="replace")
    line = _LINE.match(content)
    if not line or hashlib.sha256(content[line.end() :].encode(errors="replace")).hexdigest() != line[1]:
        raise RunFolderError(
            f"{path}: torn or altered since it was written (its digest differs); settings cannot be changed here"
        )


def _with_checksum(tree: dict[str, Any]) -> str:
    plain = json.dumps(tree, indent=1)
    return json.dumps({**tree, _KEY: _KIND + hashlib.sha256(plain.encode()).hexdigest()}, indent=1) + "\n"


def _read(path: Path) -> bytes:
    try:
        return read_limited(path, _BYTES)
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror})") from None
