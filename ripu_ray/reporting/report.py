"""`report.html`: the results of one or several sweeps in one self-contained file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from ripu_ray.config import dump_config
from ripu_ray.reporting import interactive, tables
from ripu_ray.reporting.answer import answers, question
from ripu_ray.reporting.arms import add_names
from ripu_ray.reporting.bought import bought_panels, bought_table, read_bought
from ripu_ray.reporting.confusion import confusion
from ripu_ray.reporting.curves import add_panels
from ripu_ray.reporting.examples import draw_examples
from ripu_ray.reporting.headline import headline
from ripu_ray.reporting.intervals import MIN_SEEDS
from ripu_ray.reporting.joining import merge, sweep_names
from ripu_ray.reporting.panels import MOST_PANELS, curve_panels
from ripu_ray.reporting.questions import read_questions
from ripu_ray.reporting.shaded import class_ious, heat_map
from ripu_ray.reporting.statistics import (
    compare,
    competitors,
    outcomes,
    pixels_to_reach,
    summarise,
    win_matrix,
)
from ripu_ray.reporting.summary import unmeasured
from ripu_ray.reporting.svg import NUM_SERIES
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.storage.bounded import read_json_value
from ripu_ray.storage.files import replace_text

SHARE = 0.95
"""Share of full supervision's mIoU for the table of pixels that reach it."""
_MARKERS = "●■▲◆▼◀▶⬟✖★"
"""Those of `charts.MARKERS` as text."""


@dataclass(frozen=True)
class Line:
    """A line in the figures. Attributes: name; colour: number of its colour; marker: its shape."""

    name: str
    colour: int
    marker: str


@dataclass(frozen=True)
class Sweep:
    """A sweep. Attributes: name; revision: of the code; config: resolved YAML; num_trials, num_finished, num_failed;
    unfinished: the trials that are not finished, with their rounds and failures."""

    name: str
    revision: str
    config: str
    num_trials: int
    num_finished: int
    num_failed: int
    unfinished: tables.Table


def write_report(runs: Sequence[RunFolder], output: Path) -> None:
    """Write the report of one or several sweeps, finished or not.

    Args:
        runs: different folders.
        output: path of the report.

    Raises:
        RunFolderError: a folder is given twice, or a record in it cannot be read.
        StorageError: the file cannot be written.
    """
    replace_text(output, render(runs))


def render(runs: Sequence[RunFolder]) -> str:
    """The report as HTML. Args and Raises: see `write_report`."""
    environment = Environment(
        loader=PackageLoader("ripu_ray.reporting", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    results, notes = merge(runs)
    names = sweep_names(runs)
    context: dict[str, Any] = {
        "title": " and ".join(names),
        "notes": notes,
        "sweeps": [_sweep(run, name) for run, name in zip(runs, names, strict=True)],
        "policy": interactive.policy(),
        "scripts": interactive.scripts(),
        "questions": read_questions(dict(zip(names, runs, strict=True))),
        "min_seeds": MIN_SEEDS,
    }
    if len(results):
        context |= _content(dict(zip(names, runs, strict=True)), add_panels(add_names(results)))
        context["notes"] = [*notes, *context["unmeasured"]]
    return environment.get_template("report.html.j2").render(context, has_results=bool(len(results)))


def _content(runs: Mapping[str, RunFolder], named: pd.DataFrame) -> dict[str, Any]:
    finished = outcomes(named)
    compared = {metric: compare(finished, metric) for metric in ("miou", "aubc")}
    buying = competitors(named)
    summary = summarise(finished)
    order = {str(line): number for number, line in enumerate(buying["line"].unique())}
    bought = read_bought(runs, finished)
    matrix = win_matrix(finished, "miou") if len(competitors(finished)) else pd.DataFrame()
    ended_rows = named[named["trial"].isin(finished["trial"])]
    reached = pixels_to_reach(ended_rows, SHARE)
    panels = list(buying["panel"].unique())
    drawn, ended = (table[~table["panel"].isin(panels[MOST_PANELS:])] for table in (named, finished))
    return {
        "question": question(named),
        "headline": headline(named, finished),
        "answers": answers(finished, compared["miou"]),
        "unmeasured": unmeasured(finished),
        "seeds": int(named["seed"].nunique()),
        "most_seeds": max((int(table["seeds"].max()) for table in compared.values() if len(table)), default=0),
        "lines": [Line(line, number % NUM_SERIES, _MARKERS[number % len(_MARKERS)]) for line, number in order.items()],
        "curves": curve_panels(drawn, ended, order),
        "num_panels": (len(panels[:MOST_PANELS]), len(panels)),
        "means": tables.means(summary) if len(summary) else None,
        "differences": [
            tables.differences(compared[metric], words)
            for metric, words in (("miou", "mIoU after the last round"), ("aubc", "AUBC"))
            if len(compared[metric])
        ],
        "wins": tables.wins(matrix) if len(matrix) > 2 else None,
        "reaching": tables.reaching(reached, SHARE) if len(reached) else None,
        "share": SHARE,
        "heat_map": heat_map(finished),
        "class_ious": class_ious(finished) if len(finished) else None,
        "confusion": confusion(runs, finished),
        "bought_panels": bought_panels(ended, bought, order) if bought else [],
        "bought": bought_table(bought) if bought else None,
        "examples": draw_examples(runs, finished),
        "costs": tables.costs(finished) if len(competitors(finished)) else None,
        "stopping": [table for table in (tables.stopped(finished), tables.signals(ended_rows)) if table],
        "phases": tables.phases(named, finished),
        "speeds": tables.speeds(named),
    }


def _sweep(run: RunFolder, name: str) -> Sweep:
    table = tables.Table("Trials that are not finished", ("trial", "rounds done", "of", "state"))
    num_failed = 0
    for trial_id, trial in run.trials.items():
        if not run.is_finished(trial_id):
            folder = run.trial(trial_id)
            done, rounds = folder.num_committed(), trial.config.strategy.rounds
            failure = _failure(folder.path / "metrics.jsonl")
            num_failed += bool(failure)
            state = f"failed: {failure}" if failure else "started" if folder.path.exists() else "not started"
            table.rows.append(([trial_id], [tables.Cell(str(done)), tables.Cell(str(rounds)), tables.Cell(state)]))
    num_finished = len(run.trials) - len(table.rows)
    revision = _revision(run.path / "environment.json")
    return Sweep(name, revision, dump_config(run.config), len(run.trials), num_finished, num_failed, table)


def _failure(log: Path) -> str:
    """Why a trial's last attempt failed; empty if it did not fail or is still running."""
    try:
        last = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    except (OSError, ValueError, IndexError, RecursionError):
        return ""
    return str(last.get("failure", "")) if isinstance(last, dict) else ""


def _revision(path: Path) -> str:
    try:
        return str(read_json_value(path).get("git_revision") or "")
    except (OSError, ValueError, AttributeError):
        return ""
