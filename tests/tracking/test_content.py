"""Every key and every picture of a real trial, read back from its offline W&B run with W&B's own reader."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ripu_ray.config import load_config
from ripu_ray.core.metrics import IGNORE_LABEL, aubc
from ripu_ray.data.loading import open_domains
from ripu_ray.runs.grid import Trial, expand
from ripu_ray.runs.ledger import Ledger
from ripu_ray.runs.record import RoundRecord
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.runs.stages import StageFolder, TrialFolder
from ripu_ray.simulation.inspection import Examples
from ripu_ray.tracking.wandb import WandbTracker
from ripu_ray.tracking.wandb_internals import read_entries
from ripu_ray.training.job import Measurement
from tests.conftest import TINY
from tests.running import run_all

TRIAL = "region-w3-ripu-b5-s0"
POOL, VALIDATION = ("target/train/00001", "target/train/00003"), ("target/val/00001",)
PICTURES = ("pool/", "validation/", "colours/")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    tracking = ("tracking.wandb=offline", "tracking.images=3", "tracking.artifacts=all", "tracking.log_every=2")
    settings = (*TINY, "cluster.scorers=0", *tracking)
    return run_all(tmp_path_factory.mktemp("content") / "field", load_config(None, settings))


@pytest.fixture(scope="module")
def files(run: RunFolder) -> Path:
    """The folder of the run's files."""
    (folder,) = run.trial(TRIAL).path.glob("wandb/offline-run-*/files")
    return folder


@pytest.fixture(scope="module")
def history(files: Path) -> list[dict[str, Any]]:
    """What was logged, round by round."""
    return [entry for entry in _history(files) if "round" in entry["item"]]


def _history(files: Path) -> list[dict[str, Any]]:
    (file,) = files.parent.glob("*.wandb")
    return [entry["history"] for entry in read_entries(file) if entry["type"] == "history"]


def _records(run: RunFolder) -> list[tuple[RoundRecord, dict[str, float]]]:
    warmup = run.warmup(next(iter(run.warmups)))
    stages = [warmup, *(run.trial(TRIAL).stage(number) for number in range(2))]
    return [(stage.read(), stage.seconds()) for stage in stages]


def test_every_number_stands_under_its_key(run: RunFolder, history: list[dict[str, Any]]) -> None:
    records = [record for record, _ in _records(run)]
    # Steps of the optimiser, plus one for each round and each record before.
    assert [entry["step"]["num"] for entry in history] == [3 + 1, 5 + 2, 7 + 3]
    for count, (entry, (record, seconds)) in enumerate(zip(history, _records(run), strict=True), start=1):
        numbers = {key: value for key, value in entry["item"].items() if not key.startswith(("_", *PICTURES))}
        expected = {
            "round": record.round,
            "step": record.step,
            "spent_share": record.spent_share,
            "spent_pixels": record.spent_pixels,
            "clicks": record.clicks,
            "boundary_pixels": record.boundary_pixels,
            "annotation_s": record.annotation_s,
            "void_pixels": record.void_pixels,
            "clipped_pixels": record.clipped_pixels,
            "miou": record.miou,
            "miou_by_budget/5": record.miou,
            "accuracy": record.accuracy,
            **{f"iou/{name}": value for name, value in record.iou.items() if value is not None},
            **{f"bought/{name}": pixels for name, pixels in record.bought.items()},
            **{f"loss/{name}": value for name, value in record.losses.items()},
            **{f"seconds/{phase}": value for phase, value in seconds.items()},
        }
        if count > 1:
            shares = [each.spent_share for each in records[:count]]
            expected["labelled_share"] = 1 - record.void_pixels / record.spent_pixels
            expected["aubc"] = aubc(shares, [each.miou for each in records[:count]])
        assert numbers == pytest.approx(expected)
    last = history[-1]["item"]
    assert (
        sum(value for key, value in last.items() if key.startswith("bought/"))
        == last["spent_pixels"] - last["void_pixels"]
    )
    assert last["seconds/train"] > 0


