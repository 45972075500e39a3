"""The share of a device's peak: the network's operations are counted, and counting them changes nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ripu_ray.config import Config, TrainingConfig, load_config
from ripu_ray.models.networks import build_network
from ripu_ray.models.protocol import Network
from ripu_ray.simulation.local import LocalFineTuner
from ripu_ray.training import peak
from ripu_ray.training.job import Measurement, TrainingJob
from ripu_ray.training.peak import forward_operations, images_at_peak, operations_per_second
from tests.conftest import TINY
from tests.running import ignore_steps


def _by_hand(network: Network, size: tuple[int, int]) -> int:
    """Two operations for each weight of a convolution at each of its output pixels."""
    counted = []

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        counted.append(2 * module.weight.numel() * output[0, 0].numel())

    hooks = [module.register_forward_hook(count) for module in network.modules() if isinstance(module, nn.Conv2d)]
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, *size))
    for hook in hooks:
        hook.remove()
    return sum(counted)


@pytest.mark.parametrize("name", ["compact", "efficientnet_lite0"])
def test_operations_are_those_of_the_convolutions_and_the_network_is_left_alone(name: str) -> None:
    config = load_config(None, [f"model.name={name}", "model.width=8"])
    network = build_network(config.model, 5, 0)
    modes = [module.training for module in network.modules()]
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    found = forward_operations(network, torch.zeros(1, 64, 96, 3, dtype=torch.uint8))
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    assert found == _by_hand(network, (64, 96))


def test_the_peak_in_images(monkeypatch: pytest.MonkeyPatch, tiny: Config) -> None:
    assert operations_per_second(torch.device("cpu"), torch.float32, size=64) > 0
    network = build_network(tiny.model, 5, 0)
    operations = forward_operations(network, torch.zeros(1, 32, 48, 3, dtype=torch.uint8))
    rates = {torch.float32: 6.0 * operations, torch.bfloat16: 12.0 * operations}
    monkeypatch.setattr(peak, "operations_per_second", lambda device, dtype: rates[dtype])
    assert images_at_peak(network, TrainingConfig(), 32, 48) == 2
    assert images_at_peak(network, TrainingConfig(precision="bfloat16"), 32, 48) == 4
    # A user's network may accept no single image of zeros.
    monkeypatch.setattr(network, "forward", lambda images: images.missing)
    assert images_at_peak(network, TrainingConfig(), 32, 48) == 0


class _Precisions(TorchFunctionMode):
    """Notes whether the products of matrices may use TF32."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[bool] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.mm:
            self.found.add(torch.backends.cuda.matmul.allow_tf32)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("of_convolutions", [True, False])
def test_products_are_measured_in_the_precision_of_convolutions(
    monkeypatch: pytest.MonkeyPatch, of_convolutions: bool
) -> None:
    monkeypatch.setattr("torch.backends.cudnn.allow_tf32", of_convolutions)
    before = torch.backends.cuda.matmul.allow_tf32
    with _Precisions() as precisions:
        operations_per_second(torch.device("cpu"), torch.float32, size=8 + of_convolutions)  # each size once a process
    assert precisions.found == {of_convolutions}
    assert torch.backends.cuda.matmul.allow_tf32 == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_training_on_a_gpu_reports_it(tmp_path: Path) -> None:
    config = load_config(None, (*TINY, "cluster.scorers=0", "cluster.gpu=true", "tracking.log_every=5"))
    found: list[Measurement] = []
    job = TrainingJob(config, 0, 20, None, tmp_path / "weights.pt", "warm-up")
    LocalFineTuner(config).fit(job, ignore_steps, found.append)
    assert len(found) == 4
    assert all(0 < measured.numbers["peak_share"] < 1 for measured in found)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_memory_on_a_gpu_is_that_of_the_phase(tmp_path: Path) -> None:
    """Not that of a trial before it in the same process, nor that of the measurement of the peak."""
    config = load_config(None, (*TINY, "cluster.scorers=0", "cluster.gpu=true", "tracking.log_every=5"))
    torch.empty(2**30, dtype=torch.uint8, device="cuda")
    found: list[Measurement] = []
    job = TrainingJob(config, 0, 20, None, tmp_path / "weights.pt", "warm-up")
    LocalFineTuner(config).fit(job, ignore_steps, found.append)
    assert all(0 < measured.numbers["gpu_memory_gib"] < 0.15 for measured in found)
