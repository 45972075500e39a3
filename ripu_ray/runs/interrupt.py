"""Stop requests: a file in the run folder, since the processes of a run may be on several machines."""

import time
from dataclasses import dataclass
from pathlib import Path

from ripu_ray.errors import StoppedError
from ripu_ray.storage.files import one_line_error
from ripu_ray.storage.remote import RemotePath, as_path

STOP = "stop"
"""Name of the file in the run folder."""

_INTERVAL_S = 2.0
_checked_s: dict[RemotePath, float] = {}
"""Time of this process's last check that found no request."""


@dataclass(frozen=True)
class StopRequest:
    """While the file exists, trials end after the current step, image or evaluation, and no trial starts."""

    path: Path

    @classmethod
    def of(cls, folder: str | Path) -> "StopRequest":
        """The stop request of a run folder."""
        return cls(as_path(folder) / STOP)

    def is_made(self) -> bool:
        """Whether a stop is requested. A remote file is checked every 2 s at most, since a check takes time."""
        if not isinstance(self.path, RemotePath):
            return self.path.exists()
        now = time.monotonic()
        if now < _checked_s.get(self.path, -_INTERVAL_S) + _INTERVAL_S:
            return False
        made = self.path.exists()
        _checked_s[self.path] = -_INTERVAL_S if made else now
        return made

    def make(self) -> None:
        """Request a stop. Raises StorageError: the file cannot be written, such as in a folder that is not there."""
        with one_line_error(self.path):
            self.path.touch()

    def withdraw(self) -> None:
        """Withdraw the request."""
        self.path.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise StoppedError if a stop is requested."""
        if self.is_made():
            raise StoppedError("stopped")
