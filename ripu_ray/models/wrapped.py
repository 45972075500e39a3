"""Modules from elsewhere as networks of this package, and their check before a run."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from ripu_ray.errors import ConfigError, blamed
from ripu_ray.models.protocol import Network

KEPT_DTYPES = (torch.float32, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
"""Types of the tensors that a checkpoint may hold."""


class Wrapped(Network):
    """A network around the module `model`.

    Args:
        model: the module; its names follow "model." in the state dict.
        head: a part of it, or an empty module.
    """

    plain_prefix = "model."
    may_idle = True

    def __init__(self, model: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.model = model
        # As a registered module, the head would be in the state dict twice.
        self.__dict__["head"] = head


def check_network(
    network: Network,
    num_classes: int,
    sizes: Iterable[tuple[int, ...]],
    batch: int,
    place: str,
    gives: Collection[str] = (),
    bfloat16: bool = False,
) -> None:
    """Refuse a network that cannot be trained or scored. Its normalisation statistics may change.

    Args:
        network: on the CPU, in training mode.
        num_classes: expected channels of the logits.
        sizes: (h, w) of images to try.
        batch: number of images to try in training mode.
        place: the setting that the message names.
        gives: see `models.networks.Builder`.
        bfloat16: training is under autocast.

    Raises:
        ConfigError: one line. The module fails; it has no trained parameter, or weights of another type than float32;
            its logits have a wrong shape or type, or no gradient; logits or gradients are not finite; it adds or
            resizes tensors while it runs; or it lacks a part of `Network` or of what it `gives`.
    """
    with blamed(place):
        _check_parts(network, place)
        state = network.state_dict()
        _check_values(state, place)
        if absent := next((name for name, _ in network.named_parameters() if name not in state), None):
            raise ConfigError(f"{place}: {absent} is not in the module's state_dict")
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise ConfigError(f"{place}: the module has no parameter to train")
        for size in sizes:
            for train, count in ((False, 1), (True, batch)):
                noise = torch.randint(0, 256, (count, *size, 3), generator=torch.Generator().manual_seed(0))
                images_B3HW = network.train(train).to_input(noise.to(torch.uint8))
                # A step has a forward pass for each domain before its backward pass.
                passes = []
                for _ in range(1 + train):
                    with torch.random.fork_rng(devices=()), torch.set_grad_enabled(train):
                        logits = _in_bfloat16(network, images_B3HW) if train and bfloat16 else network(images_B3HW)
                    _check_logits(logits, (count, num_classes), size, place)
                    passes.append(logits)
                if train:
                    _check_gradients(network, passes, place)
        _check_same(state, network.state_dict(), place)
        _check_gives(network, gives, images_B3HW, place)


def colours(values: Any, key: str, place: str) -> tuple[float, float, float]:
    """`mean` or `std` of red, green and blue as numbers. Raises ConfigError, which begins with `place`."""
    with blamed(f"{place}: {key}"):
        numbers = [float(value) for value in values]
    if len(numbers) != 3 or not all(map(isfinite, numbers)) or (key == "std" and min(numbers) <= 0):
        raise ConfigError(f"{place}: {key} is {values}, expected three finite numbers, and a std above 0")
    red, green, blue = numbers
    if key == "mean" and not 0 <= min(red, green, blue) <= max(red, green, blue) <= 1:
        raise ConfigError(f"{place}: mean is {values}, expected three numbers in [0, 1], as of images in [0, 1]")
    return red, green, blue


def _in_bfloat16(network: Network, images_B3HW: Tensor) -> Any:
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(images_B3HW)
    return logits.float() if isinstance(logits, Tensor) else logits


def _check_parts(network: Network, place: str) -> None:
    """Check what `Network` asks for beside `forward`."""
    for key in ("mean", "std"):
        colours(getattr(network, key), key, place)
    head = getattr(network, "head", None)
    if not isinstance(head, nn.Module) or not {*map(id, head.parameters())} <= {*map(id, network.parameters())}:
        raise ConfigError(f"{place}: head is {type(head).__name__}, expected a module that is a part of the network")
    trained = {id(parameter) for parameter in network.parameters() if parameter.requires_grad}
    given = [id(parameter) for group in network.parameter_groups() for parameter in group]
    if len(given) != len(trained) or {*given} != trained:
        raise ConfigError(f"{place}: parameter_groups: expected two lists that have each trained parameter once")


def _check_values(state: Mapping[str, object], place: str) -> None:
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor) or tensor.dtype not in KEPT_DTYPES or tensor.device.type != "cpu":
            found = f"{tensor.dtype} on {tensor.device}" if isinstance(tensor, Tensor) else type(tensor).__name__
            raise ConfigError(f"{place}: {name} is {found}, expected float32 (or whole numbers) on the CPU")
        if not bool(torch.isfinite(tensor).all()):
            raise ConfigError(f"{place}: {name} holds a NaN or an infinity")


def _check_gradients(network: Network, passes: Sequence[Tensor], place: str) -> None:
    if not all(logits.requires_grad for logits in passes):
        raise ConfigError(f"{place}: logits have no gradient, so that the module cannot be trained")
    network.zero_grad()
    torch.autograd.backward([logits.sum() for logits in passes])
    for name, parameter in network.named_parameters():
        if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
            raise ConfigError(f"{place}: a NaN or an infinity in the gradient of {name}")


def _check_same(before: Mapping[str, Tensor], after: Mapping[str, Tensor], place: str) -> None:
    """Check that a forward pass adds no tensor and resizes none: a checkpoint would not fit a fresh network."""
    shapes, found = ({name: tuple(tensor.shape) for name, tensor in state.items()} for state in (before, after))
    for name in {**shapes, **found}:
        if shapes.get(name) != found.get(name):
            raise ConfigError(
                f"{place}: {name} is {shapes.get(name, 'absent')} at first and {found.get(name, 'absent')} after an "
                "image, expected tensors that keep their shapes"
            )


def _check_gives(network: Network, gives: Collection[str], images_B3HW: Tensor, place: str) -> None:
    if "dropout" in gives and not any(isinstance(part, nn.modules.dropout._DropoutNd) for part in network.modules()):
        raise ConfigError(f"{place}: gives dropout, but has no layer of dropout")
    if "features" in gives:
        with torch.no_grad():
            logits, features = network.with_features(images_B3HW)
        if not isinstance(features, Tensor) or features.dim() != 4 or features.shape[2:] != logits.shape[2:]:
            found = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ConfigError(
                f"{place}: last_layer: expected features (B, D, h', w') of the logits' h' and w', found {found}"
            )


def _check_logits(logits: object, expected: tuple[int, int], size: tuple[int, ...], place: str) -> None:
    if not isinstance(logits, Tensor):
        raise ConfigError(f"{place}: returned {type(logits).__name__}, expected a tensor")
    shape = tuple(logits.shape)
    if len(shape) != 4 or shape[:2] != expected or 0 in shape:
        raise ConfigError(f"{place}: logits of shape {shape}, expected ({expected[0]}, {expected[1]} classes, h', w')")
    # Each side may be rounded by one.
    (rows, cols), (height, width) = shape[2:], size
    if (rows + 1) * width < (cols - 1) * height or (cols + 1) * height < (rows - 1) * width:
        raise ConfigError(f"{place}: logits of {rows}x{cols} for an image of {height}x{width}: another aspect")
    if logits.dtype != torch.float32:
        raise ConfigError(f"{place}: logits of {logits.dtype}, expected torch.float32")
    if not bool(torch.isfinite(logits).all()):
        raise ConfigError(f"{place}: a NaN or an infinity among the logits of an image of {height}x{width}")
