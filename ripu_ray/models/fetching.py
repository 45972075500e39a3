"""Files of weights from a URL, downloaded once and kept beside those of torch.hub.

docs/decisions/0004 says why this is not `torch.hub.download_url_to_file`.
"""

import hashlib
import re
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import torch

from ripu_ray.errors import DataError
from ripu_ray.storage.files import replace_file

_TIMEOUT_S = 60.0
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
        DataError: one line that names the URL: it cannot be fetched, or the hash in its name is not that of the
            content.
    """
    name = url.partition("?")[0].rpartition("/")[2]
    path = Path(torch.hub.get_dir()) / "ripu-ray" / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{name[-100:]}"
    if path.exists():
        return path
    try:
        with urlopen(url, timeout=_TIMEOUT_S) as response:
            content = response.read()
        expected = _HASH.search(name)
        found = hashlib.sha256(content).hexdigest()
        if expected and not found.startswith(expected[1]):
            raise DataError(f"{url}: the content's SHA-256 begins with {found[:8]}, expected {expected[1]}")
        replace_file(path, lambda file: file.write(content))
    except (OSError, ValueError, HTTPException) as error:
        raise DataError(f"{url}: cannot be fetched ({' '.join(str(error).split())})") from None
    return path
