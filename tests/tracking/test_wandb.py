"""W&B runs are written for real, offline, and read back with W&B's own reader."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ripu_ray.config import TrackingConfig, load_config, to_tree
from ripu_ray.errors import ConfigError
from ripu_ray.runs.environment import ENVIRONMENT
from ripu_ray.runs.grid import expand
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.storage.checksums import read_json, write_json
from ripu_ray.tracking.group import open_trackers
from ripu_ray.tracking.identity import describe, identify, tags
from ripu_ray.tracking.mode import Decision, check_key, decide, has_key
from ripu_ray.tracking.wandb import WandbTracker
from ripu_ray.tracking.wandb_internals import read_entries
from tests.tracking.records import ROUNDS, WARMUP

OFFLINE = ("tracking.wandb=offline", "tracking.project=wheat", "tracking.images=0")
TRIAL = "region-w3-ripu-b2.2-s0"


@pytest.fixture
def field(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "field", load_config(None, ["tracking.wandb=offline", "tracking.project=wheat"]))


def _summary(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """The summary after its last update."""
    updates = [entry["summary"]["update"] for entry in entries if entry["type"] == "summary"]
    return {key: value for update in updates for key, value in update.items()}


def test_an_offline_run_holds_every_round_over_the_spent_share(
    field: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_TAGS", "wheat,ripu")
    environment = read_json(field.path / ENVIRONMENT)
    write_json(field.path / ENVIRONMENT, {**environment, "git_revision": "1234567"})
    tracker = open_trackers(field, TRIAL)
    for record in WARMUP, *ROUNDS:
        tracker.log_round(record, {"score": 1.25})
    tracker.close()
    folder = field.trial(TRIAL).path
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    entries = read_entries(file)

    def all_of(kind: str) -> list[dict[str, Any]]:
        return [entry[kind] for entry in entries if entry["type"] == kind]

    (run,) = all_of("run")
    assert (run["run_group"], run["run_id"]) == ("field", identify(field, TRIAL, "trial", {})["id"])
    assert run["run_id"].startswith(f"{TRIAL}-{field.token}-")
    assert (run["display_name"], run["project"]) == (TRIAL, "wheat")
    assert run["config"]["update"]["strategy"] == to_tree(field.config)["strategy"]
    assert run["tags"] == ["wheat", "ripu", "region", "synthetic"]
    assert run["notes"] == (
        "Active learning with ripu in mode region, 2.2 % of each image in 5 rounds: compact on synthetic, seed 0."
    )
    assert run["config"]["update"]["commit"] == "1234567"
    found = _summary(entries)
    assert (found["miou"], found["best/miou"], found["best/round"]) == (0.625, 0.625, 1)
    assert (found["aubc"], found["spent_share"], found["clicks"]) == (pytest.approx(0.46875), 0.018, 5)
    assert {metric.get("glob_name"): metric.get("step_metric") for metric in all_of("metric")}["*"] == "spent_share"
    history = [entry["item"] for entry in all_of("history")]
    assert [item["spent_share"] for item in history] == [0, 0.009, 0.018]
    assert [item["miou"] for item in history] == [0.25, 0.5, 0.625]
    for item in history:
        assert item.items() >= {"iou/road": 0.75, "iou/pole": 0.25, "loss/total": 1.5, "seconds/score": 1.25}.items()
    assert [end["exit_code"] for end in all_of("exit")] == [0]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["spent_pixels"] for line in lines] == [0, 45, 90]


@pytest.mark.parametrize("mode", ["disabled", "offline"])
def test_rounds_that_were_logged_are_not_logged_again(mode: str, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "field", load_config(None, (*OFFLINE, f"tracking.wandb={mode}")))
    for records in [WARMUP, ROUNDS[0]], [WARMUP, *ROUNDS]:
        tracker = open_trackers(run, TRIAL)
        for record in records:
            tracker.log_round(record, {})
        tracker.close()
    folder = run.trial(TRIAL).path
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["round"] for line in lines] == [-1, 0, 1]
    entries = [entry for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")) for entry in read_entries(file)]
    logged = [entry["history"]["item"]["round"] for entry in entries if entry["type"] == "history"]
    assert logged == ([-1, 0, 1] if mode == "offline" else [])


def test_the_best_round_may_be_an_earlier_one_that_another_process_logged(field: RunFolder) -> None:
    worse = replace(ROUNDS[1], miou=0.125)
    for records in [WARMUP, ROUNDS[0]], [WARMUP, ROUNDS[0], worse]:
        tracker = WandbTracker(field, TRIAL, field.trial(TRIAL).path)
        for record in records:
            tracker.log_round(record, {})
        tracker.close()
    *_, file = sorted(
        field.trial(TRIAL).path.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime
    )
    found = _summary(read_entries(file))
    assert (found["miou"], found["best/miou"], found["best/round"]) == (0.125, 0.5, 0)


@pytest.mark.parametrize(
    ("settings", "says", "tagged"),
    [
        ({"acquisition": "full"}, "Reference with every pixel of the pool bought: ", ("full", "synthetic")),
        ({"acquisition": "source_only"}, "Reference without purchases: ", ("source_only", "synthetic")),
        (
            {"budget": "40px", "mode": "pixel", "allocation": "pool", "rounds": "1"},
            "Active learning with ripu in mode pixel, 40 pixels of an image on average over the pool in 1 round: ",
            ("ripu", "pixel", "synthetic"),
        ),
    ],
)
def test_notes_and_tags_say_what_a_trial_is(settings: dict[str, str], says: str, tagged: tuple[str, ...]) -> None:
    (trial,) = expand(load_config(None, [f"strategy.{key}={value}" for key, value in settings.items()]))
    assert describe(trial) == f"{says}compact on synthetic, seed 0."
    assert tags(trial) == tagged


def test_a_reference_is_a_horizontal_line_and_is_logged_once(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "field", load_config(None, (*OFFLINE, "sweep.acquisitions=[ripu, full]")))
    _, trial_id = run.trials
    for _ in range(2):
        tracker = WandbTracker(run, trial_id, run.trial(trial_id).path)
        for record in WARMUP, replace(ROUNDS[0], spent_share=1.0):
            tracker.log_round(record, {})
        tracker.close()
    files = sorted(run.trial(trial_id).path.glob("wandb/offline-run-*/*.wandb"))
    entries = [entry for file in files for entry in read_entries(file)]
    items = [entry["history"]["item"] for entry in entries if entry["type"] == "history"]
    assert [item["spent_share"] for item in items] == [0, 1, 0, 0.022, 1]
    assert [item.get("reference/full") for item in items] == [None, None, 0.5, 0.5, 0.5]


def test_a_failed_trial_is_marked_as_failed(field: RunFolder) -> None:
    WandbTracker(field, TRIAL, field.trial(TRIAL).path).close(failure="round 1, step 2: total is nan")
    (file,) = field.trial(TRIAL).path.glob("wandb/offline-run-*/*.wandb")
    entries = read_entries(file)
    assert [entry["exit"]["exit_code"] for entry in entries if entry["type"] == "exit"] == [1]
    assert "round 1, step 2: total is nan" in json.dumps(entries)


def test_without_a_key_a_sweep_is_offline_and_no_server_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("WANDB_API_KEY", "NETRC", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not has_key()
    assert decide(TrackingConfig(), tmp_path) == Decision("offline")
    assert decide(TrackingConfig(wandb="disabled"), tmp_path) == Decision("disabled")
    with pytest.raises(ConfigError, match="expected a key in WANDB_API_KEY"):
        check_key(TrackingConfig(wandb="online"))


@pytest.mark.parametrize("host", ["api.wandb.ai", "wandb.example:8080"])
def test_keys_are_known_from_netrc(host: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", f"https://{host}")
    (tmp_path / ".netrc").write_text(f"machine {host} login user password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert has_key()
