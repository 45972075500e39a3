"""What is trained, at which rate; and that no setting of it changes the result of an interrupted phase."""

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ripu_ray.config import Config, TrainingConfig, load_config
from ripu_ray.errors import ConfigError
from ripu_ray.models.networks import build_network
from ripu_ray.models.protocol import Network
from ripu_ray.runs.grid import expand, warmup_key
from ripu_ray.simulation.local import LocalFineTuner
from ripu_ray.simulation.preflight import check_trials
from ripu_ray.training.checkpoint import load_training_state, network_state
from ripu_ray.training.job import TrainingJob
from ripu_ray.training.optimiser import (
    enter_training,
    freeze,
    learning_rate,
    make_optimiser,
    start_average,
    update_average,
)
from tests.conftest import TINY
from tests.running import ignore_steps, interrupt_third_step

MODULE = ["model.factory=tests.models.modules:tiny"]


def _network(*settings: str) -> tuple[Network, TrainingConfig]:
    config = load_config(None, [*TINY, *settings])
    return build_network(config.model, 5, seed=0), config.training


def test_defaults_are_not_written_down_and_keep_the_keys_of_older_warmups() -> None:
    assert warmup_key(load_config()) == "4f3d7a4b83fc"
    written = load_config(None, ["training.clip_norm=1"]).model_dump()["training"]
    assert written["clip_norm"] == 1 and not written.keys() & {"ema", "rates", "freeze", "schedule", "ramp_steps"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([], {0: 1.0, 50: 0.5**0.9, 100: 0.0, 200: 0.0}),
        (["training.schedule=constant"], {0: 1.0, 50: 1.0, 200: 1.0}),
        (["training.schedule=cosine"], {0: 1.0, 25: (1 + math.sqrt(0.5)) / 2, 50: 0.5, 100: 0.0, 200: 0.0}),
        (["training.power=1", "training.ramp_steps=10"], {0: 0.1, 4: 0.96 * 0.5, 9: 0.91, 10: 0.9}),
    ],
)
def test_the_learning_rate_of_a_step(settings: list[str], expected: dict[int, float]) -> None:
    config = load_config(None, ["training.schedule_steps=100", "training.learning_rate=1", *settings])
    assert [learning_rate(config, step) for step in expected] == pytest.approx(list(expected.values()), abs=1e-12)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([], {"at2.0.0.weight": (1, 0.01), "at2.0.1.weight": (1, 0.01), "head.weight": (1, 0.01)}),
        (
            ["training.head_rate_factor=10", "training.rates={'at4*': 0.5, 'head.*': 3, '*.bias': 2}"],
            {"at4.0.0.weight": (0.5, 0.01), "at4.0.1.bias": (1, 0.01), "head.bias": (60, 0.01)},
        ),
        (
            ["training.decay_norms=false"],
            {"at2.0.0.weight": (1, 0.01), "at2.0.1.weight": (1, 0.0), "at2.0.1.bias": (1, 0.0), "head.bias": (1, 0.01)},
        ),
    ],
)
def test_groups_of_the_optimiser(settings: list[str], expected: dict[str, tuple[float, float]]) -> None:
    network, training = _network(*settings)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found = {
        names[id(parameter)]: (group["rate_factor"], group["weight_decay"])
        for group in make_optimiser(network, training).param_groups
        for parameter in group["params"]
    }
    assert found.keys() == set(names.values())
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("settings", "trained", "in_training"),
    [
        ([], {"module.0.weight", "module.0.bias", "module.1.weight", "module.1.bias", "head", "idle"}, {"bn", "drop"}),
        (["training.freeze=norm"], {"module.0.weight", "module.0.bias", "head", "idle"}, {"drop"}),
        (["training.freeze=backbone"], {"head"}, {"drop"}),
        (["training.rates={'module.*': 0}"], {"head", "idle"}, {"bn", "drop"}),
    ],
)
def test_frozen_parameters_do_not_change(
    settings: list[str], trained: set[str], in_training: set[str], tmp_path: Path
) -> None:
    config = load_config(None, [*TINY, *MODULE, *settings])
    job = TrainingJob(config, 0, 2, None, tmp_path / "w.pt", "warm-up")
    LocalFineTuner(config).fit(job, ignore_steps)
    before, after = build_network(config.model, 10, config.seed).state_dict(), load_training_state(job.output).network
    changed = {name.removeprefix("model.") for name in before if not torch.equal(before[name], after[name])}
    groups = {"head" if name.startswith("head") else name for name in changed if "running" not in name}
    # The module does not use `idle`.
    assert groups - {"module.1.num_batches_tracked"} == trained - {"idle"}
    assert ("module.1.running_mean" in changed) == ("bn" in in_training)
    network = build_network(config.model, 10, 0)
    freeze(network, config.training)
    enter_training(network, config.training)
    kept = {name.removeprefix("model.") for name, value in network.named_parameters() if value.requires_grad}
    assert {"head" if name.startswith("head") else name for name in kept} == trained
    assert network.get_submodule("model.module.1").training == ("bn" in in_training)
    assert network.get_submodule("model.head.0").training == ("drop" in in_training)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["training.rates={'nope.*': 2}"],
            r"training\.rates 'nope\.\*': matches no parameter; names are such as at2\.",
        ),
        (["training.rates={'*': 0}"], r"training\.freeze and training\.rates: nothing is left to train"),
        (
            ["training.freeze=backbone", "model.factory=torch.nn:Conv2d"]
            + [f"model.options.{key}" for key in ("in_channels=3", "out_channels=10", "kernel_size=1")],
            r"model\.factory torch\.nn:Conv2d: TypeError: .* unexpected keyword argument 'num_classes'",
        ),
        (
            ["training.freeze=backbone", "model.factory=tests.models.modules:headless"],
            r"training\.freeze backbone: the network names no part of it as its `head`",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_before_a_run(settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{message}"):
        check_trials(expand(load_config(None, [*TINY, *settings])))


def _updated(name: str, kind: Callable[..., torch.optim.Optimizer] | None = None) -> list[Tensor]:
    """The parameters after three updates by our optimiser, or by one of a class of torch with the same groups."""
    network, training = _network(f"training.optimiser={name}", "training.weight_decay=0.01", *MODULE)
    optimiser = make_optimiser(network, training)
    if kind:
        optimiser = kind(optimiser.param_groups)
    torch.manual_seed(0)
    for _ in range(3):
        optimiser.zero_grad(set_to_none=True)
        sum((p * torch.randn_like(p)).sum() for p in network.parameters()).backward()  # type: ignore[union-attr]
        optimiser.step()
        optimiser.load_state_dict(optimiser.state_dict())
    return list(network.parameters())


def test_updates_are_those_of_torch_and_import_no_compiler() -> None:
    for name, kind in (("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)):
        assert all(torch.equal(*pair) for pair in zip(_updated(name), _updated(name, kind), strict=True))
    program = "import sys; from tests.training.test_optimiser import _updated; "
    program += "_updated('sgd'); _updated('adamw'); sys.exit('torch._dynamo' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_average_is_the_recurrence() -> None:
    network, training = _network("training.ema=0.4", *MODULE)
    average = start_average(network, training)
    assert average is not None
    expected = {name: tensor.double() for name, tensor in network.state_dict().items()}
    for step in (1, 2, 30):
        decay = min(0.4, (1 + step) / (10 + step))
        for tensor in network.state_dict().values():
            tensor.add_(step)
        for name, tensor in network.state_dict().items():
            is_counter = name.endswith("tracked")
            expected[name] = tensor.double() if is_counter else decay * expected[name] + (1 - decay) * tensor
        update_average(average, network, 0.4, step)
    assert all(torch.allclose(average[name].double(), tensor, rtol=1e-5) for name, tensor in expected.items())


def test_tied_weights_are_averaged_once() -> None:
    """Under two names, which share a tensor in the state dict of a teacher."""
    network, _ = _network("model.factory=tests.models.modules:odd")
    average = _network("model.factory=tests.models.modules:odd")[0].state_dict()
    first = average["model.tied"].clone()
    for parameter in network.parameters():
        parameter.data.add_(1)
    update_average(average, network, 0.5, 100)
    assert torch.allclose(average["model.tied"], first + 0.5, atol=1e-6)


ALL = (
    "training.ema=0.9",
    "training.clip_norm=0.1",
    "training.schedule=cosine",
    "training.ramp_steps=3",
    "training.decay_norms=false",
    "training.rates={'*.bias': 2}",
    "training.freeze=norm",
)


@pytest.mark.parametrize("settings", [ALL, (*ALL, *MODULE, "training.optimiser=sgd")])
def test_a_phase_that_was_interrupted_ends_with_the_same_bytes(settings: tuple[str, ...], tmp_path: Path) -> None:
    config = load_config(None, [*TINY, "training.checkpoint_every=2", *settings])
    whole = _fit(config, tmp_path / "whole/weights.pt", 6)
    _fit(config, tmp_path / "start/weights.pt", 1)
    start, output = tmp_path / "start/weights.pt", tmp_path / "rest/weights.pt"

    job = TrainingJob(config, 1, 5, start, output, "warm-up")
    with pytest.raises(KeyboardInterrupt):
        LocalFineTuner(config).fit(job, interrupt_third_step)
    assert job.partial.exists() and not output.exists()
    LocalFineTuner(config).fit(job, ignore_steps)
    assert output.read_bytes() == whole.read_bytes()
    state = load_training_state(output)
    assert state.average is not None
    assert any(not torch.equal(tensor, state.network[name]) for name, tensor in state.average.items())
    assert all(torch.equal(tensor, state.average[name]) for name, tensor in network_state(output).items())


def _fit(config: Config, output: Path, steps: int) -> Path:
    output.parent.mkdir()
    LocalFineTuner(config).fit(TrainingJob(config, 0, steps, None, output, "warm-up"), ignore_steps)
    return output


def test_a_long_gradient_is_scaled(tmp_path: Path) -> None:
    base = [*TINY, "training.optimiser=sgd", "training.weight_decay=0", "training.momentum=0.9"]
    norms = []
    for number, settings in enumerate([[], ["training.clip_norm=0.01"]]):
        output = _fit(load_config(None, [*base, *settings]), tmp_path / f"{number}/w.pt", 1)
        buffers = [values["momentum_buffer"] for values in load_training_state(output).optimiser["state"].values()]
        norms.append(float(torch.cat([buffer.flatten() for buffer in buffers]).norm()))
    assert norms[0] > 0.02
    assert norms[1] == pytest.approx(0.01, rel=1e-3)
