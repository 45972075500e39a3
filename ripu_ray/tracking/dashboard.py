"""The saved workspace and the W&B Report of a sweep, built in code (docs/wandb.md)."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from ripu_ray.config import Budget
from ripu_ray.errors import ConfigError, first_line
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.tracking.content import AXIS, COSTS, TRAINING_AXIS, budget_key, budget_share, reference_key
from ripu_ray.tracking.mode import QUIET, ask_server, has_key
from ripu_ray.tracking.target import find_target

UNKNOWN_ENTITY = "ENTITY"
"""Stands for the owner of a project while no server is asked."""


def build_workspace(run: RunFolder, class_names: Sequence[str], entity: str = UNKNOWN_ENTITY) -> Any:
    """Build the workspace of a sweep without saving it.

    Panels show mIoU against the spent share by budget, against the other costs, and by class. Each strategy has one
    line: the mean over seeds with its standard deviation.

    Args:
        run: the sweep; other runs of the same project are hidden.
        class_names: classes of its data set.
        entity: owner of the project.

    Raises:
        ConfigError: wandb-workspaces is not installed.
    """
    reports, workspaces, expr = _libraries()
    budgets, references = _budgets(run)
    return workspaces.Workspace(
        name=f"ripu {run.name}",
        entity=entity,
        project=find_target(run.config.tracking, run.path).project,
        sections=[
            workspaces.Section(name=name, panels=panels, is_open=is_open)
            for name, panels, is_open in _sections(reports, budgets, references, class_names)
        ],
        settings=workspaces.WorkspaceSettings(x_axis=AXIS, max_runs=100),
        runset_settings=workspaces.RunsetSettings(
            filters=expr.And(workspaces.Metric("Group") == run.name, workspaces.Metric("JobType") == "trial"),
            groupby=[workspaces.Config("trial.strategy"), workspaces.Config("trial.budget")],
        ),
    )


def build_report(
    run: RunFolder, class_names: Sequence[str], text: Sequence[str], table: str, entity: str = UNKNOWN_ENTITY
) -> Any:
    """Build a W&B Report without saving it.

    It has the text, the table, the curves by budget, cost and class, and the trials as parallel coordinates. Each
    strategy has one line, as in the workspace.

    Args:
        run: the sweep; other runs of the same project are left out.
        class_names: classes of its data set.
        text: paragraphs.
        table: results in Markdown; may be empty.
        entity: owner of the project.

    Raises:
        ConfigError: wandb-workspaces is not installed.
    """
    reports, _, expr = _libraries()
    filters = expr.And(expr.Metric("Group") == run.name, expr.Metric("JobType") == "trial")

    def grid(panels: Sequence[Any], *groups: str) -> Any:
        grouped = [f"config.trial.{name}" for name in groups]
        runset = reports.Runset(name=run.name, filters=filters, groupby=grouped)  # of the report's project
        return reports.PanelGrid(runsets=[runset], panels=list(panels))

    blocks = [reports.P(paragraph) for paragraph in text]
    if table:
        blocks += [reports.H2("Results"), reports.MarkdownBlock(table)]
    for name, panels, _ in _sections(reports, *_budgets(run), class_names):
        if panels:
            blocks += [reports.H2(name), grid(panels, "strategy", "budget")]
    columns = [
        reports.ParallelCoordinatesPlotColumn(reports.Config("trial.strategy"), "strategy"),
        reports.ParallelCoordinatesPlotColumn(reports.Config("trial.budget"), "budget"),
        reports.ParallelCoordinatesPlotColumn(reports.Config("seed"), "seed"),
        *map(reports.ParallelCoordinatesPlotColumn, (reports.SummaryMetric(key) for key in ("clicks", "aubc", "miou"))),
    ]
    blocks += [reports.H2("Trials"), grid([reports.ParallelCoordinatesPlot(title="trials", columns=columns)])]
    return reports.Report(
        project=find_target(run.config.tracking, run.path).project,
        entity=entity,
        title=f"ripu {run.name}"[:128],
        description="Active learning: mIoU on the validation split by labelling cost.",
        blocks=blocks,
    )


def _libraries() -> tuple[Any, Any, Any]:
    """The modules of panels and reports, of workspaces, and of filters. Raises ConfigError."""
    try:
        import wandb_workspaces.reports.v2.interface as reports
        import wandb_workspaces.workspaces as workspaces
        from wandb_workspaces import expr
    except ImportError:
        raise ConfigError("the dashboard needs an extra: pip install 'ripu-ray[dashboard]'") from None
    return reports, workspaces, expr


def _budgets(run: RunFolder) -> tuple[list[Budget], list[str]]:
    """The distinct budgets of a sweep, and its references."""
    strategies = [trial.config.strategy for trial in run.trials.values()]
    budgets = dict.fromkeys(strategy.budget for strategy in strategies if not strategy.is_reference)
    references = dict.fromkeys(strategy.acquisition for strategy in strategies if strategy.is_reference)
    return list(budgets), list(references)


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

    training = [
        curve(name.replace("_", " "), f"train/{name}", axis=TRAINING_AXIS)
        for name in ("loss/total", "learning_rate", "steps_per_s", "data_wait_share")
    ]
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
        ("Training", training, False),
    ]


def save(run: RunFolder, build: Callable[[str], Any]) -> str:
    """Save a workspace or a report on W&B's server.

    Args:
        run: the sweep.
        build: makes it for an entity.

    Returns:
        Its URL.

    Raises:
        ConfigError: the extra or the key is missing, or the server does not answer or refuses the key.
    """
    build(UNKNOWN_ENTITY)
    if not has_key():
        raise ConfigError("saving the dashboard needs a key of W&B: run `wandb login`, or use --dry-run")
    if why := ask_server():
        raise ConfigError(f"the dashboard cannot be saved: {why}")
    os.environ |= QUIET
    import wandb

    try:
        entity = find_target(run.config.tracking, run.path).entity or wandb.Api().default_entity
        saved = build(entity or UNKNOWN_ENTITY).save()
    except Exception as error:  # noqa: BLE001 (the client and its GraphQL library raise many types)
        raise ConfigError(f"the dashboard cannot be saved: {first_line(error)}") from None
    return str(saved.url)
