"""Files of weights from a URL, downloaded once and kept beside those of torch.hub.

docs/decisions/0004 says why this is not `torch.hub.download_url_to_file`.
"""

import hashlib
import re
from collections.abc import Iterator
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO
from urllib.request import urlopen

import torch

from ripu_ray.errors import DataError
from ripu_ray.storage.files import replace_file

MAX_BYTES = 2**34
"""A larger download is refused: no published network has 16 GiB of weights that this package can use."""

_TIMEOUT_S = 60.0
_BLOCK = 2**20
_HASH = re.compile(r"-([0-9a-f]{8,})\.")
"""In the names of torchvision's files: the first digits of their SHA-256."""


def fetch(url: str) -> Path:
    """The file behind a URL, on this machine.

    Args:
        url: http://, https:// or file://.

    Returns:
        A file below `torch.hub.get_dir()` (the variable TORCH_HOME moves it), named after the whole URL. An
        existing file is not downloaded again.

    Raises:
        DataError: one line that names the URL: it cannot be fetched, has more than `MAX_BYTES`, or the hash in its name
            is not that of the content.
    """
    name = _name(url)
    path = Path(torch.hub.get_dir()) / "ripu-ray" / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{name[-100:]}"
    if path.exists():
        return path
    try:
        response = urlopen(url, timeout=_TIMEOUT_S)
    except (OSError, ValueError, HTTPException) as error:
        raise _failed(url, error) from None
    with response:
        replace_file(path, partial(_copy, url, response))
    return path


def _name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def _copy(url: str, response: Any, file: BinaryIO) -> None:
    """Write what a server sends. Raises DataError: see `fetch`."""
    sha256, size = hashlib.sha256(), 0
    for block in _blocks(url, response):
        size += len(block)
        if size > MAX_BYTES:
            raise DataError(f"{url}: expected at most {MAX_BYTES} bytes")
        sha256.update(block)
        file.write(block)
    stated = response.headers["Content-Length"]
    if stated and size != int(stated):
        raise DataError(f"{url}: cannot be fetched ({size} of {stated} bytes came)")
    expected = _HASH.search(_name(url))
    if expected and not sha256.hexdigest().startswith(expected[1]):
        raise DataError(f"{url}: the content's SHA-256 begins with {sha256.hexdigest()[:8]}, expected {expected[1]}")


def _blocks(url: str, response: Any) -> Iterator[bytes]:
    # An error of the server, not of the file that is written.
    try:
        while block := response.read(_BLOCK):
            yield block
    except (OSError, HTTPException) as error:
        raise _failed(url, error) from None


def _failed(url: str, error: Exception) -> DataError:
    return DataError(f"{url}: cannot be fetched ({' '.join(str(error).split())})")
