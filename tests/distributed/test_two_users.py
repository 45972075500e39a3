"""Two users of one machine run at the same time, each with a Ray of its own; neither reaches what is the other's."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import TINY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, ("useradd", "unshare", "setpriv"))),
        reason="needs root, useradd, unshare and setpriv",
    ),
]
ROOT = Path(__file__).parents[2]
# Where Python is below /root, which others cannot enter, they see an empty /root with it, in a mount namespace.
AS_USER = """
if [ "${BASE#/root/}" != "$BASE" ]; then
  mkdir -p "$HOME/python" && mount --bind "$BASE" "$HOME/python" && mount -t tmpfs -o mode=755 none /root || exit 9
  mkdir -p "$BASE" && mount --bind "$HOME/python" "$BASE" || exit 9
fi
cd "$HOME"; umask 077; exec setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"
"""
ACCESSIBLE = 'for path; do if [ -r "$path" ] || [ -w "$path" ]; then echo "$path"; fi; done'


@pytest.fixture
def homes() -> Iterator[list[Path]]:
    """Homes that all may enter, of two new users."""
    folder = Path(tempfile.mkdtemp(prefix="ripu-users-"))
    folder.chmod(0o755)
    names = [f"ripu{os.getpid()}{letter}" for letter in "ab"]
    try:
        for name in names:
            subprocess.run(["useradd", "--no-create-home", "--home-dir", str(folder / name), name], check=True)
            (folder / name).mkdir()
            shutil.chown(folder / name, name)
        yield [folder / name for name in names]
    finally:
        for name in names:
            subprocess.run(["userdel", name], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _start(home: Path, *command: str) -> "subprocess.Popen[str]":
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'cli'}",
        "BASE": os.path.realpath(sys.base_prefix),
        "RAY_AUTH_MODE": "token",
    }
    return subprocess.Popen(
        ["unshare", "--mount", "bash", "-c", AS_USER, "bash", str(_uid(home)), *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _uid(home: Path) -> int:
    return pwd.getpwnam(home.name).pw_uid


def _owned(folder: str, uid: int, pattern: str = "*") -> list[Path]:
    found = []
    for path in Path(folder).glob(pattern):
        with suppress(FileNotFoundError):
            found += [path] if path.stat().st_uid == uid else []
    return found


def _closed_session(home: Path, run: "subprocess.Popen[str]") -> Path:
    """The folder of the user's Ray, once it is closed to others."""
    while True:
        assert run.poll() is None, run.communicate()
        for session in _owned("/tmp/ray", _uid(home), "session_2*"):
            if not session.stat().st_mode & 0o077 and list(session.glob("gcs_server_port*")):
                return session
        time.sleep(0.05)


@pytest.mark.timeout(280)
def test_two_users_run_apart(homes: list[Path]) -> None:
    command = [sys.executable, "-c", "import ray, ripu_cli"]
    trial = _start(homes[0], *command)
    if trial.wait() and "Permission denied" in trial.communicate()[1]:
        pytest.skip("another user cannot read this package")
    flags = [flag for setting in (*TINY, "cluster.scorers=1") for flag in ("--set", setting)]
    runs = [_start(home, sys.executable, "-m", "ripu_cli.main", "run", *flags, "--name", "mine") for home in homes]
    sessions = [_closed_session(home, run) for home, run in zip(homes, runs, strict=True)]
    assert len({*sessions}) == 2
    for mine, other, session in ((0, 1, sessions[1]), (1, 0, sessions[0])):
        uid = _uid(homes[other])
        private = [homes[other] / ".ray/auth_token", homes[other] / "runs", session, *session.rglob("*")]
        private += _owned("/dev/shm", uid)
        private += [process / name for process in _owned("/proc", uid, "[0-9]*") for name in ("environ", "mem", "fd")]
        assert all(path.exists() for path in private[:3])
        # A path of 100 characters each, within the limits of a command.
        probe = _start(homes[mine], "bash", "-c", ACCESSIBLE, "bash", *map(str, private[:5000]))
        assert probe.communicate() == ("", "")
        (port,) = (path.read_text() for path in session.glob("gcs_server_port*"))
        program = f"from ripu_ray.distributed.ray_internals import ask_gcs; ask_gcs('127.0.0.1:{port}')"
        assert "AuthenticationError" in _start(homes[mine], sys.executable, "-c", program).communicate()[1]
    for run in runs:
        out, err = run.communicate()
        assert run.returncode == 0, out + err
