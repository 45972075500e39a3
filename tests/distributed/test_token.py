"""A Ray that ripu starts requires a token."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

STRANGER = """
import sys
from ripu_ray.config import ClusterConfig
from ripu_ray.distributed.cluster import start_ray
start_ray(ClusterConfig(address=sys.argv[1]))
"""
OWNER = """
import os, subprocess, sys
from ripu_ray.config import ClusterConfig
from ripu_ray.distributed.cluster import start_ray
import ray
start_ray(ClusterConfig(cpus=1))
stranger = [sys.executable, "-c", sys.argv[1], ray.get_runtime_context().gcs_address]
for environment in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 32}):
    done = subprocess.run(stranger, env=os.environ | environment, capture_output=True, text=True)
    print(done.returncode, done.stderr.strip().splitlines()[-1])
"""


@pytest.mark.slow
def test_a_local_ray_is_closed_without_its_token(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    done = subprocess.run(
        [sys.executable, "-c", OWNER, STRANGER],
        env=environment | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    for line in done.stdout.splitlines():
        assert line.startswith("1 ripu_ray.errors.ClusterError: no Ray at "), line
        assert line.endswith("for this token (RAY_AUTH_TOKEN)"), line
    assert len(done.stdout.splitlines()) == 2
    token = tmp_path / ".ray/auth_token"
    assert token.stat().st_mode & 0o077 == 0
    assert len(token.read_text().strip()) >= 32
