"""Files at URLs such as s3://bucket/folder, with the interface of `pathlib`.

Any fsspec filesystem works: S3 and compatible stores (with s3fs), Google Cloud Storage (with gcsfs), and others.
Credentials come from the store's own environment variables and files, never from the URL or the configuration.
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

from ripu_ray.errors import ConfigError, InputError, RemoteError, whole_message

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://")
_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})", re.ASCII)
"""What `os.path.expandvars` looks for."""
_CHECK_TIMEOUT_S = 20.0
_LONGEST_PATH, _LONGEST_PART = 4000, 255
"""Bytes of a path and of a name in it."""
_NOTHING = "there is no object of this name"
_UNSUPPORTED = ("ftp", "local", "memory")
"""Schemes of fsspec that need more than a scheme, or whose files other processes do not see under the same name."""


class RemotePath(PosixPath):
    """A path whose first part is a scheme, such as `s3:`, and whose files are read and written through fsspec.

    It is a `Path`, so most code does not distinguish it from a local path. It has no local name: links, locks, renames
    and other calls of the operating system raise TypeError.

    Errors of the store become FileNotFoundError, FileExistsError or, if they are others, RemoteError.
    """

    def __str__(self) -> str:
        scheme, *rest = self.parts or ("",)
        return f"{scheme}//{'/'.join(rest)}" if scheme.endswith(":") else "/".join((scheme, *rest))

    def __fspath__(self) -> str:
        raise TypeError(f"{self}: not a local file")

    def absolute(self) -> "RemotePath":
        """Return the path itself, which is absolute."""
        return self

    def resolve(self, strict: bool = False) -> "RemotePath":
        """Return the path itself: a store has no links."""
        return self

    def is_symlink(self) -> bool:
        """Return False: a store has no links."""
        return False

    def exists(self) -> bool:
        """Whether an object of this name, or one below it, exists."""
        return bool(self._call("exists"))

    def is_dir(self) -> bool:
        """Whether an object below this path exists."""
        return bool(self._call("isdir"))

    def is_file(self) -> bool:
        """Whether an object of this name exists."""
        return bool(self._call("isfile"))

    def stat(self) -> Any:  # type: ignore[override]
        """Return `st_size` and `st_mtime_ns` only; the latter may have a resolution of one second."""
        modified = self._call("modified")
        return SimpleNamespace(st_size=self._call("size"), st_mtime_ns=int(modified.timestamp() * 1e9))

    def iterdir(self) -> Iterator["RemotePath"]:  # type: ignore[override]
        """Yield the objects and folders directly below."""
        for entry in self._call("ls", detail=False):
            yield self / entry.rstrip("/").rpartition("/")[2]

    def entries(self) -> list[tuple[str, bool]]:
        """Names directly below and whether each is a folder, from one request for many of them."""
        entries = self._call("ls", detail=True)
        named = [(entry["name"].rstrip("/").rpartition("/")[2], entry["type"] == "directory") for entry in entries]
        return [entry for entry in named if entry[0] != self.name]

    def glob(self, pattern: str) -> Iterator["RemotePath"]:  # type: ignore[override]
        """Yield matching objects and folders."""
        return self._glob(pattern)

    def rglob(self, pattern: str) -> Iterator["RemotePath"]:  # type: ignore[override]
        """Yield matching objects and folders at any depth."""
        return self._glob(f"**/{pattern}")

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: a folder exists when it contains an object. A bucket is never created."""

    def touch(self, mode: int = 0o666, exist_ok: bool = True) -> None:
        """Create an empty object unless one exists."""
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
        """Open the whole content for reading; to write, use `put`."""
        if mode not in ("r", "rb"):
            raise RemoteError(errno.EROFS, f"cannot be opened for writing ({mode})", str(self))
        content = io.BytesIO(self.read_bytes())
        return content if mode == "rb" else io.TextIOWrapper(content, **text)

    def read_bytes(self) -> bytes:
        """Read the whole content."""
        content: bytes = self._call("cat_file")
        return content

    def write_bytes(self, data: Any) -> int:
        """Write the object in one request."""
        self.put(bytes(data))
        return len(data)

    def put(self, content: bytes, mode: Literal["overwrite", "create"] = "overwrite") -> None:
        """Write the object in one request.

        `create` raises FileExistsError if the object exists; of several concurrent writers, one succeeds.
        """
        self._call("pipe_file", content, mode=mode)

    @property
    def filesystem(self) -> Any:
        """The fsspec filesystem, in which this path has the name `key`."""
        return _filesystem(self.parts[0].removesuffix(":"), os.getpid())

    @property
    def key(self) -> str:
        """The path inside its filesystem: bucket and name."""
        return "/".join(self.parts[1:])

    def _glob(self, pattern: str) -> Iterator["RemotePath"]:
        for key in sorted(self._call("glob", suffix=f"/{pattern}")):
            yield self / key.removeprefix(self.key).lstrip("/")

    def _call(self, method: str, *arguments: Any, suffix: str = "", **options: Any) -> Any:
        try:
            return getattr(self.filesystem, method)(self.key + suffix, *arguments, **options)
        except FileNotFoundError as error:
            # The store names a missing bucket in words; for a missing object it repeats the key.
            reason = whole_message(error)
            reason = _NOTHING if reason.strip("/") == self.key else reason
            raise FileNotFoundError(errno.ENOENT, reason, str(self)) from None
        except FileExistsError as error:
            raise FileExistsError(errno.EEXIST, whole_message(error), str(self)) from None
        except NotImplementedError:
            raise RemoteError(errno.ENOTSUP, f"not supported for {self.parts[0]}//", str(self)) from None
        except Exception as error:
            raise RemoteError(errno.EIO, whole_message(error), str(self)) from error


