"""Checkpoints: whole or absent, and harmless whatever is in the file."""

import pickle
from pathlib import Path

import pytest
import torch

from ripu_ray.config import ModelConfig
from ripu_ray.errors import DataError
from ripu_ray.models.checkpoints import load_checkpoint, save_checkpoint
from ripu_ray.models.networks import build_network


def test_weights_and_plain_values_come_back(tmp_path: Path) -> None:
    network = build_network(ModelConfig(width=8), num_classes=3, seed=0)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    payload = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "step": 7, "name": "compact"}
    path = tmp_path / "weights.pt"
    save_checkpoint(path, payload)
    loaded = load_checkpoint(path)
    assert loaded.keys() == payload.keys()
    assert loaded["step"] == 7
    for name, value in network.state_dict().items():
        assert torch.equal(loaded["network"][name], value)
    assert [file.name for file in tmp_path.iterdir()] == ["weights.pt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    save_checkpoint(path, {"step": 1})
    before = path.read_bytes()
    with pytest.raises((pickle.PicklingError, AttributeError)):
        save_checkpoint(path, {"weights": torch.zeros(1000), "function": lambda: None})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["weights.pt"]


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("form", ["zip", "plain pickle"])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, form: str) -> None:
    path, trace = tmp_path / "weights.pt", tmp_path / "it_ran"
    payload = {"network": Malicious(trace)}
    if form == "zip":
        torch.save(payload, path)
    else:
        path.write_bytes(pickle.dumps(payload))
    with pytest.raises(DataError) as caught:
        load_checkpoint(path)
    assert not trace.exists()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def damage(path: Path, kind: str) -> None:
    content = path.read_bytes()
    spoilt = {
        "empty": b"",
        "truncated": content[: len(content) // 2],
        "beginning lost": content[100:],
        "text": b"hello, world\n" * 20,
        "zip without data": b"PK\x05\x06" + bytes(18),
    }
    path.write_bytes(spoilt[kind])


@pytest.mark.parametrize("kind", ["empty", "truncated", "beginning lost", "text", "zip without data"])
def test_a_damaged_file_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "weights.pt"
    save_checkpoint(path, {"weights": torch.arange(1000)})
    damage(path, kind)
    with pytest.raises(DataError) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_missing_file_folder_and_other_content_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is missing"):
        load_checkpoint(tmp_path / "weights.pt")
    with pytest.raises(DataError, match="damaged"):
        load_checkpoint(tmp_path)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(DataError, match="found list"):
        load_checkpoint(tmp_path / "list.pt")
