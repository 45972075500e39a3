"""Commands with their output and exit codes: in a process where that matters, in this one elsewhere."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image
from ripu_cli.main import app
from typer.testing import CliRunner

from ripu_ray.config import load_config
from ripu_ray.runs.run_folder import RunFolder
from tests.conftest import TINY
from tests.running import committed, ripu_here, run_all

RIPU = str(Path(sys.executable).with_name("ripu"))
TINY_FLAGS = [flag for setting in TINY for flag in ("--set", setting)]
ONE = ["--set", "cluster.scorers=0", "--budget", "4", "--name", "one"]


def _ripu(cwd: Path, *arguments: str, timeout_s: float = 200) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200", "HOME": str(cwd)}
    return subprocess.run(
        [RIPU, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which one trial was run without Ray: runs/one; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    done = ripu_here(folder, "run", *TINY_FLAGS, *ONE)
    assert (done.exit_code, done.stderr) == (0, "")
    return folder


def test_sweep_leaves_what_it_promises(tmp_path: Path) -> None:
    # Later settings win: W&B as users have it.
    flags = ["--budgets", "5,9px", "--mode", "region", "--name", "first", "--wandb", "offline"]
    one_process = ["--set", "cluster.scorers=1", "--set", "cluster.concurrent_trials=1"]
    done = _ripu(tmp_path, "sweep", *TINY_FLAGS, *one_process, *flags)
    assert (done.returncode, done.stderr) == (0, "")
    run = tmp_path / "runs" / "first"
    assert load_config(run / "config.yaml").sweep.budgets[1].unit == "pixels"
    environment = json.loads((run / "environment.json").read_text())
    assert environment["packages"]["ray"].startswith("2.")
    assert environment["git_revision"] is None or re.match(r"[0-9a-f]{40}", environment["git_revision"])

    results = pd.read_csv(run / "results.csv")
    assert list(results["trial"].unique()) == ["region-w3-ripu-b5-s0", "region-w3-ripu-b9px-s0"]
    assert results.groupby("trial")["round"].agg(list).tolist() == [[-1, 0, 1]] * 2
    assert (results["spent_pixels"] <= results["budget_pixels"]).loc[results["round"] >= 0].all()
    ledgers = sorted(run.glob("trials/*/round_*/purchase.parquet"))
    assert len(ledgers) == 4
    bought = sum(pq.read_table(ledger).num_rows for ledger in ledgers)
    assert bought == results.loc[results["round"] == 1, "clicks"].sum()
    assert len(list(run.glob("trials/*/wandb/offline-run-*/*.wandb"))) == 2
    alone = load_config(None, (*TINY, "cluster.scorers=0"), {"sweep.budgets": ["5", "9px"]})
    assert committed(RunFolder(run)) == committed(run_all(tmp_path / "alone", alone))
    with Image.open(run / "curves.png") as picture:
        # A curve was drawn: there are many colours, and not one line of text only.
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 50

    assert (run / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    for words in ("region", "9px", f"wandb sync {run}/{{warmups/*,trials/*,summary}}/", "results.csv", "report.html"):
        assert words in done.stdout
    assert "\x1b" not in done.stdout
    assert "Traceback" not in done.stdout

    again = ripu_here(tmp_path, "sweep", *TINY_FLAGS, *one_process, *flags)
    assert (again.exit_code, "starting Ray" in done.stdout, "starting Ray" in again.stdout) == (0, True, False)
    pd.testing.assert_frame_equal(pd.read_csv(run / "results.csv"), results)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_readme_s_command_learns_the_embedded_task(tmp_path: Path) -> None:
    done = _ripu(tmp_path, "sweep", "--budgets", "2.2,5", "--mode", "region", "--name", "demo", timeout_s=840)
    assert (done.returncode, done.stderr) == (0, "")
    results = pd.read_csv(tmp_path / "runs/demo/results.csv", dtype={"budget": str})
    assert set(results["acquisition"]) == {"ripu", "random", "source_only", "full"}
    results = results[results["acquisition"] == "ripu"]
    small, large = (results[results["budget"] == budget] for budget in ("2.2", "5"))
    for trial, most in ((small, 0.022), (large, 0.05)):
        assert trial["round"].tolist() == [-1, 0, 1, 2, 3, 4]
        assert most - 0.001 < trial["spent_share"].iloc[-1] <= most
        # A few per cent of the labels are worth far more than ten points here: docs/benchmarks.md.
        assert trial["miou"].iloc[-1] > trial["miou"].iloc[0] + 0.1
    assert large["miou"].iloc[-1] > small["miou"].iloc[-1]


def test_run_needs_no_ray(finished: Path) -> None:
    assert [path.name for path in (finished / "runs/one/trials").iterdir()] == ["region-w3-ripu-b4-s0"]
    assert not (finished / "runs/one/ray").exists()


@pytest.mark.slow
def test_resume_needs_the_folder_and_nothing_else(finished: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished / "runs/one", tmp_path / "runs/one")
    before = pd.read_csv(run / "results.csv")
    (run / "results.csv").unlink()
    (run / "trials/region-w3-ripu-b4-s0/round_01/record.json").unlink()
    done = ripu_here(tmp_path, "sweep", "--resume", "runs/one")
    assert (done.exit_code, done.stderr) == (0, "")
    after = pd.read_csv(run / "results.csv")
    times = before.filter(regex="^(seconds|speed)_").columns
    pd.testing.assert_frame_equal(after.drop(columns=times), before.drop(columns=times))

    for arguments, says in (
        (["runs/one", "--budgets", "4", "--name", "one"], "its config.yaml; leave out --budgets, --name"),
        (["runs/two"], "runs/two: not a run folder"),
    ):
        refused = ripu_here(tmp_path, "sweep", "--resume", *arguments)
        assert refused.exit_code == 2
        assert says in refused.stderr
        assert refused.stderr.count("\n") == 1


def _plan(text: str) -> list[str]:
    """The lines of a dry run, without the one on its duration."""
    return [line for line in text.strip().splitlines() if "in one process" not in line]


def test_dry_run_prints_the_first_trials_of_many_or_each(tmp_path: Path) -> None:
    flags = ("sweep", *TINY_FLAGS, "--budgets", "4", "--seeds", "0-119", "--dry-run", "--name", "x")
    done, full = ripu_here(tmp_path, *flags), ripu_here(tmp_path, *flags, "--each")
    assert "-s99 " in done.stdout and "-s100 " not in done.stdout and "and 20 more trials" in done.stdout
    assert "-s119 " in full.stdout and "more trials" not in full.stdout
    assert _plan(done.stdout)[-4:] == _plan(full.stdout)[-4:]


def test_dry_run_prints_a_configuration_the_grid_and_its_cost(tmp_path: Path) -> None:
    flags = ("sweep", *TINY_FLAGS, "--budgets", "4,5", "--seeds", "0,1,2", "--dry-run", "--name", "x")
    done = ripu_here(tmp_path, *flags, "--show-config", "--set=cluster.interface=a\u202e")
    assert done.exit_code == 0
    assert r"interface: a\u202e" in done.stdout and "\u202e" not in done.stdout
    document, _, rest = done.stdout.partition("\n\n")
    assert _plan(ripu_here(tmp_path, *flags).stdout) == _plan(rest)
    refused = ripu_here(tmp_path, *(flag for flag in flags if flag != "--dry-run"), "--show-config")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "--show-config: expected --dry-run" in refused.stderr
    assert yaml.safe_load(document)["sweep"] == {
        "budgets": ["4", "5"],
        "modes": [],
        "windows": [],
        "acquisitions": [],
        "seeds": [0, 1, 2],
        "vary": {},
    }
    assert rest.count("region-w3-ripu") == 6
    # 6 trials of 2 rounds of 2 steps, 3 warm-ups of 3 steps.
    assert "6 trials, 12 rounds, 33 steps (3 shared warm-ups: 9; rounds: 24)" in rest
    assert re.search(r"about \d+ MB of weights on disk", rest)
    assert re.search(r"^about [\d.]+ s in one process on this machine, from a few timed steps", rest, re.MULTILINE)
    assert not (tmp_path / "runs").exists()


def test_dry_run_of_a_reference_scores_nothing(tmp_path: Path) -> None:
    done = ripu_here(tmp_path, "run", *TINY_FLAGS, "--acquisition=full", "--dry-run", "--name=x")
    assert re.search(
        r"^about [\d.]+ s in one process on this machine, from a few timed steps", done.stdout, re.MULTILINE
    )


def test_gpus_are_asked_for_before_anybody_knows_how_many_there_are() -> None:
    """The check before Ray starts counts cores, and takes GPUs for granted."""
    share = ["cluster.gpu=true", "cluster.scorers=0", "cluster.processes_per_gpu=3"]
    planned = CliRunner().invoke(app, ["sweep", "--dry-run", *(f"--set={setting}" for setting in share)])
    assert (planned.exit_code, planned.stdout.splitlines()[-1]) == (0, "one trial needs 1 CPU and 0.333333 GPU")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said(tmp_path: Path) -> None:
    refused = ripu_here(tmp_path, "run", *TINY_FLAGS, "--set=cluster.gpu=true", "--set=cluster.scorers=0")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert re.match(r"ripu: cluster\.gpu: torch .* finds no GPU on this machine", refused.stderr)


def _camvid(root: Path, size: tuple[int, int] = (24, 32)) -> Path:
    """A tiny data set in the folder layout."""
    classes = [{"id": index, "name": f"class{index}", "color": [index, 0, 0]} for index in range(3)]
    generator = np.random.default_rng(0)
    for domain, split in (("source", "train"), ("target", "train"), ("target", "val")):
        for kind in ("images", "labels"):
            (root / domain / split / kind).mkdir(parents=True)
        for name in ("a", "b"):
            pixels = generator.integers(0, 255, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / domain / split / "images" / f"{name}.jpg")
            label = generator.integers(0, 3, size, dtype=np.uint8)
            Image.fromarray(label).save(root / domain / split / "labels" / f"{name}.png")
    (root / "classes.json").write_text(json.dumps({"num_classes": 3, "ignore_index": 255, "classes": classes}))
    return root


def _pool(root: Path, name: str) -> Path:
    return root / "target" / "train" / name


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(folder: Path) -> None:
    for path in folder.rglob("*.*"):
        path.unlink()


HARMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing folder": (lambda root: shutil.rmtree(root / "target/val"), "target/val"),
    "no data at all": (shutil.rmtree, "data.root is not a folder"),
    "image without label": (lambda root: _pool(root, "labels/b.png").unlink(), "images/b.jpg: has no label"),
    "label of another size": (
        lambda root: Image.fromarray(np.zeros((9, 9), np.uint8)).save(_pool(root, "labels/b.png")),
        "labels/b.png",
    ),
    "label id outside the classes": (
        lambda root: Image.fromarray(np.full((24, 32), 77, np.uint8)).save(_pool(root, "labels/b.png")),
        "labels/b.png: label id 77",
    ),
    "corrupt image": (lambda root: _truncate(_pool(root, "images/b.jpg")), "images/b.jpg"),
    "corrupt label": (lambda root: _truncate(_pool(root, "labels/b.png")), "labels/b.png"),
    "no target images": (
        lambda root: _empty(root / "target/train"),
        "target/train/images: holds no image",
    ),
    "classes are not JSON": (lambda root: (root / "classes.json").write_text("{"), "classes.json"),
}


@pytest.fixture
def refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str], str], None]:
    """Assert that a command is refused with one line, exit code 2, and nothing written, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def check(arguments: list[str], says: str) -> None:
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 2, done.output
        assert says in done.stderr
        assert done.stderr.startswith("ripu: ")
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.stdout == ""
        assert not (tmp_path / "runs").exists()

    return check


