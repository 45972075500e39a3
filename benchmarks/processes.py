"""Processes of `ripu` that are observed, and killed with all their descendants, reparented ones included."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from ripu_ray.distributed.process_table import descendants, running

_MARK = "RIPU_PROCESS_TREE"


class ProcessTree:
    """A `ripu` in its own session, and all its descendants: they inherit a variable of their environment.

    Args:
        arguments: of `ripu`.
        folder: its working directory; `<name>.out` and `<name>.err` in it get its output.
        name: of these two files.
    """

    def __init__(self, arguments: Sequence[str], folder: Path, name: str = "ripu") -> None:
        mark = uuid.uuid4().hex
        self._mark = f"{_MARK}={mark}".encode()
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        environment = {**os.environ, _MARK: mark, "COLUMNS": "200", "HOME": str(folder)}
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ripu_cli", *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def out(self) -> str:
        """Its standard output."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """Its standard error."""
        return self._err.read_text()

    def members(self) -> set[int]:
        """Ids of the running processes. A process of Ray that names itself may overwrite its environment."""
        table = running()
        return descendants(table, {pid for pid in table if self._mark in _environment(Path(f"/proc/{pid}"))})

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """Send a signal to the process group, as a terminal does for Ctrl-C."""
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """Send SIGKILL to all members, until none is left."""
        while members := self.members():
            for pid in members:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        self.process.wait()

    def wait_until_gone(self, timeout_s: float = 60) -> None:
        """Wait until no member is left. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while members := self.members():
            if time.monotonic() > deadline:
                raise TimeoutError(f"processes {sorted(members)} are left over")
            time.sleep(0.05)

    def wait_until(self, happened: Callable[[], object], timeout_s: float = 280) -> bool:
        """Wait for a condition, or for the end of the process. Returns whether the condition holds."""
        deadline = time.monotonic() + timeout_s
        while not happened():
            if self.process.poll() is not None:
                return bool(happened())
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {timeout_s} s in vain; it says {self.out} {self.err}")
            time.sleep(0.02)
        return True


def _environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""  # the process has ended, or belongs to another user
