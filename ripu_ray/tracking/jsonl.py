"""A tracker that appends one JSON line a round to `metrics.jsonl` in the trial's folder."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from ripu_ray.simulation.protocols import RoundRecord


class JsonlTracker:
    """See `Tracker`; meant for `tail -f` and other people's tools, the truth stands in the rounds' records."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "metrics.jsonl"
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        self._logged = sum('"round"' in line for line in lines)

    def log_round(self, record: RoundRecord, seconds: Mapping[str, float]) -> None:
        """Append one line, unless it is there."""
        if record.round + 1 >= self._logged:
            self._append({**asdict(record), "seconds": dict(seconds)})

    def close(self, failure: str | None = None) -> None:
        """Append why the trial failed, if it did."""
        if failure:
            self._append({"failure": failure})

    def _append(self, tree: Mapping[str, object]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(tree, allow_nan=False) + "\n")
