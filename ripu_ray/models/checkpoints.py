"""Weights on disk: written atomically, read without running code from the file."""

import hashlib
import json
import os
import pickle
import re
import struct
import sys
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, BinaryIO

import torch
from torch import Tensor

from ripu_ray.errors import DataError, first_line
from ripu_ray.storage.files import replace_file

_HEADER_BYTES = 100_000_000
"""Limit of the library safetensors."""
_BYTEARRAY = re.compile(rb"c(builtins|__builtin__)\nbytearray\n")
"""The only way: torch's unpickler does not know STACK_GLOBAL."""
SAFETENSORS = ".safetensors"
"""End of the names of files in this format."""
_DAMAGE = (
    OSError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    NotImplementedError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    RecursionError,
)
"""What torch and pickle raise for damaged files, found by flipping and truncating: tests/fuzz."""


def save_checkpoint(path: Path, payload: dict[str, Any]) -> None:
    """Write a checkpoint atomically: `path` holds either its old content or all of `payload`.

    Equal payloads give equal bytes.

    Args:
        path: the file.
        payload: tensors, numbers, texts, and lists and dicts of them.

    Raises:
        StorageError: the file cannot be written.
    """
    replace_file(path, lambda file: torch.save(_canonical(payload), file))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of `save_checkpoint`, onto the CPU.

    Args:
        path: the file. It may come from anywhere: only tensors and plain values are accepted, no code is run.

    Returns:
        The payload.

    Raises:
        DataError: one line that names the file: missing, damaged, not a checkpoint, or one that holds other objects.
    """
    try:
        # Opening a pipe would block.
        if path.exists() and not path.is_file():
            raise DataError(f"{path}: the checkpoint is damaged (not a file)")
        with path.open("rb") as file:
            return _load(file, path)
    except FileNotFoundError:
        raise DataError(f"{path}: the checkpoint is missing") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a state dict in the format safetensors, onto the CPU. Raises DataError: one line that names the file."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    if path.exists() and not path.is_file():
        raise DataError(f"{path}: not a file")  # opening a pipe would block
    try:
        _check_header(path)
        return load(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (SafetensorError, *_DAMAGE) as error:
        raise DataError(f"{path}: not safetensors, or damaged ({first_line(error)})") from None


def save_safetensors(path: Path, state: dict[str, Tensor], notes: dict[str, str]) -> None:
    """Write a state dict and notes in the format safetensors, atomically. Raises StorageError."""
    from safetensors.torch import save

    # The format refuses tensors that share memory, as tied weights do.
    content = save({name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}, notes)
    replace_file(path, lambda file: file.write(content))


def save_sealed(path: Path, payload: dict[str, Any]) -> None:
    """As `save_checkpoint`, with a SHA-256 checksum in front that `load_sealed` compares."""

    def write(file: BinaryIO) -> None:
        file.write(bytes(_SEAL_BYTES))
        content = _Hashing(file)
        torch.save(payload, content)  # type: ignore[arg-type]  # it only writes
        file.seek(0)
        file.write(content.digest())

    replace_file(path, write)


def load_sealed(path: Path) -> dict[str, Any]:
    """Read a checkpoint of `save_sealed`, as `load_checkpoint` does. Raises DataError also if its checksum differs."""
    try:
        with path.open("rb") as file:
            seal = file.read(_SEAL_BYTES)
            if hashlib.file_digest(file, "sha256").digest() != seal:
                raise DataError(f"{path}: torn or altered (its digest differs)")
            file.seek(_SEAL_BYTES)
            return _load(file, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def _load(file: BinaryIO, path: Path) -> dict[str, Any]:
    try:
        _check_expansion(file, path)
        # A warning only says that the pickle is not torch's own, which then fails anyway.
        with warnings.catch_warnings(action="ignore"):
            payload = torch.load(file, map_location="cpu", weights_only=True)
    except DataError:
        raise
    except pickle.UnpicklingError:
        raise DataError(f"{path}: not a checkpoint of tensors and plain values; nothing in it was run") from None
    except _DAMAGE as error:
        raise DataError(f"{path}: the checkpoint is damaged ({type(error).__name__})") from None
    if not isinstance(payload, dict):
        raise DataError(f"{path}: expected a checkpoint's keys and values, found {type(payload).__name__}")
    return payload


def _check_expansion(file: BinaryIO, path: Path) -> None:
    """Refuse a file whose content is larger than it, such as a compressed archive: torch does not compress."""
    start = file.tell()
    is_larger = False
    if zipfile.is_zipfile(file):
        size = file.seek(0, os.SEEK_END)
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            is_larger = sum(entry.file_size for entry in entries) > size or any(
                _makes_bytes(archive.open(entry)) for entry in entries if entry.filename.endswith(".pkl")
            )
        file.seek(start)
    else:
        is_larger = _makes_bytes(file)
    if is_larger:
        raise DataError(f"{path}: not a checkpoint of torch: its content would be larger than the file")
    file.seek(start)


def _makes_bytes(file: IO[bytes]) -> bool:
    """Whether a pickle calls `bytearray`: torch allows it, and its argument may be a length of many gigabytes."""
    end = b""
    while part := file.read(2**20):
        if _BYTEARRAY.search(end + part):
            return True
        end = part[-32:]
    return False


def _check_header(path: Path) -> None:
    """Compare the size of a safetensors file with its header before it is read. Raises ValueError, OSError."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _HEADER_BYTES:
            raise ValueError("header too large")
        tree = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in tree.items() if name != "__metadata__"]
        if file.seek(0, os.SEEK_END) != 8 + length + max(ends, default=0):
            raise ValueError("the size is not that of its header")


_SEAL_BYTES = hashlib.sha256().digest_size


class _Hashing:
    """A file to write to that computes the checksum of its content."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write to the file and update the checksum."""
        self._hash.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Flush the file."""
        self._file.flush()

    def digest(self) -> bytes:
        """SHA-256 of everything written."""
        return self._hash.digest()


def _canonical(value: Any) -> Any:
    """An equal value in which equal strings are one object and all other objects are distinct.

    A pickle stores a reference for an object that it holds already, so without this, the bytes of a loaded optimiser
    would differ from those of one that was not loaded.
    """
    if isinstance(value, dict):
        return {_canonical(key): _canonical(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_canonical, value))
    return sys.intern(value) if isinstance(value, str) else value
