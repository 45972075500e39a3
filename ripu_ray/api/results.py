"""The results of a run folder, and its report."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ripu_ray.storage.remote import check_readable, locate

if TYPE_CHECKING:
    import pandas as pd


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

        path = locate(str(folder))
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
        from ripu_ray.reporting.curves import add_panels, curve_points
        from ripu_ray.reporting.naming import add_names
        from ripu_ray.reporting.statistics import outcomes

        named = add_panels(add_names(self.frame))
        return curve_points(named, outcomes(named), "spent_share")

    @property
    def trials(self) -> tuple[str, ...]:
        """The ids of all trials of the grid, in order."""
        return tuple(self.run.trials)

    def report(self, output: str | Path | None = None) -> Path:
        """Write the HTML report, by default to report.html in the run folder. Returns its path."""
        return report([self.folder], None if output is None else Path(output))

    def __repr__(self) -> str:
        return f"Results({str(self.folder)!r})"


def report(folders: Sequence[str | Path], output: Path | None = None) -> Path:
    """Write the report of one or several run folders, finished or not. Returns its path.

    Raises:
        RunFolderError: a folder is not a run folder.
        StorageError: `output` cannot be written.
    """
    from ripu_ray.reporting.report import write_report
    from ripu_ray.reporting.results import REPORT
    from ripu_ray.runs.run_folder import RunFolder

    runs = [RunFolder(locate(str(folder))) for folder in folders]
    path = output or runs[0].path / REPORT
    write_report(runs, path)
    return path


def export_weights(
    folder: str | Path, output: str | Path | None = None, trial: str | None = None, round_index: int | None = None
) -> Path:
    """Write the weights of one round of a run for other programs: `simulation.export.export_weights`."""
    from ripu_ray.runs.run_folder import RunFolder
    from ripu_ray.simulation.export import export_weights as export

    path = locate(str(folder))
    check_readable(path)
    return export(RunFolder(path), None if output is None else locate(str(output)), trial, round_index)
