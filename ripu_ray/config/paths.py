"""The paths of a configuration, made absolute, so that processes with other working directories read the same files."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ripu_ray.config.fields import HubId, Section
from ripu_ray.storage.remote import RemotePath


def anchor(value: Any, folder_of: Callable[[str], Path], place: str = "") -> Any:
    """A section, or a value in it, with every path absolute.

    Args:
        value: of a validated configuration. URLs stay as they are, and so do ids of the Hugging Face Hub, unless there
            is a folder of this name.
        folder_of: dotted key of a setting -> the folder that its relative paths start from.
        place: dotted key of `value`.
    """
    if isinstance(value, Section):
        inner = {name: anchor(part, folder_of, f"{place}.{name}".lstrip(".")) for name, part in value}
        return value.model_copy(update=inner)
    if isinstance(value, tuple):
        return tuple(anchor(part, folder_of, place) for part in value)
    if isinstance(value, HubId) and (folder_of(place) / value).is_dir():
        value = Path(value)
    if isinstance(value, Path) and not isinstance(value, RemotePath):
        path = folder_of(place).absolute() / value
        # Only `..` needs the links to be followed: the folder above a link is not the one above what it points to.
        return Path(os.path.realpath(path)) if ".." in path.parts else path
    return value


def copy_paths(plain: Any, value: Any) -> Any:
    """A plain value of a tree with the paths of `value`, which is the same value validated and anchored."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(plain, dict) and isinstance(value, Section):
        return {key: copy_paths(part, getattr(value, str(key))) for key, part in plain.items()}
    if isinstance(plain, list) and isinstance(value, tuple):
        return [copy_paths(*pair) for pair in zip(plain, value, strict=True)]
    return plain
