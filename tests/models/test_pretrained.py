"""Weights from elsewhere: published checkpoints, ours, ImageNet's, and files that do not fit."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ripu_ray.config import ModelConfig
from ripu_ray.errors import DataError
from ripu_ray.models.networks import build_network
from ripu_ray.models.pretrained import load_pretrained, read_backbone, read_weights
from ripu_ray.models.protocol import Network
from tests.models.golden_weights import fill

V2 = ModelConfig(name="deeplabv2")


@pytest.fixture(scope="module")
def network() -> Network:
    return build_network(V2, 16, seed=0)


@cache
def filled(network: Network) -> dict[str, dict[str, Tensor]]:
    """The two parts of a network by the names of the reference implementation, filled by the golden recipe."""
    state = network.state_dict()
    parts = {"feature_extractor": "feature_extractor.", "classifier": "head."}
    return {
        part: fill({name.removeprefix(ours): value for name, value in state.items() if name.startswith(ours)})
        for part, ours in parts.items()
    }


def published(network: Network, prefix: str = "") -> dict[str, Any]:
    """What the reference implementation saves; its dictionaries may be changed."""
    payload: dict[str, Any] = {
        part: {prefix + name: value for name, value in tensors.items()} for part, tensors in filled(network).items()
    }
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    return payload | {"iteration": 40000, "optimizer_fea": optimiser.state_dict(), "optimizer_cls": None}


@pytest.mark.parametrize("prefix", ["", "module."])
def test_published_checkpoints_are_read(tmp_path: Path, network: Network, prefix: str) -> None:
    payload = published(network, prefix)
    payload["feature_extractor"][f"{prefix}backbone.bn1.num_batches_tracked"] = torch.tensor(3)
    path = tmp_path / "gtav_v2.pth"
    torch.save(payload, path)
    fresh = build_network(V2, 16, seed=1)
    load_pretrained(fresh, V2.model_copy(update={"init_from": path}))
    state = fresh.state_dict()
    assert torch.equal(
        state["feature_extractor.backbone.layer3.22.conv2.weight"],
        payload["feature_extractor"][f"{prefix}backbone.layer3.22.conv2.weight"],
    )
    assert torch.equal(state["head.conv2d_list.3.bias"], payload["classifier"][f"{prefix}conv2d_list.3.bias"])


@pytest.mark.parametrize("key", ["network", "state_dict"])
def test_our_own_are_read_and_a_state_dict_among_other_things(tmp_path: Path, key: str) -> None:
    model = ModelConfig(width=8)
    there = build_network(model, 3, seed=5).state_dict()
    torch.save({key: there, "optimiser": {}, "step": 7}, tmp_path / "weights.pt")
    here = build_network(model, 3, seed=6)
    load_pretrained(here, model.model_copy(update={"init_from": tmp_path / "weights.pt"}))
    assert all(torch.equal(tensor, there[name]) for name, tensor in here.state_dict().items())


def test_imagenet_weights_reach_the_backbone_and_nothing_else(tmp_path: Path, network: Network) -> None:
    payload = published(network)
    torchvision: dict[str, Tensor] = {
        name.removeprefix("backbone."): tensor for name, tensor in payload["feature_extractor"].items()
    }
    torchvision |= {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    torchvision["layer1.0.bn1.num_batches_tracked"] = torch.tensor(0)
    path = tmp_path / "resnet101.pth"
    torch.save(torchvision, path)
    fresh, untouched = build_network(V2, 16, seed=1), build_network(V2, 16, seed=1).state_dict()
    load_pretrained(fresh, V2.model_copy(update={"backbone_weights": path}))
    prefix = "feature_extractor.backbone."
    for name, tensor in fresh.state_dict().items():
        expected = torchvision[name.removeprefix(prefix)] if name.startswith(prefix) else untouched[name]
        assert torch.equal(tensor, expected), name
    del torchvision["layer4.2.bn3.running_var"]
    torch.save(torchvision, path)
    with pytest.raises(DataError, match=r"resnet101\.pth: not .* misses layer4\.2\.bn3\.running_var$"):
        read_backbone(path, network)


def _reshape(payload: dict[str, Any]) -> None:
    payload["feature_extractor"]["backbone.conv1.weight"] = torch.zeros(64, 3, 3, 3)


def _lose(payload: dict[str, Any]) -> None:
    del payload["classifier"]["conv2d_list.2.weight"], payload["feature_extractor"]["backbone.bn1.bias"]


def _add(payload: dict[str, Any]) -> None:
    payload["classifier"]["decoder.0.weight"] = torch.zeros(1)


FAULTS = {
    "misshapen": (_reshape, "misshapen: feature_extractor.backbone.conv1.weight is (64, 3, 3, 3), expected (64, 3, 7"),
    "missing": (_lose, "misses feature_extractor.backbone.bn1.bias, classifier.conv2d_list.2.weight"),
    "of another network": (_add, "does not have: classifier.decoder.0.weight"),
    "no state dict": (lambda payload: payload.update(classifier=3), "classifier: expected a state dict"),
    "other keys": (lambda payload: payload.pop("classifier"), "found feature_extractor, iteration"),
    "empty": (lambda payload: payload.clear(), "found nothing"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_file_gets_one_line(tmp_path: Path, network: Network, fault: str) -> None:
    payload, path = published(network), tmp_path / "w.pth"
    spoil, says = FAULTS[fault]
    spoil(payload)
    torch.save(payload, path)
    with pytest.raises(DataError) as caught:
        read_weights(path, network)
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_number_of_classes_is_said_with_both(tmp_path: Path, network: Network) -> None:
    torch.save(published(network), tmp_path / "w.pth")
    with pytest.raises(DataError, match="the checkpoint has 16 classes, the data 19"):
        read_weights(tmp_path / "w.pth", build_network(V2, 19, seed=0))


def test_many_faults_are_counted(tmp_path: Path, network: Network) -> None:
    torch.save({"network": {}}, tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"misses (\S+, ){2}\S+ and 525 more"):
        read_weights(tmp_path / "w.pth", network)
