"""Modules from elsewhere as networks of this package, and their check before a run."""

from collections.abc import Iterable

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


def check_network(network: Network, num_classes: int, sizes: Iterable[tuple[int, ...]], batch: int, place: str) -> None:
    """Refuse a network that cannot be trained or scored. Its normalisation statistics may change.

    Args:
        network: on the CPU, in training mode.
        num_classes: expected channels of the logits.
        sizes: (h, w) of images to try.
        batch: number of images to try in training mode.
        place: the setting that the message names.

    Raises:
        ConfigError: one line: the module fails, has no trained parameter or weights of another type than float32, or
            returns logits of a wrong shape or type, without a gradient, or ones that are not finite.
    """
    with blamed(place):
        state = network.state_dict()
        for name, tensor in state.items():
            if not isinstance(tensor, Tensor) or tensor.dtype not in KEPT_DTYPES or tensor.device.type != "cpu":
                found = f"{tensor.dtype} on {tensor.device}" if isinstance(tensor, Tensor) else type(tensor).__name__
                raise ConfigError(f"{place}: {name} is {found}, expected float32 (or whole numbers) on the CPU")
            if not bool(torch.isfinite(tensor).all()):
                raise ConfigError(f"{place}: {name} holds a NaN or an infinity")
        if absent := next((name for name, _ in network.named_parameters() if name not in state), None):
            raise ConfigError(f"{place}: {absent} is not in the module's state_dict")
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise ConfigError(f"{place}: the module has no parameter to train")
        for size in sizes:
            for train, count in ((False, 1), (True, batch)):
                noise = torch.randint(0, 256, (count, *size, 3), generator=torch.Generator().manual_seed(0))
                images_B3HW = network.train(train).to_input(noise.to(torch.uint8))
                with torch.random.fork_rng(devices=()), torch.set_grad_enabled(train):
                    logits = network(images_B3HW)
                _check_logits(logits, (count, num_classes), size, place)
                if train and not logits.requires_grad:
                    raise ConfigError(f"{place}: logits have no gradient, so that the module cannot be trained")


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
