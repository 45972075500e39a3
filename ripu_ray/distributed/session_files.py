"""The folder of a Ray of our own: its session, and all temporary files of its processes."""

import atexit
import fcntl
import getpass
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import ray

from ripu_ray.errors import ClusterError

_PREFIX = "ripu"
_OWNER = f"owner-{socket.gethostname()}"
"""Name of the locked file. It has the host, since a lock may not be seen on others that share the folder."""
_COMPILED = "TORCHINDUCTOR_CACHE_DIR"


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder (0700) for the files of a Ray that the block starts, and of its processes. All are removed at the end.

    Each process of Ray gives all users access to the folders that it uses, so a folder above them is private. Ray kills
    its processes, so they do not remove temporary files themselves. What a killed process left is removed here.

    Raises:
        ClusterError: the folder cannot be created, or Ray cannot use its name.
    """
    parent = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp").absolute()
    if not str(parent).isascii():
        raise ClusterError(
            f"Ray cannot start: {parent}: expected a path in ASCII; set RAY_TMPDIR to one, such as RAY_TMPDIR=/tmp"
        )
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_left(parent)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    except OSError as error:
        raise ClusterError(f"Ray cannot start: {parent}: {error.strerror}; set RAY_TMPDIR to a folder") from None
    _mark_owned(folder)
    before = {name: os.environ.get(name) for name in ("TMPDIR", _COMPILED)}
    # Code that torch compiled is used by later runs, too.
    with suppress(KeyError, OSError):
        user = re.sub(r'[\\/:*?"<>|]', "_", getpass.getuser())
        os.environ.setdefault(_COMPILED, str(Path(tempfile.gettempdir(), f"torchinductor_{user}")))
    atexit.register(_end_own_ray, folder, Path(os.environ.get(_COMPILED, "")))
    os.environ["TMPDIR"] = str(folder)
    try:
        yield folder
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ |= {} if value is None else {name: value}


def remove_unused_compiled(folder: Path) -> None:
    """Remove torch's folder for compiled code if it is empty. The import of torch's compiler creates this folder."""
    if folder.name.startswith("torchinductor_"):
        with suppress(OSError):
            folder.rmdir()


def _mark_owned(folder: Path) -> None:
    """Lock a file in the folder until this process ends. Without flock, the folder is not removed after a kill."""
    number = os.open(folder / f"{_OWNER}.part", os.O_CREAT | os.O_RDWR, 0o600)
    with suppress(OSError):
        fcntl.flock(number, fcntl.LOCK_EX)
        (folder / f"{_OWNER}.part").rename(folder / _OWNER)  # it appears with its lock


def _remove_left(parent: Path) -> None:
    """Remove folders of this user whose process was killed."""
    for owner in parent.glob(f"{_PREFIX}*/{_OWNER}"):
        with suppress(OSError):
            if owner.parent.lstat().st_uid != os.getuid():
                continue
            with owner.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(owner.parent, ignore_errors=True)


def _end_own_ray(folder: Path, compiled: Path) -> None:
    """End the Ray of our own before Python ends, and remove its files."""
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)
    remove_unused_compiled(compiled)