def test_training_has_an_axis_of_its_own_and_is_logged_once(run: RunFolder, files: Path) -> None:
    (warmup,) = run.path.glob("warmups/*/wandb/offline-run-*/files")
    found = {place: [entry for entry in _history(place) if "train/step" in entry["item"]] for place in (warmup, files)}
    # Every 2 steps: of the warm-up of 3 steps, and of two rounds of 2 steps.
    assert [[entry["item"]["train/step"] for entry in entries] for entries in found.values()] == [[2], [4, 6]]
    assert [entry["step"]["num"] for entry in found[files]] == [4 + 1, 6 + 2]
    for item in (entry["item"] for entries in found.values() for entry in entries):
        assert {"train/learning_rate", "train/steps_per_s", "train/images_per_s"} <= item.keys()
        assert 0 <= item["train/data_wait_share"] <= 1
        assert "spent_share" not in item and "train/gpu_memory_gib" not in item
    first = found[files][0]["item"]
    # The one step of round 0 until then is half of the round: its record has the mean.
    record = run.trial(TRIAL).stage(0).record()
    assert {key.removeprefix("train/loss/") for key in first if key.startswith("train/loss/")} == record.losses.keys()
    (file,) = files.parent.glob("*.wandb")
    metrics = [entry["metric"] for entry in read_entries(file) if entry["type"] == "metric"]
    own = {metric["name"]: metric.get("step_metric") for metric in metrics if "name" in metric}
    assert own.pop("train/step") is None and own.pop("spent_share") is None
    assert set(own.values()) == {"train/step"}
    assert own.keys() == first.keys() - {"train/step", "_runtime", "_step", "_timestamp"}
    # The same trial again, in a process of its own: all of it is logged already.
    tracker = WandbTracker(run, TRIAL, run.trial(TRIAL).path)
    for step in (4, 6):
        tracker.log_training(step // 2 - 2, Measurement(step, {"steps_per_s": 1.0}))
    tracker.close()
    again = max(run.trial(TRIAL).path.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime)
    assert again != file
    assert not [entry for entry in read_entries(again) if entry["type"] == "history"]


def test_the_confusion_matrix_has_the_counts_of_the_record(
    run: RunFolder, files: Path, history: list[dict[str, Any]]
) -> None:
    (item,) = (entry["item"] for entry in _history(files) if "confusion_matrix_table.path" in entry["item"])
    assert item["spent_share"] == history[-1]["item"]["spent_share"]
    table = json.loads((files / item["confusion_matrix_table.path"]).read_text())
    assert table["columns"] == ["Actual", "Predicted", "nPredictions"]
    stage = run.trial(TRIAL).stage(1)
    names, counts_CC = list(stage.record().iou), stage.confusion()
    assert counts_CC is not None and counts_CC.sum() > 0
    assert {(row[0], row[1]): row[2] for row in table["data"]} == {
        (true, predicted): counts_CC[row, column]
        for row, true in enumerate(names)
        for column, predicted in enumerate(names)
    }
    (file,) = files.parent.glob("*.wandb")
    charts = [entry for entry in read_entries(file) if "wandb/confusion_matrix/v1" in json.dumps(entry)]
    assert charts


def test_the_tab_of_logs_has_the_lines_of_the_event_log(run: RunFolder, files: Path) -> None:
    (file,) = files.parent.glob("*.wandb")
    lines = [entry["output_logger"]["line"] for entry in read_entries(file) if entry["type"] == "output_logger"]
    told = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert lines == [
        f"{line['time']} round {line['round']}: {line['text']}\n" for line in told if line["trial"] == TRIAL
    ]


def _mask(files: Path, item: dict[str, Any], picture: str, name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with Image.open(files / item[f"{picture}.masks.{name}.path"]) as mask:
        return np.asarray(mask)


def _bought(run: RunFolder, number: int, image_id: str) -> int:
    """Pixels bought in an image in one round."""
    table = pd.read_parquet(run.trial(TRIAL).stage(number).path / "purchase.parquet")
    return int(table.loc[table["image_id"] == image_id, "pixels"].sum())


def test_pictures_are_of_the_same_images_in_each_round(
    run: RunFolder, files: Path, history: list[dict[str, Any]]
) -> None:
    domains = open_domains(run.config.data)
    ledger = Ledger(run.trial(TRIAL).path, domains.pool.image_ids, 9)
    names = [f"pool/{image_id}" for image_id in POOL] + [f"validation/{image_id}" for image_id in VALIDATION]
    masks = {f"{name}.masks.{mask}" for name in names for mask in ("prediction", "truth")}
    masks |= {f"pool/{image_id}.masks.{mask}" for image_id in POOL for mask in ("bought", "windows")}
    colours_C3 = np.array(domains.classes.colours + ((0, 0, 0),) * (256 - domains.classes.num_classes), np.uint8)
    for entry in history:
        item = entry["item"]
        paths = {key.removesuffix(".path") for key in item if key.endswith(".path")}
        assert paths == {*names, *masks, *(f"colours/{name}" for name in names)}
        for image_id in VALIDATION:
            label = domains.validation.label(image_id)
            assert np.array_equal(_mask(files, item, f"validation/{image_id}", "truth"), label)
            predicted = _mask(files, item, f"validation/{image_id}", "prediction")
            with Image.open(files / item[f"colours/validation/{image_id}.path"]) as picture:
                assert np.array_equal(np.asarray(picture), colours_C3[np.concatenate((predicted, label), axis=1)])
        for image_id in POOL:
            with Image.open(files / item[f"pool/{image_id}.path"]) as picture:
                assert np.array_equal(np.asarray(picture.convert("RGB")), domains.pool.image(image_id))
            assert item[f"pool/{image_id}.caption"] == image_id
            label = domains.pool.label(image_id)
            truth, bought, windows, predicted = (
                _mask(files, item, f"pool/{image_id}", name) for name in ("truth", "bought", "windows", "prediction")
            )
            assert np.array_equal(truth, label)
            assert np.array_equal(bought, np.where(windows > 0, label, IGNORE_LABEL))
            assert predicted.max() < domains.classes.num_classes
            of_round = int(item["round"])
            assert (windows == 1).sum() == sum(_bought(run, number, image_id) for number in range(of_round))
            assert (windows == 2).sum() == (_bought(run, of_round, image_id) if of_round >= 0 else 0)
    for image_id in POOL:
        windows = _mask(files, history[-1]["item"], f"pool/{image_id}", "windows")
        assert all(windows[row, col] for row, col in ledger.centres(image_id))
    first, last = (
        _mask(files, history[number]["item"], f"validation/{VALIDATION[0]}", "prediction") for number in (0, 2)
    )
    assert not np.array_equal(first, last)


def test_seeds_are_repetitions_and_the_share_is_the_axis(files: Path) -> None:
    (file,) = files.parent.glob("*.wandb")
    entries = read_entries(file)
    (header,) = (entry["run"] for entry in entries if entry["type"] == "run")
    assert (header["job_type"], header["run_group"]) == ("trial", "field")
    assert header["config"]["update"]["trial"] == {
        "arm": "region-w3-ripu-b5",
        "strategy": "region-w3-ripu",
        "budget": "5",
    }
    metrics = [entry["metric"] for entry in entries if entry["type"] == "metric"]
    assert {metric.get("glob_name"): metric.get("step_metric") for metric in metrics}["*"] == "spent_share"


def test_a_finished_trial_has_its_ledger_and_its_weights_as_artifacts(run: RunFolder, files: Path) -> None:
    def artifacts() -> list[dict[str, Any]]:
        runs = run.trial(TRIAL).path.glob("wandb/offline-run-*/*.wandb")
        found = [entry["artifact"] for file in runs for entry in read_entries(file) if entry["type"] == "artifact"]
        return [artifact for artifact in found if artifact["type"] != "run_table"]

    (key,) = run.warmups
    source, ledger, model = sorted(artifacts(), key=lambda found: "wlm".index(found["name"][0]))
    assert [each["type"] for each in (source, ledger, model)] == ["model", "ledger", "model"]
    # The trial takes the weights of the warm-up and produces the others.
    assert [each.get("use_after_commit", False) for each in (source, ledger, model)] == [True, False, False]
    assert source["name"] == f"warmup-{key}-{run.token}"
    purchases = {f"round_{number:02d}/purchase.{kind}" for number in range(2) for kind in ("parquet", "json")}
    assert {content["path"] for content in ledger["manifest"]["contents"]} == purchases
    weights = [run.warmup(key).weights, run.trial(TRIAL).stage(1).weights]
    for artifact, path in zip((source, model), weights, strict=True):
        assert [content["local_path"] for content in artifact["manifest"]["contents"]] == [str(path)]
    (of_warmup,) = run.path.glob("warmups/*/wandb/offline-run-*/*.wandb")
    (produced,) = [entry["artifact"] for entry in read_entries(of_warmup) if entry["type"] == "artifact"]
    assert (produced["name"], produced["digest"]) == (source["name"], source["digest"])
    record = run.trial(TRIAL).stage(1).record()
    about = json.loads(model["metadata"])
    assert (about["round"], about["miou"]) == (1, pytest.approx(record.miou))
    assert about["weights_sha256"] == record.weights_sha256
    assert about["warmup_weights_sha256"] == run.warmup(key).record().weights_sha256
    # A tracker of another process logs none of them again.
    WandbTracker(run, TRIAL, run.trial(TRIAL).path).close()
    newest = max(run.trial(TRIAL).path.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime)
    assert newest.parent != files.parent
    assert len(artifacts()) == 3


def test_without_images_there_are_no_pictures(tmp_path: Path) -> None:
    settings = (*TINY, "cluster.scorers=0", "strategy.rounds=1", "tracking.wandb=offline", "tracking.images=0")
    run = run_all(tmp_path / "field", load_config(None, settings))
    assert not list(run.path.glob("trials/*/wandb/*/files/media/images"))
    (file,) = run.path.glob("trials/*/wandb/offline-run-*/*.wandb")
    artifacts = [entry["artifact"]["type"] for entry in read_entries(file) if entry["type"] == "artifact"]
    assert sorted(artifacts) == ["ledger", "run_table"]
    assert json.loads((run.path / "tracking.json").read_text())["mode"] == "offline"


def _examples(trial: Trial) -> Examples:
    return Examples(trial, TrialFolder(Path()), StageFolder(Path()), 2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_pictures_use_no_gpu_that_scorers_or_training_workers_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    for scorers, workers in ((1, 0), ("auto", 0), (0, 1), (0, 0)):
        config = load_config(
            None, (*TINY, "cluster.gpu=true", f"cluster.scorers={scorers}", f"cluster.train_workers={workers}")
        )
        (trial,) = expand(config)
        if scorers or workers:
            _examples(trial)
        else:  # its own GPU, which torch does not find here
            with pytest.raises((AssertionError, RuntimeError), match=r"CUDA|NVIDIA"):
                _examples(trial)
