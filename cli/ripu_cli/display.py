"""What the commands share on the console: tables, and progress as bars on a terminal or lines elsewhere."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import isnan
from typing import TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

import ripu_ray as ripu
from ripu_ray.errors import counted, printable

T = TypeVar("T")


class TextTable(Table):
    """A table whose cells are texts, with control characters as escapes."""

    def add_row(self, *cells: str) -> None:  # type: ignore[override]
        """Add a row."""
        super().add_row(*map(printable, cells))


def new_table(*columns: str) -> TextTable:
    """An empty table whose long cells are folded."""
    table = TextTable(box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(printable(column), overflow="fold")
    return table


def text_console(stderr: bool = False) -> Console:
    """A console that prints names as they are: nothing in them is markup, a code of an emoji, or highlighted."""
    return Console(stderr=stderr, markup=False, emoji=False)


def wide_console() -> Console:
    """The same for tables, with 200 columns if it is not a terminal."""
    console = text_console()
    if not console.is_terminal:
        console.width = 200
    return console


def track_images(name: str, image_ids: Iterable[T], total: int | None = None) -> Iterable[T]:
    """Iterate with a progress bar on stderr if it is a terminal."""
    console = text_console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        yield from bars.track(image_ids, total=total, description=printable(name))


@contextmanager
def show_progress(run: ripu.RunFolder) -> Iterator[Callable[[ripu.Progress], None]]:
    """Yield the function that `run_sweep` calls with each report."""
    console = text_console()
    if not console.is_terminal:
        yield _Lines(run, console)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        yield _Bars(run, bars)


class _Bars:
    """One bar for the sweep, and one in steps for each running warm-up or trial."""

    def __init__(self, run: ripu.RunFolder, bars: Progress) -> None:
        self._run, self._bars = run, bars
        self._sweep = bars.add_task("trials", total=len(run.trials), state="starting Ray")
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, report: ripu.Progress) -> None:
        name = report.trial_id
        if report.note:
            self._bars.console.print(_note(self._run, report))
            return
        if name not in self._tasks:
            total = _total_steps(self._run, name)
            self._tasks[name] = self._bars.add_task(_title(self._run, name), total=total, state="")
        ended = report.phase in ("done", "failed")
        self._bars.update(self._tasks[name], completed=report.step, state=_state(self._run, report), visible=not ended)
        self._bars.update(self._sweep, state="", advance=1 if ended and name in self._run.trials else 0)


class _Lines:
    """A line when a warm-up starts, when a round starts, and when a trial ends."""

    def __init__(self, run: ripu.RunFolder, console: Console) -> None:
        self._run, self._console = run, console
        self._last: dict[str, tuple[str, int]] = {}
        trials, warmups = counted(len(run.trials), "trial"), counted(len(run.warmups), "warm-up")
        console.print(f"{trials}, {warmups}; starting Ray", highlight=False)

    def __call__(self, report: ripu.Progress) -> None:
        if report.note:
            self._console.print(_note(self._run, report))
            return
        seen = report.phase, report.round
        if self._last.get(report.trial_id) != seen and report.phase in ("warm-up", "score", "done", "failed"):
            title = _title(self._run, report.trial_id)
            self._console.print(f"{title}: {_state(self._run, report)}")
        self._last[report.trial_id] = seen


def _title(run: ripu.RunFolder, name: str) -> str:
    return name if name in run.trials else f"warm-up, seed {run.warmups[name].seed}"


def _note(run: ripu.RunFolder, report: ripu.Progress) -> str:
    """The note of a report, with the trial and its state unless it concerns the whole sweep."""
    if not report.trial_id:
        return printable(report.note)
    return f"{_title(run, report.trial_id)}, {_state(run, report)}: {printable(report.note)}"


def _total_steps(run: ripu.RunFolder, name: str) -> int:
    config = run.trials[name].config if name in run.trials else run.warmups[name]
    return config.training.warmup_steps + (config.num_round_steps() if name in run.trials else 0)


def _state(run: ripu.RunFolder, report: ripu.Progress) -> str:
    if report.trial_id not in run.trials or report.phase in ("done", "failed"):
        place = report.phase
    else:
        rounds = run.trials[report.trial_id].config.strategy.rounds
        place = f"round {report.round} ({report.round + 1} of {rounds}), {report.phase}"
    is_evaluated = report.miou and not isnan(report.miou[-1])
    return f"{place}, mIoU {100 * report.miou[-1]:.1f} %" if is_evaluated else place
