"""Weights of a run are exported as safetensors or a state dict, and initialise another run."""

import json
from pathlib import Path

import pytest
import torch
from ripu_cli.main import app
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

from ripu_ray.config import load_config
from ripu_ray.errors import DataError, InputError
from ripu_ray.models.networks import build_network
from ripu_ray.models.pretrained import read_weights
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.export import export_weights
from ripu_ray.training.checkpoint import load_training_state
from tests.conftest import TINY
from tests.models.modules import tiny
from tests.running import run_all

SETTINGS = (*TINY, "model.factory=tests.models.modules:tiny", "cluster.scorers=0", "training.ema=0.5")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_all(tmp_path_factory.mktemp("export") / "run", load_config(None, SETTINGS))


def _ripu(*arguments: object) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code in (0, 2), done
    return done.output.strip()


def test_a_round_is_exported_for_the_user_s_own_module_and_read_again(run: RunFolder, tmp_path: Path) -> None:
    (trial,) = run.trials.values()
    average = load_training_state(run.trial(trial.trial_id).stage(1).weights).average
    assert average
    for name in ("w.safetensors", "w.pt"):
        output = tmp_path / name
        assert _ripu("export", run.path, "--output", output) == f"weights  {output}"
        state = load_file(output) if name == "w.safetensors" else torch.load(output, weights_only=True)
        tiny(10).load_state_dict(state)
        assert all(torch.equal(tensor, average[f"model.{name}"]) for name, tensor in state.items())
        fresh = build_network(trial.config.model, 10, seed=1)
        fresh.load_state_dict(read_weights(output, fresh))
        assert all(torch.equal(tensor, average[name]) for name, tensor in fresh.state_dict().items())
        # From another program, without batch norm's counter.
        state = {name: tensor for name, tensor in state.items() if not name.endswith("tracked")}
        save_file(state, tmp_path / "other.safetensors")
        assert read_weights(tmp_path / "other.safetensors", fresh).keys() == average.keys()
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        notes = file.metadata()
    assert (notes["format"], notes["trial"], notes["round"]) == ("pt", trial.trial_id, "1")
    assert len(json.loads(notes["classes"])) == 10


def test_earlier_rounds_and_the_warm_up(run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (trial_id,) = run.trials
    (key,) = run.warmups
    for number, stage in ((0, run.trial(trial_id).stage(0)), (-1, run.warmup(key))):
        written = export_weights(run, trial_id=trial_id, round_index=number)
        assert written.parent == tmp_path and written.name.startswith(trial_id)
        weights = load_training_state(stage.weights).average or {}
        assert all(torch.equal(tensor, weights[f"model.{name}"]) for name, tensor in load_file(written).items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--round", "2"], "round 2 is not committed; found rounds up to 1"),
        (["--round", "-2"], "round -2 is not committed; found rounds up to 1"),
        (["--trial", "nope"], "--trial nope: expected one of region-"),
        (["--output", "w.onnx"], "--output w.onnx: expected a name that ends in .safetensors, .pt, .pth"),
    ],
)
def test_what_cannot_be_exported_gets_one_line(run: RunFolder, arguments: list[str], message: str) -> None:
    output = _ripu("export", run.path, *arguments)
    assert output.startswith("ripu: ") and message in output and "\n" not in output


def _spoil(state: dict[str, Tensor], path: Path, fault: str) -> None:
    if fault == "foreign":
        state = {"a": torch.zeros(2)}
    elif fault == "misshapen":
        state["head.1.weight"] = torch.zeros(3)
    elif fault == "half a network":
        del state["head.1.bias"]
    elif fault == "nan":
        state["head.1.bias"] = torch.full((10,), float("nan"))
    elif fault == "beyond float32":
        state["head.1.bias"] = torch.full((10,), 1e300, dtype=torch.float64)
    elif fault == "nan of eight bits":
        state["head.1.bias"] = torch.full((10,), float("nan")).to(torch.float8_e4m3fn)
    save_file(state, path)
    if fault == "truncated":
        path.write_bytes(path.read_bytes()[:-7])
    elif fault == "empty":
        path.write_bytes(b"")
    elif fault == "header":
        path.write_bytes(b"\xff" * 64)
    elif fault == "pickle":
        torch.save(state, path)
    elif fault == "folder":
        path.unlink()
        path.mkdir()
    elif fault == "missing":
        path.unlink()


FAULTS = {
    "foreign": "not weights of this network: misses idle, .* and 6 more$",
    "misshapen": r"not weights of this network: misshapen: head\.1\.weight is \(3,\), expected \(10, 8, 1, 1\)$",
    "half a network": r"not weights of this network: misses head\.1\.bias$",
    "nan": r"not weights of this network: a NaN or an infinity: head\.1\.bias$",
    "beyond float32": r"not weights of this network: a NaN or an infinity: head\.1\.bias$",
    "nan of eight bits": r"not weights of this network: a NaN or an infinity: head\.1\.bias$",
    "truncated": r"not safetensors, or damaged \(.*\)$",
    "empty": r"not safetensors, or damaged \(.*\)$",
    "header": r"not safetensors, or damaged \(.*\)$",
    "pickle": r"not safetensors, or damaged \(.*\)$",
    "folder": r"not a file$",
    "missing": r"there is no such file$",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_file_of_safetensors_gets_one_line(run: RunFolder, tmp_path: Path, fault: str) -> None:
    path = tmp_path / "w.safetensors"
    _spoil(tiny(10).state_dict(), path, fault)
    settings = [*SETTINGS, f"model.init_from={path}"]
    with pytest.raises(DataError, match=rf"^{path}: {FAULTS[fault]}"):
        read_weights(path, build_network(load_config(None, settings).model, 10, seed=0))
    output = _ripu("run", *(f"--set={setting}" for setting in settings), "--output", tmp_path / "runs")
    assert output.startswith(f"ripu: {path}: ") and "\n" not in output
    assert not (tmp_path / "runs").exists()


def test_a_run_of_several_trials_wants_a_name(tmp_path: Path) -> None:
    config = load_config(None, [*TINY, "sweep.seeds=[0, 1]"])
    with pytest.raises(InputError, match=r"has 2 trials: expected --trial, such as region-w3-ripu-b5-s0$"):
        export_weights(RunFolder.create(tmp_path / "two", config))
    with pytest.raises(InputError, match=r"round -1 is not committed; found the warm-up at most \(-1\)$"):
        export_weights(RunFolder.create(tmp_path / "one", load_config(None, TINY)))
