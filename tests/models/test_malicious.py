"""A pickle that would run a command does not, wherever weights are read."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ripu_ray.config import ModelConfig, load_config
from ripu_ray.errors import InputError
from ripu_ray.models.networks import build_network
from ripu_ray.models.pretrained import load_pretrained
from ripu_ray.simulation.evaluation import evaluate_checkpoint
from ripu_ray.training.checkpoint import load_training_state
from tests.conftest import TINY


class Command:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self._command,)


def _init_from(path: Path) -> object:
    model = ModelConfig(width=8, init_from=path)
    load_pretrained(build_network(model, 3, seed=0), model)
    return None


def _backbone(path: Path) -> object:
    model = ModelConfig(name="deeplabv2", backbone_weights=path)
    load_pretrained(build_network(model, 3, seed=0), model)
    return None


READERS: dict[str, Callable[[Path], object]] = {
    "weights.pt": load_training_state,
    "model.init_from": _init_from,
    "model.backbone_weights": _backbone,
    "--checkpoint": lambda path: evaluate_checkpoint(load_config(None, TINY), path),
}


@pytest.mark.parametrize("form", ["zip", "plain"])
@pytest.mark.parametrize("reader", READERS)
def test_a_command_in_a_pickle_is_not_run(tmp_path: Path, reader: str, form: str) -> None:
    path, trace = tmp_path / "weights.pt", tmp_path / "it_ran"
    payload = {"network": Command(f"touch {trace}"), "optimiser": Command(f"touch {trace}"), "step": 1}
    if form == "zip":
        torch.save(payload, path)
    else:
        path.write_bytes(pickle.dumps(payload))
    with pytest.raises(InputError, match=r"weights\.pt: .*nothing in it was run"):
        READERS[reader](path)
    assert not trace.exists()


class _Zeros:
    def __reduce__(self) -> tuple[type[bytearray], tuple[int]]:
        return bytearray, (2**32,)


def swollen_pickle(path: Path) -> None:
    """Write a checkpoint of a few hundred bytes that stands for 4 GiB."""
    plain = path.with_suffix(".plain")
    torch.save({"network": {}}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.infolist():
            is_pickle = entry.filename.endswith("data.pkl")
            content = pickle.dumps({"network": _Zeros()}, 2) if is_pickle else source.read(entry)
            target.writestr(entry.filename, content)
    plain.unlink()


@pytest.mark.parametrize("reader", READERS)
def test_an_archive_that_grows_is_refused_before_it_does(tmp_path: Path, reader: str) -> None:
    plain, path = tmp_path / "plain.pt", tmp_path / "weights.pt"
    torch.save({"network": {"w": torch.zeros(2**26)}, "optimiser": {}, "step": 1}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    plain.unlink()
    assert path.stat().st_size < 2**20
    with pytest.raises(InputError, match=r"weights\.pt: .*larger than the file"):
        READERS[reader](path)
    swollen_pickle(path)
    with pytest.raises(InputError, match=r"weights\.pt: .*larger than the file"):
        READERS[reader](path)