def as_path(path: str | Path) -> Path:
    """A `Path` as it is; else see `locate`."""
    return path if isinstance(path, Path) else locate(path)


def path_text(value: object) -> str | None:
    """A text, or a path of any class as a text; None: something else, such as a path in bytes."""
    if isinstance(value, str | Path):
        return str(value)
    path = os.fspath(value) if isinstance(value, os.PathLike) else None
    return path if isinstance(path, str) else None


def locate(text: str | os.PathLike[str]) -> Path:
    """The path of a text such as `runs`, `~/data`, `$DATA/city` or `s3://bucket/runs`, without any access to it.

    `~` and `$VARIABLE` are expanded.

    Raises:
        ConfigError: a variable that is not set, or an unknown user; a URL without bucket, with a user or password, or
            with a scheme that is not supported; something else than a text or a path; a name that no file can have.
    """
    given, text = text, os.path.expandvars(path_text(text) or "")
    if not text:
        raise ConfigError(f"expected a path or a URL, found {given!r}")
    if variable := _VARIABLE.search(text):
        raise ConfigError(f"{text}: the environment variable {variable.group()} is not set")
    match = _URL.match(text)
    if not match:
        try:
            return check_nameable(Path(text).expanduser())
        except RuntimeError:
            raise ConfigError(f"{text}: there is no user {text.partition('/')[0]} on this machine") from None
    parts = urlsplit(text)
    if parts.username is not None or parts.password is not None:
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        raise ConfigError(f"{shown}: a URL with a user or password: give credentials in the environment instead")
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise ConfigError(f"{text}: expected file:// and an absolute path, such as file:///data")
        return check_nameable(Path(unquote(parts.path)))
    if parts.query or parts.fragment or not parts.netloc:
        raise ConfigError(f"{text}: expected a bucket and a folder, such as s3://bucket/folder")
    try:
        _filesystem(parts.scheme, os.getpid())
    except ImportError as error:
        extra = ": pip install 'ripu-ray[s3]'" if parts.scheme == "s3" else ""
        raise ConfigError(f"{text}: {whole_message(error)}{extra}") from None
    except (ValueError, TypeError, OSError):  # an unknown scheme, or one that needs more, such as zip://
        raise ConfigError(f"{text}: {parts.scheme}:// is not supported") from None
    return RemotePath(text)


def check_writable(folder: Path) -> None:
    """Write and remove an object in a remote folder; a local folder is not checked.

    Raises:
        InputError: the write failed, or there was no answer within 20 s.
    """
    if isinstance(folder, RemotePath):
        _refuse_web(folder, "written")
        probe = folder / f".seen.{os.getpid()}-{secrets.token_hex(4)}.part"

        def write() -> None:
            probe.put(b"write test\n")
            probe.unlink()

        _within_timeout(folder, write)


def check_nameable(path: Path) -> Path:
    """The path itself. Raises ConfigError: no file can have it. Existence is checked where the file is opened."""
    try:
        name = os.fsencode(str(path))
    except UnicodeEncodeError:
        name = b"\0"
    if b"\0" in name or len(name) > _LONGEST_PATH or any(len(part) > _LONGEST_PART for part in name.split(b"/")):
        what = "too long, or with characters that no name has"
        raise ConfigError(f"not a path that a file can have: {what}: {str(path)[:_LONGEST_PART]!r}")
    return path


def check_readable(folder: Path) -> None:
    """List a remote folder; a local folder is not checked. Raises InputError as `check_writable` does."""
    if isinstance(folder, RemotePath):
        _refuse_web(folder, "listed")
        _within_timeout(folder, lambda: folder._call("ls", detail=False))


def _refuse_web(folder: Path, done: str) -> None:
    if folder.parts[0] in ("http:", "https:"):
        raise InputError(f"{folder}: cannot be {done}: expected a folder, or the URL of a store such as s3://bucket")


def _within_timeout(folder: Path, ask: Callable[[], object]) -> None:
    """Call `ask` in a separate thread: some libraries retry an unreachable address for minutes."""
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
    """One filesystem per process, since a fork must not use its parent's connections. Listings are not cached."""
    import fsspec

    if scheme in _UNSUPPORTED:
        raise ValueError(scheme)
    return fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True)
