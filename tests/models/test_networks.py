"""The networks: built from a seed, and an image's logits independent of its batch."""

import numpy as np
import pytest
import torch
from torch import nn

from ripu_ray.config import ModelConfig
from ripu_ray.models.networks import build_network, to_input


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return build_network(ModelConfig(), num_classes=10, seed=0)


def test_weights_come_from_the_seed_and_the_global_state_stays() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = (build_network(ModelConfig(), 4, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("train", [True, False])
def test_logits_do_not_depend_on_the_rest_of_the_batch(network: nn.Module, train: bool) -> None:
    images = torch.randn(4, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    images[1:] *= 100
    with torch.inference_mode():
        together = network.train(train)(images)
        for index in range(4):
            torch.testing.assert_close(together[index], network(images[index : index + 1])[0], rtol=1e-5, atol=1e-5)


def test_there_are_no_running_statistics(network: nn.Module) -> None:
    assert not list(network.buffers())


@pytest.mark.parametrize("size", [(8, 8), (9, 11), (96, 128), (33, 70)])
@pytest.mark.parametrize("width", [8, 24, 32])
def test_any_size_and_width(size: tuple[int, int], width: int) -> None:
    network = build_network(ModelConfig(width=width), num_classes=3, seed=0)
    with torch.inference_mode():
        logits = network(torch.zeros(2, 3, *size))
    assert logits.shape == (2, 3, -(-size[0] // 2), -(-size[1] // 2))
    assert torch.isfinite(logits).all()


def test_the_head_is_the_last_layer(network: nn.Module) -> None:
    head = network.head
    assert isinstance(head, nn.Conv2d)
    assert head.out_channels == 10
    assert 100_000 < sum(parameter.numel() for parameter in network.parameters()) < 400_000


def test_every_parameter_gets_a_gradient() -> None:
    network = build_network(ModelConfig(width=8), num_classes=3, seed=0)
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(2, 3, 16, 16, generator=generator)
    (network(torch.randn(2, 3, 32, 32, generator=generator)) * weights).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_images_are_normalised_and_read_only_arrays_are_taken() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    image[1, 2] = (255, 128, 0)
    image.flags.writeable = False
    tensor = to_input(image)
    assert tensor.shape == (3, 4, 6)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    expected = [(1 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, -0.406 / 0.225]
    torch.testing.assert_close(tensor[:, 1, 2], torch.tensor(expected))
