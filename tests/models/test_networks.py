"""The networks: built from a seed, and an image's logits independent of its batch."""

import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ripu_ray.config import ModelConfig, load_config
from ripu_ray.config.registry import NETWORKS
from ripu_ray.errors import ConfigError
from ripu_ray.models.networks import build_network
from ripu_ray.models.networks import network as register_network
from ripu_ray.models.protocol import Network
from ripu_ray.runs.grid import expand
from ripu_ray.simulation.preflight import check_trials
from tests.conftest import TINY

STRIDES = {
    "compact": 2,
    "deeplabv2": 8,
    "deeplabv3plus": 4,
    **{f"efficientnet_lite{version}": 4 for version in range(3)},
}
"""Input pixels for each row of logits: docs/networks.md."""


@pytest.fixture(scope="module")
def network() -> Network:
    return build_network(ModelConfig(), num_classes=10, seed=0)


def test_weights_come_from_the_seed_and_the_global_state_stays() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = (build_network(ModelConfig(), 4, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("train", [True, False])
def test_logits_do_not_depend_on_the_rest_of_the_batch(network: Network, train: bool) -> None:
    images = torch.randn(4, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    images[1:] *= 100
    with torch.inference_mode():
        together = network.train(train)(images)
        for index in range(4):
            torch.testing.assert_close(together[index], network(images[index : index + 1])[0], rtol=1e-5, atol=1e-5)


def test_there_are_no_running_statistics(network: Network) -> None:
    assert not list(network.buffers())


@pytest.mark.parametrize("size", [(8, 8), (9, 11), (96, 128), (33, 70)])
@pytest.mark.parametrize("width", [8, 24, 32])
def test_any_size_and_width(size: tuple[int, int], width: int) -> None:
    network = build_network(ModelConfig(width=width), num_classes=3, seed=0)
    with torch.inference_mode():
        logits = network(torch.zeros(2, 3, *size))
    assert logits.shape == (2, 3, -(-size[0] // 2), -(-size[1] // 2))
    assert torch.isfinite(logits).all()


def test_the_head_is_the_last_layer(network: Network) -> None:
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


def test_images_are_normalised_and_read_only_arrays_are_taken(network: Network) -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    image[1, 2] = (255, 128, 0)
    image.flags.writeable = False
    tensor = network.to_input(image)
    assert tensor.shape == (3, 4, 6)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    expected = [(1 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, -0.406 / 0.225]
    torch.testing.assert_close(tensor[:, 1, 2], torch.tensor(expected))


@pytest.mark.parametrize("name", [name for name in NETWORKS.names() if not NETWORKS[name].needs])
def test_every_registered_network_keeps_the_protocol(name: str) -> None:
    network = build_network(ModelConfig(name=name), num_classes=5, seed=0).eval()
    with torch.inference_mode():
        logits = network(torch.zeros(1, 3, 65, 90))
    assert logits.shape == (1, 5, -(-65 // STRIDES[name]), -(-90 // STRIDES[name]))
    groups = network.parameter_groups()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert {id(parameter) for group in groups for parameter in group} == set(map(id, trained))
    assert sum(map(len, groups)) == len(trained)
    assert list(map(id, groups[1])) == list(map(id, network.head.parameters()))
    assert list(network.head.state_dict().values())[-1].shape == (5,)


def test_a_network_is_added_by_a_decorator_and_an_unknown_name_lists_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NETWORKS, "_parts", {name: NETWORKS[name] for name in NETWORKS.names()})

    class Grey(Network):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.head = nn.Conv2d(3, num_classes, 1)

        def forward(self, images_B3HW: Tensor) -> Tensor:
            logits: Tensor = self.head(images_B3HW)
            return logits

    register_network("grey")(lambda model, num_classes: Grey(num_classes))
    network = build_network(load_config(None, ["model.name=grey"]).model, 4, seed=0)
    assert network(network.to_input(np.full((1, 8, 9, 3), 255, np.uint8))).shape == (1, 4, 8, 9)
    assert (network.to_input(np.full((8, 9, 3), 255, np.uint8)) == 1).all()
    backbone, head = network.parameter_groups()
    assert not backbone and len(head) == 2
    with pytest.raises(ConfigError, match=r"^model\.name: unknown network 'gray': expected compact, .*, grey$"):
        load_config(None, ["model.name=gray"])


class Own(Network):
    """A network as a plug-in has it; `change` makes it faulty."""

    def __init__(self, change: Callable[["Own"], object]) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.Conv2d(8, 10, 1)
        self.spare = nn.Conv2d(8, 10, 1)
        change(self)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images_B3HW))
        return logits

    def last_layer(self) -> nn.Module:
        return self.spare


def _with(**parts: object) -> Callable[[ModelConfig, int], Network]:
    def change(network: Own) -> None:
        for name, part in parts.items():
            setattr(network, name, part)

    return lambda model, num_classes: Own(change)


def _headless(model: ModelConfig, num_classes: int) -> Network:
    return Own(lambda network: network.__dict__.update(head=nn.Conv2d(8, num_classes, 1)))


FAULTS: dict[str, tuple[Callable[[ModelConfig, int], object], str]] = {
    "raises": (lambda model, num_classes: [][model.width], "IndexError: list index out of range$"),
    "exits": (lambda model, num_classes: sys.exit(3), "SystemExit: 3$"),
    "no network": (lambda model, num_classes: nn.Conv2d(3, 10, 1), "the builder returned Conv2d, expected a ripu_ray"),
    "no head": (_with(head=None), "head is NoneType, expected a module that is a part of the network$"),
    "head elsewhere": (_headless, "head is Conv2d, expected a module that is a part of the network$"),
    "mean of bytes": (_with(mean=(123.0, 116.0, 103.0)), r"mean is \(123\.0, .* expected three numbers in \[0, 1\]"),
    "std": (_with(std=(1.0, 1.0)), r"std is \(1\.0, 1\.0\), expected three finite numbers"),
    "groups": (_with(parameter_groups=lambda: ([], [])), "parameter_groups: expected two lists that have each"),
    "last layer": (_with(), "ValueError: last_layer: takes no part in `forward`$"),
    "no dropout": (_with(), "gives dropout, but has no layer of dropout$"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_network_of_a_plugin_is_refused_before_a_run(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    monkeypatch.setattr(NETWORKS, "_parts", {name: NETWORKS[name] for name in NETWORKS.names()})
    builder, says = FAULTS[fault]
    gives = ["dropout"] if "dropout" in fault else ["features"]
    register_network("own", gives=gives)(builder)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=f"^model.name own: .*{says}"):
        check_trials(expand(load_config(None, [*TINY, "model.name=own"])))
