"""Files behind URLs such as s3://bucket/folder, with the manners of `pathlib`.

Whatever fsspec knows is a place: Amazon's S3 and what speaks like it (with s3fs), Google's (with gcsfs), and others.
Credentials come from where the store's own tools look for them, never from the URL or the configuration.
"""

import errno
import io
import os
import queue
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path, PosixPath
from types import SimpleNamespace
from typing import IO, Any, Literal
from urllib.parse import unquote, urlsplit

from ripu_ray.errors import InputError, RemoteError

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://")
_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})", re.ASCII)
"""What `os.path.expandvars` looks for."""
_CHECK_TIMEOUT_S = 20.0
_NOTHING = "there is nothing of this name"


class RemotePath(PosixPath):
    """A path whose first part is a scheme, such as `s3:`, and whose files are reached by way of fsspec.

    It is a `Path`, so that whoever works with paths need not know. What a store cannot do, such as links, locks and
    renames, it refuses, and so does everything that hands it to the operating system: it has no local name.

    Whatever the store's library raises becomes FileNotFoundError, FileExistsError or, of the rest, RemoteError.
    """

    def __str__(self) -> str:
        scheme, *rest = self.parts or ("",)
        return f"{scheme}//{'/'.join(rest)}" if scheme.endswith(":") else "/".join((scheme, *rest))

    def __fspath__(self) -> str:
        raise TypeError(f"{self}: not a file of this machine")

    def absolute(self) -> "RemotePath":
        """It is."""
        return self

    def resolve(self, strict: bool = False) -> "RemotePath":
        """Itself: there are no links."""
        return self

    def is_symlink(self) -> bool:
        """There are none."""
        return False

    def exists(self) -> bool:
        """Whether there is an object of this name, or one below it."""
        return bool(self._call("exists"))

    def is_dir(self) -> bool:
        """Whether there is anything below it."""
        return bool(self._call("isdir"))

    def is_file(self) -> bool:
        """Whether there is an object of this name."""
        return bool(self._call("isfile"))

    def stat(self) -> Any:  # type: ignore[override]
        """Only `st_size`, and `st_mtime_ns`, which may be whole seconds."""
        modified = self._call("modified")
        return SimpleNamespace(st_size=self._call("size"), st_mtime_ns=int(modified.timestamp() * 1e9))

    def iterdir(self) -> Iterator["RemotePath"]:  # type: ignore[override]
        """What lies directly below."""
        for entry in self._call("ls", detail=False):
            yield self / entry.rstrip("/").rpartition("/")[2]

    def file_names(self) -> list[str]:
        """Names of the objects directly below, by one request for many of them."""
        entries = self._call("ls", detail=True)
        return [entry["name"].rpartition("/")[2] for entry in entries if entry["type"] == "file"]

    def glob(self, pattern: str) -> Iterator["RemotePath"]:  # type: ignore[override]
        """Objects and folders below that match."""
        return self._glob(pattern)

    def rglob(self, pattern: str) -> Iterator["RemotePath"]:  # type: ignore[override]
        """The same at any depth."""
        return self._glob(f"**/{pattern}")

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: a folder is there when something lies in it. A bucket is never made."""

    def touch(self, mode: int = 0o666, exist_ok: bool = True) -> None:
        """Make an empty object, unless there is one."""
        if not self.exists():
            self.put(b"")

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object."""
        if not missing_ok and not self.is_file():
            raise FileNotFoundError(errno.ENOENT, _NOTHING, str(self))
        try:
            self._call("rm_file")
        except FileNotFoundError:
            if not missing_ok:
                raise

    def open(self, mode: str = "r", buffering: int = -1, **text: Any) -> IO[Any]:  # type: ignore[override]
        """The whole content, for reading; what is to be written is handed to `put` at once."""
        if mode not in ("r", "rb"):
            raise RemoteError(errno.EROFS, f"cannot be opened for writing ({mode})", str(self))
        content = io.BytesIO(self.read_bytes())
        return content if mode == "rb" else io.TextIOWrapper(content, **text)

    def read_bytes(self) -> bytes:
        """The whole content."""
        content: bytes = self._call("cat_file")
        return content

    def write_bytes(self, data: Any) -> int:
        """Write the object at once."""
        self.put(bytes(data))
        return len(data)

    def put(self, content: bytes, mode: Literal["overwrite", "create"] = "overwrite") -> None:
        """Write the object at once.

        `create` raises FileExistsError where there is one; of several at the same time, the store lets one through.
        """
        self._call("pipe_file", content, mode=mode)

    @property
    def filesystem(self) -> Any:
        """The fsspec filesystem, which knows this path by the name `key`."""
        return _filesystem(self.parts[0].removesuffix(":"), os.getpid())

    @property
    def key(self) -> str:
        """The path as its filesystem says it: bucket and name."""
        return "/".join(self.parts[1:])

    def _glob(self, pattern: str) -> Iterator["RemotePath"]:
        for key in sorted(self._call("glob", suffix=f"/{pattern}")):
            yield self / key.removeprefix(self.key).lstrip("/")

    def _call(self, method: str, *arguments: Any, suffix: str = "", **options: Any) -> Any:
        try:
            return getattr(self.filesystem, method)(self.key + suffix, *arguments, **options)
        except FileNotFoundError as error:
            # Of a bucket that is missing, the store says so; else it repeats the name.
            reason = _reason(error)
            reason = _NOTHING if reason.strip("/") == self.key else reason
            raise FileNotFoundError(errno.ENOENT, reason, str(self)) from None
        except FileExistsError as error:
            raise FileExistsError(errno.EEXIST, _reason(error), str(self)) from None
        except Exception as error:
            raise RemoteError(errno.EIO, _reason(error), str(self)) from error


