"""Small files of a run folder that hold their own checksum, so that an altered or torn one is found.

The checksum is no signature: it finds what disks, copies and editors do. docs/security.md says what it is not for.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from ripu_ray.errors import RunFolderError
from ripu_ray.storage.files import replace_text

_KEY, _KIND = "seal", "sha256:"
_LINE = re.compile(r"# sha256 of what follows: ([0-9a-f]{64})\n")


def write_json(path: Path, tree: dict[str, Any]) -> None:
    """Write a JSON object and, as its last key, its digest. Equal trees give equal bytes."""
    replace_text(path, _sealed_json(tree))


def read_json(path: Path) -> dict[str, Any]:
    """The object that `write_json` wrote. Raises RunFolderError: one line that names the file."""
    content = _read(path)
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        raise RunFolderError(f"{path}: torn or altered (not valid JSON)") from None
    if not isinstance(tree, dict):
        raise RunFolderError(f"{path}: expected keys and values, found {type(tree).__name__}")
    tree.pop(_KEY, None)
    if content != _sealed_json(tree).encode(errors="replace"):
        raise RunFolderError(f"{path}: torn or altered since it was written (its digest differs)")
    return tree


def write_yaml(path: Path, text: str) -> None:
    """Write YAML behind a line, a comment, with its digest."""
    replace_text(path, f"# sha256 of what follows: {hashlib.sha256(text.encode()).hexdigest()}\n{text}")


def check_yaml(path: Path) -> None:
    """Refuse a file of `write_yaml` that was altered. Raises RunFolderError: one line that names the file."""
    content = _read(path).decode(errors="replace")
    line = _LINE.match(content)
    if not line or hashlib.sha256(content[line.end() :].encode(errors="replace")).hexdigest() != line[1]:
        raise RunFolderError(
            f"{path}: torn or altered since it was written (its digest differs): it is no place to change settings"
        )


def _sealed_json(tree: dict[str, Any]) -> str:
    plain = json.dumps(tree, indent=1)
    return json.dumps({**tree, _KEY: _KIND + hashlib.sha256(plain.encode()).hexdigest()}, indent=1) + "\n"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror})") from None
