"""Progress of a sweep: a live table on a terminal, a line for each round elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ripu_ray.runs.event_log import OnProgress
from ripu_ray.runs.event_log import Progress as Report
from ripu_ray.runs.run_folder import RunFolder


@contextmanager
def show_progress(run: RunFolder) -> Iterator[OnProgress]:
    """Yield what `run_sweep` is to call with each report."""
    console = Console()
    if not console.is_terminal:
        yield _Lines(run, console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        yield _Bars(run, bars)


class _Bars:
    """One bar for the sweep and one for each warm-up or trial at work, in steps."""

    def __init__(self, run: RunFolder, bars: Progress) -> None:
        self._run, self._bars = run, bars
        self._sweep = bars.add_task("trials", total=len(run.trials), state="starting Ray")
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, report: Report) -> None:
        name = report.trial_id
        if report.note:
            self._bars.console.print(_note(self._run, report), highlight=False, soft_wrap=True)
            return
        if name not in self._tasks:
            total = _total_steps(self._run, name)
            self._tasks[name] = self._bars.add_task(_title(self._run, name), total=total, state="")
        ended = report.phase in ("done", "failed")
        self._bars.update(self._tasks[name], completed=report.step, state=_state(self._run, report), visible=not ended)
        self._bars.update(self._sweep, state="", advance=1 if ended and name in self._run.trials else 0)


class _Lines:
    """A line when a warm-up starts, when a round starts, and when a trial ends."""

    def __init__(self, run: RunFolder, console: Console) -> None:
        self._run, self._console = run, console
        self._last: dict[str, tuple[str, int]] = {}
        console.print(f"{len(run.trials)} trials, {len(run.warmups)} warm-ups; starting Ray", highlight=False)

    def __call__(self, report: Report) -> None:
        if report.note:
            self._console.print(_note(self._run, report), highlight=False, soft_wrap=True)
            return
        seen = report.phase, report.round
        if self._last.get(report.trial_id) != seen and report.phase in ("warm-up", "score", "done", "failed"):
            title = _title(self._run, report.trial_id)
            self._console.print(f"{title}: {_state(self._run, report)}", highlight=False, soft_wrap=True)
        self._last[report.trial_id] = seen


def _title(run: RunFolder, name: str) -> str:
    return name if name in run.trials else f"warm-up, seed {run.warmups[name].seed}"


def _note(run: RunFolder, report: Report) -> str:
    """The line of a report, and where it comes from, if that is not the sweep itself."""
    if not report.trial_id:
        return report.note
    return f"{_title(run, report.trial_id)}, {_state(run, report)}: {report.note}"


def _total_steps(run: RunFolder, name: str) -> int:
    config = run.trials[name].config if name in run.trials else run.warmups[name]
    return config.training.warmup_steps + (config.num_round_steps() if name in run.trials else 0)


def _state(run: RunFolder, report: Report) -> str:
    if report.trial_id not in run.trials or report.phase in ("done", "failed"):
        place = report.phase
    else:
        rounds = run.trials[report.trial_id].config.strategy.rounds
        place = f"round {report.round} ({report.round + 1} of {rounds}), {report.phase}"
    return f"{place}, mIoU {100 * report.miou[-1]:.1f} %" if report.miou else place
