"""The sweep's own W&B run, read back."""

from pathlib import Path

import pandas as pd
import pytest

from ripu_ray.config import load_config
from ripu_ray.reporting.figures import write_curves
from ripu_ray.reporting.results import REPORT, collect
from ripu_ray.reporting.summary_run import comparison_lines, log_summary
from ripu_ray.tracking.wandb_internals import read_entries
from tests.conftest import TINY
from tests.running import run_all


@pytest.mark.slow
def test_a_sweep_is_summed_up_in_one_run(tmp_path: Path) -> None:
    config = load_config(None, (*TINY, "cluster.scorers=0", "strategy.rounds=1"), {"sweep.seeds": [0, 1]})
    run = run_all(tmp_path / "run", config)
    results = collect(run)
    write_curves(run, results)
    (run.path / REPORT).write_text("<p>five windows</p>", encoding="utf-8")

    log_summary(run, results)  # W&B is disabled
    assert not (run.path / "summary").exists()

    offline = load_config(None, (*TINY, "cluster.scorers=0", "strategy.rounds=1", "tracking.wandb=offline"))
    run = type(run).create(run.path, offline.model_copy(update={"sweep": config.sweep}))
    for _ in range(2):  # the second time there is nothing new to say
        log_summary(run, results)
        (file,) = run.path.glob("summary/wandb/offline-run-*/*.wandb")
        entries = read_entries(file)
        (logged,) = [entry["history"]["item"] for entry in entries if entry["type"] == "history"]
        assert logged["curves._type"] == "image-file"
        (header,) = [entry["run"] for entry in entries if entry["type"] == "run"]
        assert (header["job_type"], header["tags"]) == ("summary", ["summary", "synthetic"])
        assert header["notes"].startswith("Buying ")
        assert (logged["results._type"], logged["results.nrows"]) == ("table-file", len(results))
        assert (logged["strategies._type"], logged["strategies.nrows"]) == ("table-file", 1)
        assert logged["report._type"] == "html-file"
        assert (logged["trials"], logged["finished"]) == (2, 2)
    tables = {path.name.split("_")[0] for path in file.parent.rglob("*.table.json")}
    assert tables == {"results", "strategies", "comparison"}
    (report,) = file.parent.rglob("report_*.html")
    assert report.read_text(encoding="utf-8") == "<p>five windows</p>"
    assert list(file.parent.rglob("curves_*.png"))


def test_references_are_horizontal_lines_over_the_axis_of_the_strategies() -> None:
    settings = {"data": "synthetic", "mode": "region", "window": 3, "budget": "5", "step": 2, "spent_pixels": 1}
    rows = []
    for acquisition, shares, mious in (
        ("ripu", (0.0, 0.02, 0.05), (0.25, 0.5, 0.75)),
        ("source_only", (0.0, 0.0), (0.25, 0.375)),
        ("full", (0.0, 1.0), (0.25, 0.875)),
    ):
        trial = {"trial": acquisition, "arm": acquisition, "acquisition": acquisition, "seed": 0, **settings}
        for number, (share, miou) in enumerate(zip(shares, mious, strict=True), start=-1):
            rows.append({**trial, "rounds": len(shares) - 1, "round": number, "spent_share": share, "miou": miou})
    lines = comparison_lines(pd.DataFrame(rows))
    (strategy,) = (line for name, line in lines.items() if name.startswith("ripu"))
    assert strategy == ([0.0, 0.02, 0.05], [0.25, 0.5, 0.75])
    assert lines["source_only"] == ([0.0, 0.05], [0.375, 0.375])
    assert lines["full"] == ([0.0, 0.05], [0.875, 0.875])
