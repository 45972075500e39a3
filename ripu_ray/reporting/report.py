"""`report.html`: the results of one or several sweeps in one self-contained file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from ripu_ray.config import REFERENCES, dump_config
from ripu_ray.errors import RipuError
from ripu_ray.reporting import charts, interactive, tables
from ripu_ray.reporting.answer import answers, question
from ripu_ray.reporting.confusion import confusion
from ripu_ray.reporting.curves import add_panels
from ripu_ray.reporting.examples import Example, choose_trials, draw_example
from ripu_ray.reporting.headline import headline
from ripu_ray.reporting.inference import MIN_SEEDS
from ripu_ray.reporting.merging import merge, sweep_names
from ripu_ray.reporting.naming import add_names
from ripu_ray.reporting.panels import Panel, curve_panels
from ripu_ray.reporting.questions import read_questions
from ripu_ray.reporting.statistics import (
    compare,
    competitors,
    outcomes,
    pixels_to_reach,
    summarise,
    win_matrix,
)
from ripu_ray.reporting.svg import NUM_SERIES, to_svg
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.inspection import class_shares
from ripu_ray.storage.bounded import read_json_value
from ripu_ray.storage.files import replace_text

SHARE = 0.95
"""Share of full supervision's mIoU for the table of pixels that reach it."""
_POOL_IMAGES = 200
"""Limit of images that are read for the class frequencies of the pool."""


@dataclass(frozen=True)
class Line:
    """A line in the figures. Attributes: name; colour: number of its colour; marker: its shape."""

    name: str
    colour: int
    marker: str


@dataclass(frozen=True)
class Sweep:
    """A sweep. Attributes: name; revision: of the code; config: resolved, in YAML; num_trials, num_finished;
    unfinished: the other trials with their rounds and failures."""

    name: str
    revision: str
    config: str
    num_trials: int
    num_finished: int
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
    return environment.get_template("report.html.j2").render(context, has_results=bool(len(results)))


def _content(runs: Mapping[str, RunFolder], named: pd.DataFrame) -> dict[str, Any]:
    finished = outcomes(named)
    compared = {metric: compare(finished, metric) for metric in ("miou", "aubc")}
    buying = named[~named["acquisition"].isin(REFERENCES)]
    order = {str(line): number for number, line in enumerate(buying["line"].unique())}
    pool, shares = _purchases(next(iter(runs.values())), finished)
    matrix = win_matrix(finished, "miou") if len(competitors(finished)) else pd.DataFrame()
    reached = pixels_to_reach(named[named["trial"].isin(finished["trial"])], SHARE)
    return {
        "question": question(named),
        "headline": headline(named, finished),
        "answers": answers(finished, compared["miou"]),
        "seeds": int(named["seed"].nunique()),
        "most_seeds": max((int(table["seeds"].max()) for table in compared.values() if len(table)), default=0),
        "lines": [Line(line, number % NUM_SERIES, _marker(number)) for line, number in order.items()],
        "curves": curve_panels(named, finished, order),
        "means": tables.means(summarise(finished)) if len(finished) else None,
        "differences": [
            tables.differences(compared[metric], words)
            for metric, words in (("miou", "mIoU after the last round"), ("aubc", "AUBC"))
            if len(compared[metric])
        ],
        "wins": tables.wins(matrix) if len(matrix) > 1 else None,
        "reaching": tables.reaching(reached, SHARE) if len(reached) else None,
        "share": SHARE,
        "heat_map": tables.heat_map(finished),
        "class_ious": tables.class_ious(finished) if len(finished) else None,
        "confusion": confusion(runs, finished),
        "purchase_panels": _purchase_panels(finished, pool, shares, order),
        "purchases": tables.purchases(shares, pool) if shares else None,
        "examples": _examples(runs, finished),
        "costs": tables.costs(finished) if len(competitors(finished)) else None,
        "stopping": [table for table in (tables.stopped(finished), tables.signals(named)) if table],
        "phases": tables.phases(named),
    }


def _purchases(
    run: RunFolder, finished: pd.DataFrame
) -> tuple[dict[str, float], dict[tuple[str, str], dict[str, float]]]:
    """Shares of the classes in the pool and among the purchases of each strategy; empty if they were not recorded."""
    columns = [name for name in map(str, finished) if name.startswith("bought_")]
    there = competitors(finished)
    counted = there[there[columns].sum(axis=1) > 0] if columns else there.iloc[:0]
    if counted.empty:
        return {}, {}
    names = [name.removeprefix("bought_") for name in columns]
    full = finished[(finished["acquisition"] == "full") & (finished[columns].sum(axis=1) > 0)]
    if len(full):
        pixels = full[columns].iloc[0].to_numpy(float)
        pool = dict(zip(names, (pixels / pixels.sum()).tolist(), strict=True))
    else:
        try:
            pool = class_shares(next(iter(run.trials.values())).config.data, _POOL_IMAGES)
        except RipuError:
            return {}, {}
    sums = counted.groupby(["condition", "strategy"], sort=False)[columns].sum()
    shares = sums.div(sums.sum(axis=1), axis=0).set_axis(names, axis=1)
    return pool, {key: dict(row) for key, row in shares.iterrows()}  # type: ignore[misc]


def _purchase_panels(
    finished: pd.DataFrame,
    pool: Mapping[str, float],
    shares: Mapping[tuple[str, str], Mapping[str, float]],
    order: Mapping[str, int],
) -> list[Panel]:
    if not shares:
        return []
    arms = competitors(finished).drop_duplicates(["condition", "strategy"])
    panels = []
    for number, (panel, there) in enumerate(arms.groupby("panel", sort=False)):
        by_line = {
            row["line"]: shares[row["condition"], row["strategy"]]
            for row in there.to_dict("records")
            if (row["condition"], row["strategy"]) in shares
        }
        table = pd.DataFrame(by_line).T.reindex(columns=list(pool)).fillna(0)
        if len(table):
            figure = charts.purchase_panel(table, pool, order)
            label = f"Shares of the classes among the bought pixels and in the pool, {panel}; values below."
            panels.append(Panel(str(panel), to_svg(figure, f"bought-{number}", label)))
    return panels


def _examples(runs: Mapping[str, RunFolder], finished: pd.DataFrame) -> list[Example]:
    examples = []
    for row in choose_trials(competitors(finished)):
        run = runs[str(row["sweep"])]
        trial_id = str(row["trial"]).removeprefix(f"{row['sweep']}/")
        examples.append(draw_example(run, trial_id, str(row["strategy"]), str(row["condition"])))
    return examples


def _marker(number: int) -> str:
    return "●■▲◆▼◀▶⬟✖★"[number % len(charts.MARKERS)]


def _sweep(run: RunFolder, name: str) -> Sweep:
    table = tables.Table("Trials that are not finished", ("trial", "rounds done", "of", "why"))
    for trial_id, trial in run.trials.items():
        if not run.is_finished(trial_id):
            folder = run.trial(trial_id)
            done, rounds = folder.num_committed(), trial.config.strategy.rounds
            why = _failure(folder.path / "metrics.jsonl") or ("" if folder.path.exists() else "not started")
            table.rows.append(([trial_id], [tables.Cell(str(done)), tables.Cell(str(rounds)), tables.Cell(why)]))
    num_finished = len(run.trials) - len(table.rows)
    revision = _revision(run.path / "environment.json")
    return Sweep(name, revision, dump_config(run.config), len(run.trials), num_finished, table)


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
