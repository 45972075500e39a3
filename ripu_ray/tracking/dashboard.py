"""The saved workspace of a sweep in W&B, built in code (docs/wandb.md)."""

import os
from collections.abc import Sequence
from typing import Any

from ripu_ray.config import Budget
from ripu_ray.errors import ConfigError, first_line
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.tracking.content import AXIS, COSTS, budget_key, budget_share, reference_key
from ripu_ray.tracking.mode import QUIET, ask_server, has_key
from ripu_ray.tracking.target import find_target

_UNKNOWN_ENTITY = "ENTITY"


def build_workspace(run: RunFolder, class_names: Sequence[str], entity: str = _UNKNOWN_ENTITY) -> Any:
    """Build the workspace without saving it.

    Panels show mIoU against the spent share by budget, against the other costs, and by class. Each strategy has one
    line: the mean over seeds with its standard deviation.

    Args:
        run: the sweep; other runs of the same project are hidden.
        class_names: classes of its data set.
        entity: owner of the project.

    Raises:
        ConfigError: wandb-workspaces is not installed.
    """
    try:
        import wandb_workspaces.reports.v2.interface as reports
        import wandb_workspaces.workspaces as workspaces
        from wandb_workspaces import expr
    except ImportError:
        raise ConfigError("the dashboard needs an extra: pip install 'ripu-ray[dashboard]'") from None
    strategies = [trial.config.strategy for trial in run.trials.values()]
    budgets = dict.fromkeys(strategy.budget for strategy in strategies if not strategy.is_reference)
    references = dict.fromkeys(strategy.acquisition for strategy in strategies if strategy.is_reference)

    return workspaces.Workspace(
        name=f"ripu {run.name}",
        entity=entity,
        project=find_target(run.config.tracking, run.path).project,
        sections=[
            workspaces.Section(name=name, panels=panels, is_open=is_open)
            for name, panels, is_open in _sections(reports, list(budgets), list(references), class_names)
        ],
        settings=workspaces.WorkspaceSettings(x_axis=AXIS, max_runs=100),
        runset_settings=workspaces.RunsetSettings(
            filters=expr.And(workspaces.Metric("Group") == run.name, workspaces.Metric("JobType") == "trial"),
            groupby=[workspaces.Config("trial.strategy"), workspaces.Config("trial.budget")],
        ),
    )


def _sections(
    reports: Any, budgets: Sequence[Budget], references: Sequence[str], class_names: Sequence[str]
) -> list[tuple[str, list[Any], bool]]:
    """(name, panels, is_open) of each section. `reports` is the module that defines the panels."""

    def curve(title: str, *keys: str, axis: str = AXIS, by: str = "trial.arm", end: float | None = None) -> Any:
        return reports.LinePlot(
            title=title,
            x=axis,
            y=list(keys),
            range_x=(None, end),
            groupby=reports.Config(by),
            groupby_aggfunc="mean",
            groupby_rangefunc="stddev",
            title_x=axis,
            title_y=title,
        )

    def of_budget(budget: Budget) -> Any:
        # The lines of references reach to a share of 1: the axis ends at the budget. A budget in pixels has no share.
        end = budget_share(budget)
        lines = map(reference_key, references if end else ())
        return curve(f"mIoU, budget {budget}", budget_key(str(budget)), *lines, by="trial.strategy", end=end)

    figures = (("mIoU", "miou"), ("AUBC so far", "aubc"), ("accuracy", "accuracy"))
    bought = reports.BarPlot(
        title="labelled pixels by class",
        metrics=[f"bought/{name}" for name in class_names],
        groupby=reports.Config("trial.arm"),
        groupby_aggfunc="mean",
    )
    return [
        ("mIoU by budget", [of_budget(budget) for budget in budgets], True),
        ("All budgets", [curve(title, key) for title, key in figures], True),
        ("mIoU by cost", [curve(f"mIoU by {cost}", "miou", axis=cost) for cost in COSTS], True),
        ("IoU by class", [curve(name, f"iou/{name}") for name in class_names], False),
        ("What was bought", [bought], False),
    ]


def save_workspace(run: RunFolder, class_names: Sequence[str]) -> str:
    """Save the workspace on W&B's server.

    Returns:
        Its URL.

    Raises:
        ConfigError: the extra or the key is missing, or the server does not answer or refuses the key.
    """
    build_workspace(run, class_names)
    if not has_key():
        raise ConfigError("the dashboard is saved by W&B's server: `wandb login` first, or look with --dry-run")
    if why := ask_server():
        raise ConfigError(f"the dashboard cannot be saved: {why}")
    os.environ |= QUIET
    import wandb

    try:
        entity = find_target(run.config.tracking, run.path).entity or wandb.Api().default_entity
        saved = build_workspace(run, class_names, entity or _UNKNOWN_ENTITY).save()
    except Exception as error:  # noqa: BLE001 (the client and its GraphQL library raise many types)
        raise ConfigError(f"the dashboard cannot be saved: {first_line(error)}") from None
    return str(saved.url)