def locate(text: str) -> Path:
    """The path, local or not, that a text such as `runs`, `~/data`, `$DATA/city` or `s3://bucket/runs` names.

    `~` and `$VARIABLE` are expanded. Touches nothing.

    Raises:
        InputError: a variable that is not set, an unknown user; a URL without bucket, with a user or password, or of a
            kind that nothing here can read.
    """
    text = os.path.expandvars(text)
    if variable := _VARIABLE.search(text):
        raise InputError(f"{text}: the environment variable {variable.group()} is not set")
    match = _URL.match(text)
    if not match:
        try:
            return Path(text).expanduser()
        except RuntimeError:
            raise InputError(f"{text}: {text.partition('/')[0]} is no user of this machine") from None
    parts = urlsplit(text)
    if parts.username is not None or parts.password is not None:
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        raise InputError(f"{shown}: a URL with a user or password: give credentials in the environment instead")
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise InputError(f"{text}: expected file:// and an absolute path, such as file:///data")
        return Path(unquote(parts.path))
    if parts.query or parts.fragment or not parts.netloc:
        raise InputError(f"{text}: expected a bucket and a folder, such as s3://bucket/folder")
    try:
        _filesystem(parts.scheme, os.getpid())
    except ImportError as error:
        extra = ": pip install 'ripu-ray[s3]'" if parts.scheme == "s3" else ""
        raise InputError(f"{text}: {_reason(error)}{extra}") from None
    except ValueError:
        raise InputError(f"{text}: nothing here reads {parts.scheme}://") from None
    return RemotePath(text)


def check_writable(folder: Path) -> None:
    """Write and remove an object in a remote folder; of a local one, whoever writes there first will tell.

    Raises:
        InputError: one line that says why it does not work, after 20 s at most.
    """
    if isinstance(folder, RemotePath):
        probe = folder / f".seen.{os.getpid()}-{secrets.token_hex(4)}.part"

        def write() -> None:
            probe.put(b"written to see whether it can be\n")
            probe.unlink()

        _within_timeout(folder, write)


def check_readable(folder: Path) -> None:
    """List a remote folder; of a local one, whoever reads there will tell. Raises InputError as `check_writable`."""
    if isinstance(folder, RemotePath):
        _within_timeout(folder, lambda: folder._call("ls", detail=False))


def _within_timeout(folder: Path, ask: Callable[[], object]) -> None:
    """Ask in a thread of its own: some libraries try for minutes to reach what is not there."""
    answers: queue.SimpleQueue[OSError | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            ask()
        except OSError as error:
            answers.put(error)
        else:
            answers.put(None)

    threading.Thread(target=run, daemon=True).start()
    try:
        fault = answers.get(timeout=_CHECK_TIMEOUT_S)
    except queue.Empty:
        raise InputError(f"{folder}: no answer within {_CHECK_TIMEOUT_S:g} s") from None
    if fault:
        raise InputError(f"{folder}: {fault.strerror or fault}") from None


@lru_cache
def _filesystem(scheme: str, pid: int) -> Any:
    """One for each process, as a fork may not use its parent's connections. Lists are asked for anew each time."""
    import fsspec

    return fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
