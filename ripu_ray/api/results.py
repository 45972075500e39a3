"""The results of a run folder, and its report."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ripu_ray.config.reading import as_texts
from ripu_ray.errors import ConfigError
from ripu_ray.storage.remote import check_readable, locate

if TYPE_CHECKING:
    import pandas as pd

    from ripu_ray.reporting.comparison import Comparison


class Results:
    """The results of a run folder, finished or not.

    Args:
        folder: run folder, or a URL.
        failures: trial id, or warm-up key, -> one line with the cause, for those that failed.

    Raises:
        RunFolderError: it is not a run folder, or it is damaged.
        InputError: it is behind a URL and cannot be read.
    """

    def __init__(self, folder: str | Path, failures: Mapping[str, str] | None = None) -> None:
        from ripu_ray.runs.run_folder import RunFolder

        path = locate(folder)
        check_readable(path)
        self.run = RunFolder(path)
        self.folder = self.run.path
        self.failures = dict(failures or {})

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """One row for each trial and round; round -1 is the warm-up. Columns: docs/run-folder.md, results.csv."""
        from ripu_ray.reporting.results import collect

        return collect(self.run)

    @property
    def curves(self) -> "pd.DataFrame":
        """mIoU over cost by arm: `panel`, `line`, `round`, `x` (spent share), `mean`, `deviation` and `seeds`."""
        from ripu_ray.reporting.arms import add_names
        from ripu_ray.reporting.curves import add_panels, curve_points, no_points
        from ripu_ray.reporting.statistics import outcomes

        if not len(self.frame):
            return no_points()
        named = add_panels(add_names(self.frame))
        return curve_points(named, outcomes(named), "spent_share")

    @cached_property
    def arms(self) -> "pd.DataFrame":
        """One row for each arm: its result over seeds, and its difference from random windows.

        Columns: `condition` (budget and varied settings), `strategy`, `arm`, `is_reference`; `seeds` of the finished
        trials with an mIoU, of `planned`; `start_mean`, `start_std`, `miou_mean` and `miou_std` in [0, 1], of the
        finished trials before the first round and after the last (without one, the start is of all trials);
        `difference`, `low` and `high`: mean difference from random, paired over seeds, and its 95 % interval, NaN where
        there is none; `spent_share`, `labelled_share` of what is spent, both in [0, 1], and `clicks`, means.
        """
        from ripu_ray.reporting.summary import summarise_arms

        return summarise_arms(self.run, self.frame)

    @property
    def arms_table(self) -> list[dict[str, str]]:
        """`arms` as text, in per cent and points: column -> cell for each arm."""
        from ripu_ray.reporting.summary import arms_table

        return arms_table(self.arms)

    @property
    def notes(self) -> list[str]:
        """A line for each arm with finished trials whose mIoU is NaN: statistics leave them out."""
        from ripu_ray.reporting.statistics import outcomes
        from ripu_ray.reporting.summary import unmeasured

        return unmeasured(outcomes(self.frame)) if len(self.frame) else []

    @property
    def trials(self) -> tuple[str, ...]:
        """The ids of all trials of the grid, in order."""
        return tuple(self.run.trials)

    @property
    def files(self) -> dict[str, Path]:
        """The files of results that exist, of results.csv, curves.png and report.html, by name."""
        names = ("results.csv", "curves.png", "report.html")
        return {name: self.folder / name for name in names if (self.folder / name).exists()}

    @property
    def wandb_folder(self) -> Path:
        """The folder with W&B's data: a folder for each trial."""
        from ripu_ray.tracking.target import files_of

        return files_of(self.run, "*", self.folder / "trials/*").parent

    def report(self, output: str | Path | None = None) -> Path:
        """Write the HTML report, by default to report.html in the run folder. Returns its path."""
        return report([self.folder], output)

    def __repr__(self) -> str:
        return f"Results({str(self.folder)!r})"


def report(
    folders: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    watch: Callable[[str], None] | None = None,
    port: int = 0,
) -> Path:
    """Write the report of one or several run folders, finished or not. Returns its path.

    Args:
        folders: run folders, or URLs.
        output: file. None: report.html in the first folder.
        watch: called with an address at which the report is served to this machine alone and renewed after each
            committed round; the function then returns when all trials are finished, or at Ctrl-C. None: write once.
        port: of the address; 0: a free one.

    Raises:
        ConfigError: there is no folder, the port is taken, or a URL is to be watched.
        RunFolderError: a folder is not a run folder.
        StorageError: `output` cannot be written.
    """
    from ripu_ray.reporting.report import write_report
    from ripu_ray.reporting.results import REPORT

    runs = [Results(folder).run for folder in as_texts("folders", folders)]
    if not runs:
        raise ConfigError("folders: expected at least one run folder")
    path = runs[0].path / REPORT if output is None else locate(output)
    if watch is None:
        write_report(runs, path)
    else:
        from ripu_ray.reporting.serving import watch_report

        watch_report(runs, path, port, watch)
    return path


def compare(first: str | Path, second: str | Path) -> "Comparison":
    """The differences of two runs, or of two trials named as RUN:TRIAL, in settings, purchases and mIoU.

    Trials with the same arm and seed are matched. If there are none and each run has one arm, trials with the same seed
    are matched.

    Raises:
        ConfigError: there is no such trial.
        RunFolderError: it is not a run folder, or a file of it is damaged.
    """
    from ripu_ray.reporting.comparison import compare_runs, open_side

    return compare_runs(*(open_side(*as_texts("compare", [side])) for side in (first, second)))


def dashboard(folder: str | Path, dry_run: bool = False, report: bool = False) -> str:
    """Save a workspace for a sweep in W&B: mIoU by budget, cost and class. Needs the extra [dashboard].

    Args:
        folder: run folder.
        dry_run: contact no server.
        report: save a W&B Report instead, with the answer and the results in text, the same curves, and the trials as
            parallel coordinates.

    Returns:
        Its URL; with `dry_run`, the workspace or the report as JSON.

    Raises:
        ConfigError: the extra or the key is missing, or the server does not answer or refuses the key.
    """
    from ripu_ray.data.loading import open_domains
    from ripu_ray.tracking.dashboard import UNKNOWN_ENTITY, build_report, build_workspace, save
    from ripu_ray.tracking.wandb_internals import specification

    results = Results(folder)
    run = results.run
    class_names = open_domains(run.config.data, with_source=False).classes.names
    text, table = _in_words(results) if report else ([], "")

    def build(entity: str) -> Any:
        return (
            build_report(run, class_names, text, table, entity) if report else build_workspace(run, class_names, entity)
        )

    return specification(build(UNKNOWN_ENTITY)) if dry_run else save(run, build)


def _in_words(results: Results) -> tuple[list[str], str]:
    """The answer of a sweep in sentences, and a Markdown table with a row for each arm."""
    from ripu_ray.reporting.arms import add_names
    from ripu_ray.reporting.headline import headline
    from ripu_ray.reporting.statistics import outcomes
    from ripu_ray.reporting.summary import arms_in_markdown

    if not len(results.frame):
        return ["No round is committed yet."], ""
    answer = headline(add_names(results.frame), outcomes(results.frame))
    note = f"Sweep {results.run.name}: mIoU on the validation split, means and standard deviations over seeds."
    return [line for line in (answer, note) if line], arms_in_markdown(results.arms)
