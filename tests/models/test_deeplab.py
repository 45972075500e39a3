"""DeepLab: the published checkpoints' names and shapes, the reference's logits, and weights drawn from a seed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ripu_ray.config import ModelConfig
from ripu_ray.models.networks import build_network
from ripu_ray.models.protocol import Network
from tests.models.golden_weights import fill

GOLDEN = ("deeplabv2_19", "deeplabv2_16", "deeplabv3plus_19", "deeplabv3plus_16")


def parts(network: Network) -> dict[str, nn.Module]:
    """The modules that a published checkpoint has a state dict of, by its name."""
    feature_extractor = network.feature_extractor
    assert isinstance(feature_extractor, nn.Module)
    return {"feature_extractor": feature_extractor, "classifier": network.head}


def build(case: str) -> Network:
    name, num_classes = case.split("_")
    return build_network(ModelConfig.model_validate({"name": name}), int(num_classes), seed=0)


@pytest.mark.parametrize("case", GOLDEN)
def test_names_shapes_and_logits_are_the_reference_s(case: str, golden: Path) -> None:
    network = build(case).eval()
    shapes = json.loads((golden / "models_state_dict_shapes.json").read_text())[case]
    for name, part in parts(network).items():
        state = part.state_dict()
        assert {key: list(tensor.shape) for key, tensor in state.items()} == shapes[name]
        part.load_state_dict(fill(state))
    with np.load(golden / "models.npz") as arrays, torch.inference_mode():
        logits = network(torch.from_numpy(arrays["input"])).numpy()
        expected = arrays[f"{case}_logits"]
    assert logits.shape == expected.shape
    assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(("case", "stride"), [("deeplabv2_5", 8), ("deeplabv3plus_5", 4)])
def test_fresh_weights_give_logits_of_ordinary_size_and_gradients_everywhere(case: str, stride: int) -> None:
    network = build(case)
    images = torch.randn(2, 3, 33, 42, generator=torch.Generator().manual_seed(0))
    logits = network(images)
    assert logits.shape == (2, 5, -(-33 // stride), -(-42 // stride))
    assert 0.01 < logits.std() < 10
    frozen = {name: tensor.clone() for name, tensor in network.named_buffers()}
    logits.square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    torch.optim.SGD(network.parameters(), lr=0.1).step()
    for name, tensor in network.named_buffers():
        assert torch.equal(tensor, frozen[name]), name


def test_weights_come_from_the_seed() -> None:
    model = ModelConfig(name="deeplabv2")
    first, again, other = (build_network(model, 3, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.conv2d_list.0.weight"], other["head.conv2d_list.0.weight"])
