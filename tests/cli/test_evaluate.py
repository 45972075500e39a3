"""`ripu evaluate`: its output and its errors."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ripu_cli.main import app
from typer.testing import CliRunner

from ripu_ray.config import ModelConfig
from ripu_ray.models.networks import build_network
from tests.data import published

RIPU = str(Path(sys.executable).with_name("ripu"))


def _evaluate(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200", "HOME": str(cwd)}
    return subprocess.run(
        [RIPU, "evaluate", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_figures_of_16_and_13_classes_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = published.write_pair(tmp_path, "synthia")
    torch.save({"network": build_network(ModelConfig(width=8), 16, seed=0).state_dict()}, tmp_path / "w.pt")
    # The source is neither needed nor looked for.
    shutil.rmtree(tmp_path / "synthia")
    settings = [
        "data.dataset=cityscapes",
        "data.source=synthia",
        f"data.source_root={data.source_root}",
        f"data.target_root={data.target_root}",
        "model.width=8",
    ]
    flags = [flag for setting in settings for flag in ("--set", setting)]
    done = _evaluate(tmp_path, "--checkpoint", "w.pt", *flags, "--flip", "--predictions", "pictures")
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("traffic light", "%, 16 classes", "%, 13 classes", "accuracy", "pictures"):
        assert words in done.stdout
    assert (tmp_path / "pictures/val/lindau/lindau_000000_000019.png").exists()
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(app, ["evaluate", "--checkpoint", "w.pt", "--set", "model.width=8"])
    assert refused.exit_code == 2
    assert refused.stderr == "ripu: w.pt: the checkpoint has 16 classes, the data 10\n"
