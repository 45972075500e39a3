"""A tracker that keeps one JSON line a round in `metrics.jsonl` in the trial's folder."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from ripu_ray.errors import StorageError
from ripu_ray.runs.record import RoundRecord
from ripu_ray.storage.files import replace_text


class JsonlTracker:
    """See `Tracker`; meant for `tail -F` and other people's tools, the truth stands in the rounds' records.

    The file is written anew with each line, so that it is whole at any time; lines that do not agree with the records,
    such as torn ones, go when the trial goes on.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "metrics.jsonl"
        text = self._path.read_text(encoding="utf-8", errors="replace") if self._path.is_file() else ""
        self._lines = [line for line in text.splitlines() if _round(line) is not None or '"failure"' in line]

    def log_round(self, record: RoundRecord, seconds: Mapping[str, float]) -> None:
        """Add one line, unless it is there. Raises StorageError."""
        line = json.dumps({**asdict(record), "seconds": dict(seconds)}, allow_nan=False)
        if line not in self._lines:
            self._write([*(old for old in self._lines if _round(old) != record.round), line])

    def close(self, failure: str | None = None) -> None:
        """Add why the trial failed, if it did."""
        if failure:
            # A disk that is full is the failure, and is told elsewhere, too.
            with suppress(StorageError):
                self._write([*self._lines, json.dumps({"failure": failure})])

    def _write(self, lines: list[str]) -> None:
        replace_text(self._path, "".join(f"{line}\n" for line in lines))
        self._lines = lines


def _round(line: str) -> int | None:
    """The round that a line speaks of, or None."""
    try:
        found = json.loads(line)["round"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return found if isinstance(found, int) else None
