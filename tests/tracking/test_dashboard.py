"""The workspace is built for real, and its specification is what W&B's server would get."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ripu_cli.main import app
from typer.testing import CliRunner

from ripu_ray.config import load_config
from ripu_ray.runs.run_folder import RunFolder
from tests.conftest import TINY
from tests.tracking.server import KEY, WandbServer

SWEEP = ("sweep.budgets=['2.2', 40px]", "sweep.acquisitions=[ripu, random, full]", "tracking.project=wheat")


SECTIONS = ["mIoU by budget", "All budgets", "mIoU by cost", "IoU by class", "What was bought", "Training"]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "field", load_config(None, (*TINY, *SWEEP)))


def _panels(section: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel["config"] for panel in section["panels"]]


def test_the_workspace_has_a_panel_for_each_budget_cost_and_class(run: RunFolder) -> None:
    done = CliRunner().invoke(app, ["dashboard", str(run.path), "--dry-run"])
    assert done.exit_code == 0, done.output
    view = json.loads(done.stdout)
    assert (view["displayName"], view["project"]) == ("ripu field", "wheat")
    spec = view["spec"]["section"]
    sections = {section["name"]: section for section in spec["panelBankConfig"]["sections"]}
    assert list(sections) == SECTIONS
    budgets = _panels(sections["mIoU by budget"])
    # A reference is a horizontal line where the axis can end at the budget.
    assert [panel["metrics"] for panel in budgets] == [
        ["miou_by_budget/2.2", "reference/full"],
        ["miou_by_budget/40px"],
    ]
    assert [panel.get("xAxisMax") for panel in budgets] == [pytest.approx(0.022), None]
    for panel in budgets:
        assert panel["xAxis"] == "spent_share"
        assert panel["groupBy"] == "trial.value.strategy"
        assert (panel["groupAgg"], panel["groupArea"]) == ("mean", "stddev")
    costs = ["spent_pixels", "clicks", "boundary_pixels", "annotation_s"]
    assert [panel["xAxis"] for panel in _panels(sections["mIoU by cost"])] == costs
    classes = [panel["metrics"] for panel in _panels(sections["IoU by class"])]
    assert len(classes) == 10
    assert ["iou/pole"] in classes
    (bought,) = _panels(sections["What was bought"])
    assert bought["metrics"] == [name.replace("iou/", "bought/") for (name,) in classes]
    assert "field" in json.dumps(spec["runSets"][0]["filters"])
    assert spec["settings"]["xAxis"] == "spent_share"


def test_the_report_has_text_curves_by_strategy_and_the_trials(run: RunFolder) -> None:
    done = CliRunner().invoke(app, ["dashboard", str(run.path), "--report", "--dry-run"])
    assert done.exit_code == 0, done.output
    view = json.loads(done.stdout)
    assert (view["displayName"], view["project"]["name"]) == ("ripu field", "wheat")
    blocks = view["spec"]["blocks"]
    headings = [block["children"][0]["text"] for block in blocks if block["type"] == "heading"]
    assert headings == [*SECTIONS, "Trials"]
    assert "No round is committed yet." in json.dumps(blocks[:3])
    grids = [block["metadata"] for block in blocks if block["type"] == "panel-grid"]
    first, last = grids[0], grids[-1]
    assert [panel["config"]["metrics"] for panel in first["panelBankSectionConfig"]["panels"]] == [
        ["miou_by_budget/2.2", "reference/full"],
        ["miou_by_budget/40px"],
    ]
    (panel,) = last["panelBankSectionConfig"]["panels"]
    assert panel["viewType"] == "Parallel Coordinates Plot"
    assert [column.get("displayName") for column in panel["config"]["columns"]][:3] == ["strategy", "budget", "seed"]
    (runs,) = first["runSets"]
    assert [group["name"] for group in runs["grouping"]] == ["trial.value.strategy", "trial.value.budget"]
    assert "field" in json.dumps(runs["filters"])


@pytest.mark.parametrize(("flags", "kind"), [((), "project-view"), (("--report",), "runs")])
def test_it_is_saved_on_the_server(
    flags: tuple[str, ...], kind: str, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server is the stand-in of tests/tracking/server.py, not W&B's own.
    with WandbServer() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        done = CliRunner().invoke(app, ["dashboard", str(run.path), *flags])
    assert done.exit_code == 0, done.output
    (saved,) = server.views
    assert (saved["entityName"], saved["projectName"], saved["type"]) == ("farm", "wheat", kind)
    assert saved["displayName"] == "ripu field"
    assert "miou_by_budget/2.2" in saved["spec"]
    assert done.stdout.strip().startswith(f"{server.url}/farm/wheat")


@pytest.mark.usefixtures("_no_key")
def test_without_a_key_a_line_says_what_to_do(run: RunFolder) -> None:
    done = CliRunner().invoke(app, ["dashboard", str(run.path)])
    assert done.exit_code == 2
    assert done.stderr == "ripu: saving the dashboard needs a key of W&B: run `wandb login`, or use --dry-run\n"


@pytest.mark.usefixtures("_no_key")
def test_without_the_extra_a_line_says_what_to_install(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    # What Python itself does with a module that is not to be found.
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    for flags in ([], ["--dry-run"]):
        done = CliRunner().invoke(app, ["dashboard", str(run.path), *flags])
        assert done.exit_code == 2
        assert done.stderr == "ripu: the dashboard needs an extra: pip install 'ripu-ray[dashboard]'\n"


@pytest.fixture
def _no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "NETRC", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
