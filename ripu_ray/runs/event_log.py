"""`log.jsonl` of a run folder: what happened, one JSON object a line, from every process that works there.

The truth stands in the rounds' records; this is for people, and for tools that read lines.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from ripu_ray.storage.files import append_line
from ripu_ray.storage.remote import RemotePath

LOG = "log.jsonl"
"""Name of the log in the run folder; on a store, there is one for each trial, `log-<trial>.jsonl`."""


@dataclass(frozen=True)
class Progress:
    """How far one trial, or warm-up, is; `note` is a line for the person at the terminal, of what should be known."""

    trial_id: str
    phase: str
    round: int
    step: int
    miou: tuple[float, ...] = ()
    note: str = ""


OnProgress = Callable[[Progress], None]

Warn = Callable[[str], None]
"""Says in one line what went wrong and what is done about it."""


def unheard(_: str) -> None:
    """A `Warn` where nobody listens."""


class Journal:
    """Hands reports on, and writes each new phase and each note of them into the log.

    A line holds: time (UTC, ISO 8601), level (`warning` for a note, which the console shows, too; else `info`), trial
    (or the key of a warm-up; empty for the sweep), round, phase, step, and text.

    Args:
        folder: of the run.
        trial: whose reports these are; empty for the sweep as a whole.
        hear: gets every report.
    """

    def __init__(self, folder: Path, trial: str, hear: OnProgress) -> None:
        # A store has no appending that several processes could share.
        name = f"log-{trial or 'sweep'}.jsonl" if isinstance(folder, RemotePath) else LOG
        self._path, self._hear = folder / name, hear
        self._latest = Progress(trial, "", 0, 0)

    def __call__(self, progress: Progress) -> None:
        """Take one report. Raises StorageError when the disk is full, say."""
        begins = (progress.round, progress.phase) != (self._latest.round, self._latest.phase)
        self._latest = replace(progress, note="")
        if begins or progress.note:
            line = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "level": "warning" if progress.note else "info",
                "trial": progress.trial_id,
                "round": progress.round,
                "phase": progress.phase,
                "step": progress.step,
                "text": progress.note or f"{progress.phase} at step {progress.step}",
            }
            append_line(self._path, json.dumps(line, ensure_ascii=False))
        self._hear(progress)

    def warn(self, text: str) -> None:
        """Report a line about whatever is being done at the moment."""
        self(replace(self._latest, note=" ".join(text.split())))
