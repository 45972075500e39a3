"""A tracker that writes one JSON line for each round to `metrics.jsonl` in the trial's folder."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ripu_ray.errors import StorageError
from ripu_ray.runs.record import RoundRecord
from ripu_ray.simulation.protocols import NoTracker
from ripu_ray.storage.files import replace_text


class JsonlTracker(NoTracker):
    """Logs rounds only. The file is for `tail -F` and other tools; this package reads the records of rounds instead.

    Each line rewrites the whole file atomically. A resumed trial drops incomplete lines and lines that differ from its
    records.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "metrics.jsonl"
        text = self._path.read_text(encoding="utf-8", errors="replace") if self._path.is_file() else ""
        self._lines = [line for line in text.splitlines() if _round(line) is not None or '"failure"' in line]

    def log_round(self, record: RoundRecord, seconds: Mapping[str, float]) -> None:
        """Add one line, unless the file has it. Raises StorageError."""
        line = json.dumps({**record.to_tree(), "seconds": dict(seconds)}, allow_nan=False)
        if line not in self._lines:
            self._write([*(old for old in self._lines if _round(old) != record.round), line])

    def close(self, failure: str | None = None) -> None:
        """Add the reason if the trial failed."""
        if failure:
            # A full disk may be the failure itself, which the caller reports.
            with suppress(StorageError):
                self._write([*self._lines, json.dumps({"failure": failure})])

    def _write(self, lines: list[str]) -> None:
        replace_text(self._path, "".join(f"{line}\n" for line in lines))
        self._lines = lines


def _round(line: str) -> int | None:
    """The round of a line, or None if the line has none."""
    try:
        found = json.loads(line)["round"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return found if isinstance(found, int) else None
