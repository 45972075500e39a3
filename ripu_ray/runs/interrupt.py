"""Asking everybody who works on a run to stop: a file in the run folder, since they are processes on many machines."""

import time
from dataclasses import dataclass
from pathlib import Path

from ripu_ray.errors import StoppedError
from ripu_ray.storage.remote import RemotePath

STOP = "stop"
"""Name of the file in the run folder."""

_INTERVAL_S = 2.0
_looked_s: dict[RemotePath, float] = {}
"""When this process has looked last, in vain."""


@dataclass(frozen=True)
class StopRequest:
    """While the file is there, trials end after the step, image or evaluation at hand, and none begins."""

    path: Path

    def is_made(self) -> bool:
        """Whether somebody asked; behind a URL, where a look takes time, as of the last second or two."""
        if not isinstance(self.path, RemotePath):
            return self.path.exists()
        now = time.monotonic()
        if now < _looked_s.get(self.path, -_INTERVAL_S) + _INTERVAL_S:
            return False
        if made := self.path.exists():
            _looked_s.pop(self.path, None)
        else:
            _looked_s[self.path] = now
        return made

    def make(self) -> None:
        """Ask."""
        self.path.touch()

    def withdraw(self) -> None:
        """Forget that somebody asked."""
        self.path.unlink(missing_ok=True)

    def check(self) -> None:
        """Raises StoppedError if somebody asked."""
        if self.is_made():
            raise StoppedError("stopped")
