"""Progress of a run on the console: bars on a terminal, lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isnan

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

import ripu_ray as ripu
from ripu_cli.display import text_console
from ripu_ray.errors import counted, duration, printable

_BAR_INTERVAL_S = 0.1
"""Shortest interval of updates of a bar within a phase."""
_WIDE = 120
"""Columns of a terminal from which on there is room for bars beside the text."""
_LINE_INTERVAL_S = 60.0
"""Interval of lines on a trial within a phase."""
_ENDS = ("done", "failed")


@contextmanager
def show_progress(run: ripu.RunFolder, needs_ray: bool) -> Iterator[Callable[[ripu.Progress], None]]:
    """Yield the function that `run_sweep` calls with each report; say first whether Ray is started."""
    console, start = text_console(), "starting Ray" if needs_ray else ""
    if not console.is_terminal:
        yield _Lines(run, console, start)
        return
    columns: list[ProgressColumn] = [
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[state]}", markup=False, table_column=Column()),
    ]
    if console.width >= _WIDE:
        columns[1:1] = [BarColumn(bar_width=24)]
        columns.append(TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        yield _Bars(run, bars, start)


class Pace:
    """Speed of each phase and remaining time of the run, from the reports.

    Args:
        run: its finished trials and warm-ups count as done.
    """

    def __init__(self, run: ripu.RunFolder) -> None:
        self._run, self._start_s = run, 0.0
        names = [name for name in (*run.warmups, *run.trials) if not run.is_done(name)]
        self._left = {name: _total_steps(run, name) - _first_step(run, name) for name in names}
        self._taken = 0
        self._phases: dict[str, tuple[tuple[str, int], int, int, float]] = {}

    def __call__(self, report: ripu.Progress) -> str:
        """Take a report. Returns the speed of its phase in words, empty at the start of the phase."""
        name, now_s = report.trial_id, time.monotonic()
        # The start of Ray, before the first report, would make every step seem slow.
        if not self._phases:
            self._start_s = now_s
        left = 0 if report.phase in _ENDS else max(0, _total_steps(self._run, name) - report.step)
        # What a resumed trial did before is not work of this process.
        if name in self._phases:
            self._taken += max(0, self._left.get(name, left) - left)
        self._left[name] = left
        phase = report.phase, report.round
        if name not in self._phases or self._phases[name][0] != phase:
            self._phases[name] = (phase, report.step, report.images, now_s)
            return ""
        _, step, images, since_s = self._phases[name]
        steps, images, spent_s = report.step - step, report.images - images, max(now_s - since_s, 1e-9)
        if steps > 0:
            per_step = _images_per_step(self._run, name)
            return f"{steps / spent_s:.3g} steps/s, {per_step * steps / spent_s:.3g} images/s"
        return f"{images / spent_s:.3g} images/s" if images > 0 else ""

    def left(self) -> str:
        """The remaining time in words, from the steps that this process took; empty while it is unknown."""
        spent_s, left = time.monotonic() - self._start_s, sum(self._left.values())
        return f"about {duration(left * spent_s / self._taken)} left" if self._taken and left else ""


class _Bars:
    """One bar for the sweep, and one in steps for each running warm-up or trial."""

    def __init__(self, run: ripu.RunFolder, bars: Progress, start: str) -> None:
        self._run, self._bars, self._pace = run, bars, Pace(run)
        self._sweep = bars.add_task("trials", total=len(run.trials), state=start)
        self._bars.update(self._sweep, completed=sum(map(run.is_done, run.trials)))
        self._tasks: dict[str, TaskID] = {}
        self._shown: dict[str, tuple[str, int, float]] = {}

    def __call__(self, report: ripu.Progress) -> None:
        name, now_s = report.trial_id, time.monotonic()
        if report.note:
            self._bars.console.print(_note(self._run, report))
            return
        phase, number, shown_s = self._shown.get(name, ("", 0, 0.0))
        if (phase, number) == (report.phase, report.round) and now_s < shown_s + _BAR_INTERVAL_S:
            return
        self._shown[name] = report.phase, report.round, now_s
        if name not in self._tasks:
            total = _total_steps(self._run, name)
            self._tasks[name] = self._bars.add_task(_title(self._run, name), total=total, state="")
        ended = report.phase in _ENDS
        state = ", ".join(filter(None, (_state(self._run, report), self._pace(report))))
        self._bars.update(self._tasks[name], completed=report.step, state=state, visible=not ended)
        advance = 1 if ended and name in self._run.trials else 0
        self._bars.update(self._sweep, state=self._pace.left(), advance=advance)


class _Lines:
    """A line when a warm-up starts, when a round starts, when a trial ends, and every minute of a phase."""

    def __init__(self, run: ripu.RunFolder, console: Console, start: str) -> None:
        self._run, self._console, self._pace = run, console, Pace(run)
        self._last: dict[str, tuple[str, int]] = {}
        self._said_s: dict[str, float] = {}
        trials, warmups = counted(len(run.trials), "trial"), counted(len(run.warmups), "warm-up")
        console.print("; ".join(filter(None, (f"{trials}, {warmups}", start))), highlight=False)

    def __call__(self, report: ripu.Progress) -> None:
        if report.note:
            self._console.print(_note(self._run, report), soft_wrap=True)
            return
        name, seen, now_s = report.trial_id, (report.phase, report.round), time.monotonic()
        begins = self._last.get(name) != seen and report.phase in ("warm-up", "score", *_ENDS)
        is_due = now_s > self._said_s.setdefault(name, now_s) + _LINE_INTERVAL_S
        speed = self._pace(report)
        if begins or is_due:
            place = "" if report.phase in _ENDS else f"step {report.step} of {_total_steps(self._run, name)}"
            parts = (_state(self._run, report), place, speed, self._pace.left())
            self._console.print(f"{_title(self._run, name)}: {', '.join(filter(None, parts))}", soft_wrap=True)
            self._said_s[name] = now_s
        self._last[name] = seen


def _images_per_step(run: ripu.RunFolder, name: str) -> int:
    if name not in run.trials:
        return run.warmups[name].training.source_batch
    training, strategy = run.trials[name].config.training, run.trials[name].config.strategy
    source = 0 if training.source_free else training.source_batch
    return source + (0 if strategy.acquisition == "source_only" else training.target_batch)


def _first_step(run: ripu.RunFolder, name: str) -> int:
    return run.trials[name].config.training.warmup_steps if name in run.trials else 0


def _title(run: ripu.RunFolder, name: str) -> str:
    return name if name in run.trials else f"warm-up, seed {run.warmups[name].seed}"


def _note(run: ripu.RunFolder, report: ripu.Progress) -> str:
    """The note of a report, with the trial unless it concerns the whole sweep, and its state unless it ends here."""
    if not report.trial_id:
        return printable(report.note)
    state = "" if report.phase in _ENDS else _state(run, report)
    return f"{', '.join(filter(None, (_title(run, report.trial_id), state)))}: {printable(report.note)}"


def _total_steps(run: ripu.RunFolder, name: str) -> int:
    config = run.trials[name].config if name in run.trials else run.warmups[name]
    return config.training.warmup_steps + (config.num_round_steps() if name in run.trials else 0)


def _state(run: ripu.RunFolder, report: ripu.Progress) -> str:
    if report.trial_id not in run.trials or report.phase in _ENDS:
        place = report.phase
    else:
        rounds = run.trials[report.trial_id].config.strategy.rounds
        place = f"round {report.round} ({report.round + 1} of {rounds}), {report.phase}"
    is_evaluated = report.miou and not isnan(report.miou[-1])
    return f"{place}, mIoU {100 * report.miou[-1]:.1f} %" if is_evaluated else place
