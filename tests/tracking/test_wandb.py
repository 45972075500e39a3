"""W&B runs are written for real, offline, and read back with W&B's own reader."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ripu_ray.config import Config, TrackingConfig, load_config, to_tree
from ripu_ray.simulation.protocols import RoundRecord
from ripu_ray.tracking.group import open_trackers
from ripu_ray.tracking.mode import resolve_mode
from ripu_ray.tracking.wandb import WandbTracker, flatten

RECORD = RoundRecord(
    round=0,
    step=20,
    budget_pixels=100,
    spent_pixels=45,
    void_pixels=2,
    clipped_pixels=0,
    clicks=5,
    spent_share=0.009,
    miou=0.5,
    accuracy=0.75,
    iou={"road": 0.75, "pole": 0.25, "train": None},
    losses={"total": 1.5},
)
WARMUP = replace(RECORD, round=-1, step=10, spent_pixels=0, spent_share=0.0, miou=0.25)
ROUNDS = [RECORD, replace(RECORD, round=1, step=40, spent_pixels=90, spent_share=0.018, miou=0.625)]


def _inspect(file: Path, *flags: str) -> list[dict[str, Any]]:
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", *flags, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def offline() -> Config:
    return load_config(None, ["tracking.wandb=offline", "tracking.project=wheat"])


def test_an_offline_run_holds_every_round_over_the_spent_share(offline: Config, tmp_path: Path) -> None:
    tracker = open_trackers(offline, "field", "region-w3-ripu-b2.2-s0", tmp_path)
    for record in WARMUP, *ROUNDS:
        tracker.log_round(record, {"score": 1.25})
    tracker.close()
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    entries = _inspect(file)

    def all_of(kind: str) -> list[dict[str, Any]]:
        return [entry[kind] for entry in entries if entry["type"] == kind]

    (run,) = all_of("run")
    assert (run["run_group"], run["run_id"]) == ("field", "field-region-w3-ripu-b2.2-s0")
    assert (run["display_name"], run["project"]) == ("region-w3-ripu-b2.2-s0", "wheat")
    assert run["config"]["update"]["strategy"] == to_tree(offline)["strategy"]
    assert {metric.get("glob_name"): metric.get("step_metric") for metric in all_of("metric")}["*"] == "spent_share"
    history = [entry["item"] for entry in all_of("history")]
    assert [item["spent_share"] for item in history] == [0, 0.009, 0.018]
    assert [item["miou"] for item in history] == [0.25, 0.5, 0.625]
    for item in history:
        assert item.items() >= {"iou/road": 0.75, "iou/pole": 0.25, "loss/total": 1.5, "seconds/score": 1.25}.items()
    assert all_of("exit") == [{"exit_code": 0}]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["spent_pixels"] for line in lines] == [0, 45, 90]


def test_rounds_that_were_logged_are_not_logged_again(tmp_path: Path) -> None:
    config = load_config(None, ["tracking.wandb=disabled"])
    first = open_trackers(config, "field", "trial", tmp_path)
    for record in WARMUP, ROUNDS[0]:
        first.log_round(record, {})
    resumed = open_trackers(config, "field", "trial", tmp_path)
    for record in WARMUP, *ROUNDS:
        resumed.log_round(record, {})
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["round"] for line in lines] == [-1, 0, 1]


def test_a_failed_trial_is_marked_as_failed(offline: Config, tmp_path: Path) -> None:
    WandbTracker(offline, "field", "trial", tmp_path).close(failure="round 1, step 2: total is nan")
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    entries = _inspect(file)
    assert entries[-1]["exit"]["exit_code"] == 1
    assert "round 1, step 2: total is nan" in json.dumps(entries)


def test_auto_is_offline_without_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("NETRC", raising=False)
    assert resolve_mode(TrackingConfig()) == "offline"
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert resolve_mode(TrackingConfig()) == "online"
    (tmp_path / ".netrc").unlink()
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert resolve_mode(TrackingConfig()) == "online"
    assert resolve_mode(TrackingConfig(wandb="disabled")) == "disabled"


def test_keys_are_flat_and_absent_classes_are_left_out() -> None:
    flat = flatten(RECORD, {"train": 2.0})
    assert flat["iou/pole"] == 0.25
    assert flat["loss/total"] == 1.5
    assert flat["seconds/train"] == 2.0
    assert "iou/train" not in flat
