"""Progress reports of a run, and `log.jsonl`, the event log of a run folder; results are in the records of rounds."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from ripu_ray.storage.files import append_line
from ripu_ray.storage.remote import RemotePath

LOG = "log.jsonl"
"""Name of the event log in the run folder; a remote folder has one for each trial, `log-<trial>.jsonl`."""


class Event(StrEnum):
    """The kind of a report; metrics count events by kind."""

    PROGRESS = "progress"
    NOTICE = "notice"
    """A line for the user."""
    SCORER_DIED = "scorer_died"
    WORKER_DIED = "training_worker_died"
    TRIAL_DIED = "trial_died"


@dataclass(frozen=True)
class Progress:
    """Progress of one trial or warm-up.

    Attributes:
        trial_id: of the trial, or the key of the warm-up; empty for the sweep.
        phase: the current phase.
        round: 0-based, -1 for a warm-up.
        step: optimiser updates since the start of the warm-up.
        miou: after the warm-up and each round so far, in [0, 1].
        images: scored so far in the current phase.
        note: a line for the console; empty for plain progress.
        event: the kind of the report.
    """

    trial_id: str
    phase: str
    round: int
    step: int
    miou: tuple[float, ...] = ()
    note: str = ""
    event: Event = Event.PROGRESS
    images: int = 0


OnProgress = Callable[[Progress], None]

Failures = dict[str, str]
"""Trial id, or warm-up key, -> one line with the cause of the failure."""


class Warn(Protocol):
    """Takes one line that describes a problem and its handling."""

    def __call__(self, text: str, event: Event = Event.NOTICE) -> None:
        """Take a line."""


def failed(name: str) -> Progress:
    """The last report of a failed trial or warm-up."""
    return Progress(name, "failed", 0, 0)


def ignore_progress(progress: Progress) -> None:
    """An `OnProgress` that drops reports."""


def ignore_warning(text: str, event: Event = Event.NOTICE) -> None:
    """A `Warn` that drops the line."""


def log_path(folder: Path, trial: str = "") -> Path:
    """The event log of a trial or warm-up of a run; without one, of the sweep."""
    # Several processes cannot append to one object of a store.
    return folder / (f"log-{trial or 'sweep'}.jsonl" if isinstance(folder, RemotePath) else LOG)


class EventLog:
    """Forwards reports, and appends each new phase and each note to the event log.

    A line contains time (UTC, ISO 8601), level (`warning` for a note, else `info`), event, trial (or the key of a
    warm-up; empty for the sweep), round, phase, step, and text.

    Args:
        folder: of the run.
        trial: id of the trial, or key of the warm-up; empty for the sweep as a whole.
        forward: receives every report.
        copy: receives each line as text: time, round and what happened.
    """

    def __init__(
        self, folder: Path, trial: str, forward: OnProgress, copy: Callable[[str], object] = lambda line: None
    ) -> None:
        self._path, self._forward, self._copy = log_path(folder, trial), forward, copy
        self._latest = Progress(trial, "", 0, 0)

    def __call__(self, progress: Progress) -> None:
        """Take one report. Raises StorageError, for example on a full disk."""
        begins = (progress.round, progress.phase) != (self._latest.round, self._latest.phase)
        self._latest = replace(progress, note="", event=Event.PROGRESS)
        if begins or progress.note:
            line = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "level": "warning" if progress.note else "info",
                "event": progress.event,
                "trial": progress.trial_id,
                "round": progress.round,
                "phase": progress.phase,
                "step": progress.step,
                "text": progress.note or f"{progress.phase} at step {progress.step}",
            }
            append_line(self._path, json.dumps(line, ensure_ascii=False))
            self._copy(f"{line['time']} round {progress.round}: {line['text']}")
        self._forward(progress)

    def warn(self, text: str, event: Event = Event.NOTICE) -> None:
        """Report a line about the current phase."""
        self(replace(self._latest, note=" ".join(text.split()), event=event))
