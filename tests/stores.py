"""A real S3 server on loopback: moto's, as a process of its own."""

import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from ripu_ray.storage.remote import locate

VARIABLES = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def s3_server() -> Iterator[str]:
    """The endpoint of a running server. This process, and those that it starts, use it and know a key for it."""
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", "0"]
    with (
        tempfile.NamedTemporaryFile(suffix=".log") as log,  # a pipe that is not read would fill up
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        try:
            while not (match := re.search(r"http://127\S+:\d+(?=\n)", Path(log.name).read_text())):
                with suppress(subprocess.TimeoutExpired):
                    pytest.fail(f"the server ended with {server.wait(0.1)}")
            endpoint = match[0]
            for name, value in {**VARIABLES, "AWS_ENDPOINT_URL": endpoint}.items():
                patch.setenv(name, value)
            yield endpoint
        finally:
            server.kill()


def new_bucket(endpoint: str) -> Path:
    """An empty bucket."""
    name = f"bucket-{secrets.token_hex(4)}"
    urlopen(Request(f"{endpoint}/{name}", method="PUT")).close()
    return locate(f"s3://{name}")