@pytest.mark.parametrize("harm", HARMS)
def test_bad_data_gets_one_line(harm: str, tmp_path: Path, refuse: Callable[[list[str], str], None]) -> None:
    root = _camvid(tmp_path / "data")
    spoil, says = HARMS[harm]
    spoil(root)
    refuse(["sweep", *TINY_FLAGS[10:], "--set", "data.dataset=folder", "--set", f"data.root={root}"], says)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--set", "strategy.no_such=1"], "strategy.no_such: unknown key"),
        (["--budgets", "0"], "budget '0'"),
        (["--budgets", "101"], "budget '101'"),
        (["--budgets", "some"], "budget 'some'"),
        (["--budgets", "2.2,,5"], "budget ''"),
        (["--windows", "4"], "window 4: expected an odd number"),
        (["--windows", "33"], "window 33 is larger than the target's images of 32x48"),
        (["--windows", "15"], "too little for a single window of 225 pixels"),
        (["--mode", "regional"], "'region' or 'pixel'"),
        (["--acquisitions", "ripu,magic"], "magic"),
        (["--seeds", "zero"], "sweep.seeds"),
        (["--seeds", "1,1"], "1 is there more than once"),
        (["--config", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["--wandb", "online"], "tracking.wandb is online"),
        (["--set", "model.init_from=nowhere.pt"], "nowhere.pt: the checkpoint is missing"),
        (["--set", "model.backbone_weights=r.pth"], "`compact` has no ResNet-101"),
        (["--set", "cluster.scorers=99"], "one trial needs 99 CPU"),
        (["--set", "cluster.train_workers=4", "--set", "cluster.cpus=3"], "one trial needs 4 CPU, there are 3"),
    ],
)
def test_bad_flags_get_one_line(arguments: list[str], says: str, refuse: Callable[[list[str], str], None]) -> None:
    refuse(["sweep", *TINY_FLAGS, *arguments], says)


