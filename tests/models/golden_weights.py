"""The weights of the golden networks: tests/golden has none, they are filled in from the names of the tensors."""

import zlib

import torch
from torch import Tensor

SEED = 1009


def fill(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of the same names and shapes, filled by the recipe beside the golden cases."""
    return {key: _value(key, tuple(tensor.shape)) for key, tensor in state.items()}


def _value(key: str, shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed((zlib.crc32(key.encode()) + SEED) % 2**31)
    if key.endswith("running_var"):
        return torch.rand(shape, generator=generator) + 0.5
    if len(shape) == 4:
        return torch.randn(shape, generator=generator) * float((2 / (shape[1] * shape[2] * shape[3])) ** 0.5)
    if key.endswith("weight"):
        return 0.5 + 0.5 * torch.rand(shape, generator=generator)
    return 0.1 * torch.randn(shape, generator=generator)
