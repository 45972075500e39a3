"""The commands with a pool that has no labels, and questions that Ray selects."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ripu_ray.annotation.asking import AskedTrial, ask
from ripu_ray.config import load_config
from ripu_ray.distributed.parts import ray_parts
from ripu_ray.distributed.scorers import _spares
from ripu_ray.runs.run_folder import RunFolder
from tests.conftest import TINY
from tests.data.folders import HEIGHT, NUM_CLASSES, WIDTH, write_data_set
from tests.running import execute_warmup, ignore, ripu_here

TRAINING = ("model.width=8", "training.warmup_steps=2", "training.round_steps=2", "tracking.wandb=disabled")
BUYING = ("strategy.rounds=2", "strategy.budget=20", "strategy.power=null", "cluster.scorers=0", "oracle.kind=human")


def test_a_pool_without_labels_is_asked_answered_and_trained(tmp_path: Path) -> None:
    write_data_set(tmp_path / "set")
    shutil.rmtree(tmp_path / "set/dusk/train/labels")
    shutil.rmtree(tmp_path / "set/dusk/val")
    data = ("data.dataset=folder", f"data.root={tmp_path / 'set'}", "data.source=day", "data.target=dusk")
    flags = [flag for setting in (*data, *TRAINING, *BUYING) for flag in ("--set", setting)]
    simulated = ripu_here(tmp_path, "run", *flags, "--set", "oracle.kind=simulated")
    assert simulated.exit_code == 2 and "dusk/train/labels: cannot be read" in simulated.stderr
    assert ripu_here(tmp_path, "query", "run", "--export", "word").exit_code == 2
    assert "run has rounds 0 to 1" in ripu_here(tmp_path, "query", "run", *flags, "--round", "2").stderr
    assert not (tmp_path / "run").exists()
    for verb in ("query", "train"):
        says = "run: not a run folder: `ripu query` creates it, with --config or --set\n"
        assert ripu_here(tmp_path, verb, "run").stderr.endswith(says)
    gain = ripu_here(tmp_path, "query", "run", *flags, "--set", "stopping.rule=small_gain")
    assert gain.exit_code == 2 and "stopping.rule small_gain: needs validation images" in gain.stderr
    flags += ["--set", "stopping.rule=kappa_average"]  # needs no labels
    early = ripu_here(tmp_path, "query", "run", *flags, "--round", "1")
    assert "round 0 is not asked yet" in early.stderr and not (tmp_path / "run").exists()
    for form in ("labelstudio", "cvat", "coco", "png"):
        asked = ripu_here(tmp_path, "query", "run", *flags, "--export", form, "--output", form)
        assert asked.exit_code == 0, asked.stderr
        assert "questions  9 in 3 images" in asked.stdout and "Ray" not in asked.stdout
        for name in ("images/dusk/train/a.png", "thumbnails/dusk/train/a.jpg", "sheet.html", "questions.csv"):
            assert (tmp_path / form / name).exists()
    assert {(tmp_path / form / "questions.csv").read_bytes() for form in ("coco", "png")} == {
        (tmp_path / "cvat/questions.csv").read_bytes()
    }
    refused = ripu_here(tmp_path, "train", "run")
    assert refused.exit_code == 2 and "none of the 9 questions of round 0 is answered" in refused.stderr
    # What the network predicts, taken as answers: each export is read as it was written.
    for files in (["png/predictions"], ["cvat/predictions.xml"], ["coco/predictions.json"], ["coco/questions.json"]):
        answered = ripu_here(tmp_path, "answer", "run", *files)
        assert answered.exit_code == 0, answered.stderr
    assert "next       round 0: train on its 9 answers" in answered.stdout
    Image.fromarray(np.full((HEIGHT, WIDTH), NUM_CLASSES, np.uint8)).save(tmp_path / "a.png")  # no class
    changed = ripu_here(tmp_path, "answer", "run", "a.png")
    assert changed.exit_code == 2 and "differs from the answer of " in changed.stderr
    assert "replaced   3 answers" in ripu_here(tmp_path, "answer", "run", "a.png", "--replace").stdout
    Image.fromarray(np.zeros((HEIGHT, WIDTH + 1), np.uint8)).save(tmp_path / "a.png")
    wrong = ripu_here(tmp_path, "answer", "run", "a.png")
    assert wrong.exit_code == 2 and "a.png: image a.png: is 12x21" in wrong.stderr
    assert ripu_here(tmp_path, "train", "run").exit_code == 0
    checked = ripu_here(tmp_path, "data", "check", "--config", "run/config.yaml")
    assert checked.exit_code == 0 and "questions 9 questions asked, 9 answered, 0 open" in checked.stdout
    assert ripu_here(tmp_path, "report", "run").exit_code == 0
    page = (tmp_path / "run/report.html").read_text()
    assert (
        "9 questions asked, 9 answered, 0 open. Next: ask round 1: <code>ripu query " in page
        and "`ripu" not in page
        and page.count('id="questions"') == 1
    )
    state = ripu_here(tmp_path, "status", "run")
    assert "next       ask round 1" in state.stdout and "nan" not in state.stdout
    record = RunFolder(tmp_path / "run").trial("region-w3-ripu-b20-s0").stage(0).read()
    assert record.labelled_share and f" {100 * record.labelled_share:.1f} " in state.stdout
    assert record.clicks == 9 and record.miou != record.miou and record.signals["kappa"] <= 1
    assert "null" in (tmp_path / "run/trials/region-w3-ripu-b20-s0/metrics.jsonl").read_text()


@pytest.mark.slow
def test_ray_asks_the_same_questions(tmp_path: Path, ray_cpus: int) -> None:
    alone = RunFolder.create(tmp_path / "alone", load_config(None, (*TINY, "cluster.scorers=0", "oracle.kind=human")))
    for key in alone.warmups:
        execute_warmup(alone, key, ignore)
    shutil.copytree(alone.path, tmp_path / "ray")
    ask(AskedTrial(alone), 0, ignore, ray_parts())
    config = load_config(None, (*TINY, "cluster.scorers=2", "oracle.kind=human"))
    ask(AskedTrial(RunFolder.create(tmp_path / "ray", config)), 0, ignore, ray_parts())
    (first, second) = (path.read_bytes() for path in sorted(tmp_path.rglob("questions/round_00/purchase.parquet")))
    assert first == second
    # No scorers are left to a next trial: they would hold the CPUs that training workers of this process wait for.
    assert not any(_spares.values())
