"""The sweep's own W&B run, read back."""

from pathlib import Path

from ripu_ray.config import load_config
from ripu_ray.reporting.figures import write_curves
from ripu_ray.reporting.results import collect
from ripu_ray.reporting.summary_run import log_summary
from ripu_ray.tracking.wandb_internals import read_entries
from tests.conftest import TINY
from tests.running import run_all


def test_a_sweep_is_summed_up_in_one_run(tmp_path: Path) -> None:
    config = load_config(None, (*TINY, "cluster.scorers=0", "strategy.rounds=1"), {"sweep.seeds": [0, 1]})
    run = run_all(tmp_path / "run", config)
    results = collect(run)
    write_curves(run, results)

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
        assert (logged["results._type"], logged["results.nrows"]) == ("table-file", len(results))
        assert (logged["strategies._type"], logged["strategies.nrows"]) == ("table-file", 1)
        assert (logged["trials"], logged["finished"]) == (2, 2)
    tables = {path.name.split("_")[0] for path in file.parent.rglob("*.table.json")}
    assert tables == {"results", "strategies"}
    assert list(file.parent.rglob("curves_*.png"))
