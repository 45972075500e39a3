"""Names of runs, and whether a folder may become a run folder. No file is left by the checks."""

import os
from pathlib import Path
from tempfile import mkdtemp

from ripu_ray.errors import RunFolderError
from ripu_ray.runs.data_seal import SEAL
from ripu_ray.runs.environment import ENVIRONMENT
from ripu_ray.runs.interrupt import STOP
from ripu_ray.runs.lock import LOCK, is_lock
from ripu_ray.storage.checksums import read_json
from ripu_ray.storage.files import is_leftover
from ripu_ray.storage.remote import RemotePath

PLUGINS = "plugins"
LONGEST_NAME = 60
"""Characters of a run's name: W&B builds file names from it and the trial's id."""


def check_name(name: str) -> str:
    """The name of a run itself. Raises RunFolderError: it is not the name of a folder that can be printed."""
    is_name = isinstance(name, str) and name.strip() == name != "" and name.isprintable() and not set("/\\") & set(name)
    if not is_name or name[-1] == "." or name[0] in "-~" or len(name) > LONGEST_NAME:
        raise RunFolderError(
            f"name {name!r}: expected a name of at most {LONGEST_NAME} printable characters, without slashes, spaces "
            "around it, - or ~ in front, or a dot at the end, which some file systems drop"
        )
    return name


def check_new(path: Path) -> None:
    """Check that a run can be created in a folder: it is missing, empty, or was left by a start that was killed.

    Raises:
        RunFolderError: the name is not valid, the folder contains other files, or it cannot be created.
    """
    check_name(path.name)
    if path.exists() or path.is_symlink():
        try:
            found = list(path.iterdir())
        except OSError as error:
            raise RunFolderError(f"{path}: cannot be a run folder ({error.strerror})") from None
        # An empty file of this name may be anything unless one of ours is beside it.
        if [file.name for file in found] == [STOP] or not all(map(_is_ours, found)):
            raise RunFolderError(f"{path}: not empty and not a run folder; choose another --name or --output")
    if not isinstance(path, RemotePath):
        _check_creatable(path)


def _check_creatable(path: Path) -> None:
    parent = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not parent.is_dir():
        raise RunFolderError(f"{path}: cannot be created: {parent} is not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise RunFolderError(f"{path}: cannot be created: {parent} cannot be written")
    try:
        # Permissions are not enough: /proc, full disks and network folders may refuse a write.
        Path(mkdtemp(prefix=".seen.", suffix=".part", dir=parent)).rmdir()
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be created: {parent} cannot be written ({error.strerror})") from None


def _is_ours(path: Path) -> bool:
    """Whether a process that was killed while it created a run folder may have left this file."""
    if is_leftover(path) or (path.name == PLUGINS and path.is_dir() and (path.parent / ENVIRONMENT).exists()):
        return True
    # A process that takes a lock over has a claim beside it, whose name begins with the lock's.
    is_locked = path.name.startswith(LOCK)
    if not (is_locked or path.name in (STOP, ENVIRONMENT, SEAL)) or not path.is_file():
        return False
    try:
        content = path.read_bytes()
        if content and path.name in (ENVIRONMENT, SEAL):
            read_json(path)
    except (OSError, RunFolderError):
        return False
    return not content or path.name in (ENVIRONMENT, SEAL) or (is_locked and is_lock(content.decode(errors="replace")))
