"""Factories of modules, as users write them, and their faults: `model.factory: tests.models.modules:tiny`."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Tiny(nn.Module):
    """A module with batch norm, an unused parameter, a nested child called `module`, and a head."""

    mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)

    def __init__(self, num_classes: int, width: int, key: str) -> None:
        super().__init__()
        self.module = nn.Sequential(nn.Conv2d(3, width, 3, stride=4, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(width, num_classes, 1))
        self.idle = nn.Parameter(torch.ones(1))
        self.key = key

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        logits: Tensor = self.head(self.module(x))
        return {self.key: logits, "aux": logits[:, :1]} if self.key else logits


def tiny(num_classes: int, width: int = 8, key: str = "") -> nn.Module:
    """Logits as a tensor, or in a mapping under `key`."""
    return Tiny(num_classes, width, key)


class _Odd(nn.Module):
    """Normalisation as buffers, and a parameter under two names."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, num_classes, 3, stride=4, padding=1)
        self.tied = self.layer.weight
        for name, values in (("mean", (0.5, 0.5, 0.5)), ("std", (0.25, 0.25, 0.25))):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(x)
        return logits


def odd(num_classes: int) -> nn.Module:
    """A module with buffers `mean` and `std`, and tied weights."""
    return _Odd(num_classes)


class _Changed(Tiny):
    def __init__(self, num_classes: int, change: Callable[[Tensor], object]) -> None:
        super().__init__(num_classes, 8, "")
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.head(self.module(x)))  # type: ignore[return-value]


class _Growing(Tiny):
    """Makes a layer in its first forward pass."""

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.module(x))
        if not hasattr(self, "late"):
            self.late = nn.Conv2d(logits.shape[1], logits.shape[1], 1)
        late: Tensor = self.late(logits)
        return late


class _Counting(Tiny):
    """Changes a buffer in place that the gradient of an earlier forward pass needs, as old normalisations do."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, 8, "")
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        self.get_buffer("scale").add_(1)
        logits: Tensor = self.head(self.module(x)) * self.get_buffer("scale")
        return logits


def faulty(num_classes: int, fault: str) -> object:
    """A module with a fault, or no module."""
    if fault == "raises":
        raise FileNotFoundError("no weights here\nand a second line")
    if fault == "none":
        return None
    module = tiny(num_classes)
    if fault == "double":
        return module.double()
    if fault == "std":
        setattr(module, "std", (0, 1, 1))  # noqa: B010  # for mypy, it is a module or a tensor
        return module
    if fault == "nan weight":
        module.get_parameter("idle").data.fill_(float("nan"))
        return module
    if fault == "untrained":
        return module.requires_grad_(False)
    if fault == "grows":
        return _Growing(num_classes, 8, "")
    if fault == "counts":
        return _Counting(num_classes)
    if fault == "lazy":
        return nn.LazyConv2d(num_classes, 1)
    if fault == "batch of one":
        return nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, num_classes, 1), nn.BatchNorm2d(num_classes), nn.Upsample((8, 12))
        )
    changes: dict[str, Callable[[Tensor], object]] = {
        "classes": lambda logits: logits[:, 1:],
        "aspect": lambda logits: logits.transpose(2, 3),
        "flat": lambda logits: logits.flatten(2),
        "nan": lambda logits: logits * float("nan"),
        "detached": lambda logits: logits.detach(),
        "half": lambda logits: logits.half(),
        "tuple": lambda logits: (logits, logits),
        "nan gradient": lambda logits: logits + (0 * logits).sqrt(),
        "in place": lambda logits: logits.exp().mul_(2),
        "no autocast": lambda logits: torch.zeros(logits.shape).index_put_((torch.arange(len(logits)),), logits),
        "keys": lambda logits: {"main": logits},
        "train only": lambda logits: F.max_pool2d(logits, 64),
    }
    return _Changed(num_classes, changes[fault])


not_a_function = 3


def headless(num_classes: int) -> nn.Module:
    """A module that names no head."""
    return nn.Conv2d(3, num_classes, 1)
