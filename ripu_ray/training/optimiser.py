"""What is trained, at which rate: frozen parameters, groups of the optimiser, the schedule, the moving average."""

import inspect
import math
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TypeVar

import torch
from torch import Tensor, nn

from ripu_ray.config import Config, TrainingConfig
from ripu_ray.errors import ConfigError
from ripu_ray.models.protocol import Network
from ripu_ray.runs.grid import schedule_steps

Optimiser = TypeVar("Optimiser", bound=torch.optim.Optimizer)


def freeze(network: Network, training: TrainingConfig) -> None:
    """Exclude parameters from training, by `freeze` and by factors of 0 in `rates`. See `enter_training` for modes.

    Raises:
        ConfigError: one line: a pattern matches no parameter, there is no head besides which to freeze, or nothing is
            left to train.
    """
    names = [name.removeprefix(network.plain_prefix) for name, _ in network.named_parameters()]
    for pattern in training.rates:
        if not any(fnmatchcase(name, pattern) for name in names):
            shown = ", ".join(names[:: max(1, len(names) // 3)])
            raise ConfigError(f"training.rates {pattern!r}: matches no parameter; names are such as {shown}")
    if training.freeze == "backbone" and not any(True for _ in network.head.parameters()):
        raise ConfigError("training.freeze backbone: the network names no part of it as its `head`")
    for module in _frozen(network, training):
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
    for name, parameter in network.named_parameters():
        if _factor(name.removeprefix(network.plain_prefix), training.rates) == 0:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ConfigError("training.freeze and training.rates: nothing is left to train")


def enter_training(network: Network, training: TrainingConfig) -> None:
    """Set training mode, and the mode of evaluation for frozen modules: their statistics do not change."""
    network.train()
    for module in _frozen(network, training):
        module.training = False


def _frozen(network: Network, training: TrainingConfig) -> Iterator[nn.Module]:
    head = set(network.head.modules())
    for module in network.modules():
        if (training.freeze == "norm" and _is_norm(module)) or (training.freeze == "backbone" and module not in head):
            yield module


def _is_norm(module: nn.Module) -> bool:
    """By name, since libraries have their own classes."""
    return "norm" in type(module).__name__.lower()


def make_optimiser(network: Network, training: TrainingConfig) -> torch.optim.Optimizer:
    """The optimiser, with a group for each combination of rate and decay; `rate_factor` of a group is its rate's."""
    names = {id(parameter): name.removeprefix(network.plain_prefix) for name, parameter in network.named_parameters()}
    norms = {id(p) for module in network.modules() if _is_norm(module) for p in module.parameters(recurse=False)}
    groups: list[dict[str, object]] = []
    for parameters, part in zip(network.parameter_groups(), (1.0, training.head_rate_factor), strict=True):
        split: dict[tuple[float, bool], list[nn.Parameter]] = {(part, True): []}
        for parameter in parameters:
            factor = part * _factor(names[id(parameter)], training.rates)
            decays = training.decay_norms or id(parameter) not in norms
            split.setdefault((factor, decays), []).append(parameter)
        groups += [
            {"params": chosen, "rate_factor": factor} | ({} if decays else {"weight_decay": 0.0})
            for (factor, decays), chosen in split.items()
        ]
    rate, decay = training.learning_rate, training.weight_decay
    # On a GPU one kernel for many parameters; on the CPU torch's choice.
    fused = next(network.parameters()).is_cuda or None
    if training.optimiser == "adamw":
        return _without_compiler(torch.optim.AdamW)(groups, lr=rate, weight_decay=decay, fused=fused)
    sgd = _without_compiler(torch.optim.SGD)
    # Fused, it fails where a parameter has its first gradient after others have theirs.
    fused = None if network.may_idle else fused
    return sgd(groups, lr=rate, momentum=training.momentum, weight_decay=decay, fused=fused)


def _without_compiler(kind: type[Optimiser]) -> type[Optimiser]:
    """The same optimiser without torch's decorators of its methods, which import `torch._dynamo`: seconds per process.

    The decorators matter only inside of a compiled region, and no optimiser of ours is in one.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    return type(kind.__name__, (kind,), methods | {"step": torch.no_grad()(inspect.unwrap(kind.step))})


def _factor(name: str, rates: Mapping[str, float]) -> float:
    # Sorted, so that the product does not depend on the order in the file.
    return math.prod(rates[pattern] for pattern in sorted(rates) if fnmatchcase(name, pattern))


def poly_rate(base_rate: float, step: int, horizon: int, power: float) -> float:
    """base_rate * (1 - step / horizon) ** power, 0 from the horizon on. Source: paper.md, the recipe."""
    return base_rate * float(max(0.0, 1 - step / horizon) ** power)


def learning_rate(config: Config, step: int) -> float:
    """The learning rate of a step, counted from 0 at the start of the warm-up, before the factors of groups."""
    training, horizon = config.training, schedule_steps(config)
    rate = training.learning_rate
    if training.schedule == "polynomial":
        rate = poly_rate(rate, step, horizon, training.power)
    elif training.schedule == "cosine":
        rate *= (1 + math.cos(math.pi * min(1.0, step / horizon))) / 2
    return rate * (step + 1) / training.ramp_steps if step < training.ramp_steps else rate


def set_rate(optimiser: torch.optim.Optimizer, config: Config, step: int) -> None:
    """Set the learning rate of every group for a step."""
    rate = learning_rate(config, step)
    for group in optimiser.param_groups:
        group["lr"] = rate * group["rate_factor"]


def start_average(network: nn.Module, training: TrainingConfig) -> dict[str, Tensor] | None:
    """A copy of a network's state dict for `update_average`; None without `training.ema`."""
    return {name: tensor.clone() for name, tensor in network.state_dict().items()} if training.ema else None


@torch.no_grad()
def update_average(average: Mapping[str, Tensor], network: nn.Module, decay: float, step: int) -> None:
    """Move an average towards the weights: average = d * average + (1 - d) * weights. Counters are copied.

    Args:
        average: a state dict of the network; changed in place. Names of tied weights may share a tensor.
        network: after `step` updates, counted from the start of the warm-up.
        decay: in (0, 1); d is at most (1 + step) / (10 + step), so that the first weights do not last.
        step: at least 1.

    Source: TensorFlow, tf.train.ExponentialMovingAverage with num_updates.
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    moved = set[int]()
    for name, tensor in network.state_dict().items():
        if (address := average[name].data_ptr()) in moved:
            continue
        moved.add(address)
        if tensor.is_floating_point():
            average[name].lerp_(tensor, share)
        else:
            average[name].copy_(tensor)