def test_bad_input_is_a_line_and_an_exit_code_of_the_process(tmp_path: Path) -> None:
    done = _ripu(tmp_path, "sweep", "--budgets", "0")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["sweep", "--wandb", "sometimes"],
        ["sweep", "--no-such-flag"],
        ["sweep", "stray"],
        ["--verbose"],  # it says nothing without --version
    ],
)
def test_a_mistyped_flag_is_a_usage_error(arguments: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert arguments[-1] in done.stderr


@pytest.mark.slow
def test_an_output_folder_of_another_sweep_is_refused(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "runs/one", tmp_path / "runs/one")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = ripu_here(tmp_path, "run", *TINY_FLAGS, *ONE, "--set", "strategy.rounds=1")
    assert done.exit_code == 2
    assert done.stderr == "ripu: runs/one: holds another sweep; choose another --name or --output\n"
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cpus")
def test_where_one_warmup_meets_a_nan_the_other_trials_go_on(tmp_path: Path) -> None:
    absurd = ["--vary", "training.learning_rate=0.003,1.0e+30", "--name", "x"]
    done = ripu_here(tmp_path, "sweep", *TINY_FLAGS, *absurd)
    assert (done.exit_code, done.stderr) == (1, "")
    trials = [f"region-w3-ripu-b5-learning_rate={rate}-s0" for rate in ("0.003", "1e+30")]
    failed = next(line for line in done.stdout.splitlines() if f"warm-up of {trials[1]}" in line)
    assert re.search(r"warm-up, step 1: .* is (nan|inf); images source/", failed)
    run = RunFolder(tmp_path / "runs/x")
    assert [run.trial(name).num_committed() for name in trials] == [2, 0]
    assert sum(run.warmup(key).is_committed() for key in run.warmups) == 1
    assert len(list(run.path.glob("warmups/*/*.pt"))) == 1
    assert not list(run.path.rglob("partial.pt"))


def test_a_trial_that_fails_is_a_table_and_exit_code_1(tmp_path: Path) -> None:
    flags = [*TINY_FLAGS, "--set", "cluster.scorers=0", "--set", "training.learning_rate=1e30"]
    done = ripu_here(tmp_path, "run", *flags)
    assert done.exit_code == 1
    assert "warm-up, step" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
