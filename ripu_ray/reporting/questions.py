"""The report's section on people as the oracle: open and answered questions of a run, and what is due next."""

from collections.abc import Mapping
from dataclasses import dataclass

from ripu_ray.annotation.asking import AskedTrial
from ripu_ray.annotation.status import read_status
from ripu_ray.errors import RipuError
from ripu_ray.reporting.tables import Cell, Table
from ripu_ray.runs.run_folder import RunFolder


@dataclass(frozen=True)
class Questions:
    """The questions of one run. Attributes: sweep: its name; table: a row for each round; None: they cannot be read;
    summary: their numbers and the next step, or why they cannot be read."""

    sweep: str
    table: Table | None
    summary: str


def read_questions(runs: Mapping[str, RunFolder]) -> list[Questions]:
    """The questions of each run whose `oracle.kind` is human. A run whose files or data cannot be read has no table.

    Args:
        runs: by name.
    """
    return [_read(name, run) for name, run in runs.items() if run.config.oracle.kind == "human"]


def _read(name: str, run: RunFolder) -> Questions:
    try:
        status = read_status(AskedTrial(run))
    except RipuError as error:
        return Questions(name, None, f"The questions cannot be read: {error}")
    table = Table("Questions of each round", ("round", "asked", "answered", "open"))
    for each in status.rounds:
        if each.round >= 0:
            counts = (each.asked, each.answered, each.open)
            table.rows.append(([str(each.round)], [Cell(f"{count:,}") for count in counts]))
    return Questions(name, table if table.rows else None, f"{status.summary}. Next: {status.next_step}.")
