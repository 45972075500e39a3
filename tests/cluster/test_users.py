"""Two users of one machine, each with a Ray of its own at the same time."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.cluster.network import skip_unless_allowed

USERS = (12001, 12002)
PROGRAM = """
import os, sys
from pathlib import Path
import ray
from ripu_ray.config import ClusterConfig
from ripu_ray.distributed.cluster import start_ray
from ripu_ray.distributed.ray_internals import ask_gcs

def attempt(do, *values):
    try:
        do(*values)
    except Exception as error:
        return type(error).__name__
    return "done"

start_ray(ClusterConfig(cpus=1))
ray.get(ray.remote(lambda: None).remote())
mine = ray.get_runtime_context().gcs_address, os.environ["HOME"], ray.nodes()[0]["RayletSocketName"]
print(*mine, flush=True)
for line in sys.stdin:
    address, home, socket = line.split()
    private = Path(socket).parents[3]
    print(
        attempt(ask_gcs, address),
        attempt((Path(home) / ".ray/auth_token").read_text),
        attempt(os.listdir, private),
        attempt(os.stat, socket),
        oct(private.lstat().st_mode),
        flush=True,
    )
"""
NAMESPACE = """
set -e
mount --make-rprivate /
if [ "$2" != /usr ]; then  # other users may not enter the folders above an interpreter in /root
    mount --bind "$2" "$1"
    mount -t tmpfs -o mode=755 none /root
    mkdir -p "$2"
    mount --bind "$1" "$2"
fi
exec setpriv --reuid "$3" --regid "$3" --clear-groups "$4" -c "$5"
"""


def _start(user: int, folder: Path) -> subprocess.Popen[str]:
    home, interpreter = folder / str(user), folder / f"python{user}"
    home.mkdir()
    os.chown(home, user, user)
    interpreter.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("RAY_AUTH_MODE", "RAY_TMPDIR")}
    command = ["unshare", "--mount", "sh", "-c", NAMESPACE, "sh", str(interpreter), sys.base_prefix, str(user)]
    return subprocess.Popen(
        [*command, sys.executable, PROGRAM],
        cwd=home,
        env={**environment, "HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _ask(user: subprocess.Popen[str], line: str = "") -> str:
    assert user.stdin and user.stdout
    user.stdin.write(line)
    user.stdin.flush()
    return user.stdout.readline()


@pytest.mark.cluster
def test_two_users_cannot_reach_each_other_s_ray() -> None:
    skip_unless_allowed()
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        with _start(USERS[0], Path(folder)) as first, _start(USERS[1], Path(folder)) as second:
            one, two = _ask(first), _ask(second)
            assert one and two
            closed = "AuthenticationError PermissionError PermissionError PermissionError 0o40700\n"
            assert (_ask(first, two), _ask(second, one)) == (closed, closed)
            assert _ask(first, one) == _ask(second, two) == "done done done done 0o40700\n"
        assert (first.returncode, second.returncode) == (0, 0)
        assert not Path(one.split()[2]).parents[3].exists()
