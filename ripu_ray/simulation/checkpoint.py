"""What a training checkpoint holds: the network, the optimiser, and the number of steps done."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ripu_ray.errors import DataError
from ripu_ray.models.checkpoints import load_checkpoint, save_checkpoint
from ripu_ray.models.pretrained import check_state

_DTYPES = (torch.float32, torch.int64)
"""Of weights, and of the counters of batch norm."""


@dataclass(frozen=True)
class TrainingState:
    """Enough to go on training as if nothing had happened."""

    network: dict[str, Tensor]
    optimiser: dict[str, Any]
    step: int

    def is_finite(self) -> bool:
        """Whether there is no NaN and no infinity among the weights and in what the optimiser keeps of them."""
        kept = (value for values in self.optimiser["state"].values() for value in values.values())
        tensors = [tensor for tensor in (*self.network.values(), *kept) if isinstance(tensor, Tensor)]
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)

    def restore(self, network: nn.Module, optimiser: torch.optim.Optimizer, path: Path) -> None:
        """Give a network and its optimiser this state. Raises DataError, with the file's name, if it does not fit."""
        check_state(self.network, network.state_dict(), path)
        network.load_state_dict(self.network)
        try:
            optimiser.load_state_dict(self.optimiser)
            fits = all(
                not isinstance(kept, Tensor) or kept.dim() == 0 or kept.shape == parameter.shape
                for parameter, values in optimiser.state.items()
                for kept in values.values()
            )
        except (ValueError, LookupError, TypeError, AttributeError, RuntimeError):
            fits = False
        if not fits:
            raise DataError(f"{path}: the optimiser's state is not of this training")

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        save_checkpoint(path, {"network": self.network, "optimiser": self.optimiser, "step": self.step})


def load_training_state(path: Path) -> TrainingState:
    """Read what `TrainingState.save` wrote. Raises DataError for any other file."""
    return read_training_state(load_checkpoint(path), path)


def read_training_state(payload: Mapping[str, Any], path: Path) -> TrainingState:
    """The state in what a checkpoint holds. Raises DataError, with the file's name, if there is none."""
    network, optimiser, step = (payload.get(key) for key in ("network", "optimiser", "step"))
    if not (
        isinstance(network, dict)
        and all(isinstance(tensor, Tensor) and tensor.dtype in _DTYPES for tensor in network.values())
        and all(tensor.layout == torch.strided and not tensor.is_meta for tensor in network.values())
        and isinstance(optimiser, dict)
        and optimiser.keys() == {"state", "param_groups"}
        and type(step) is int
    ):
        raise DataError(f"{path}: not a checkpoint of ripu-ray (expected network, optimiser and step)")
    return TrainingState(network, optimiser, step)


def network_state(path: Path) -> dict[str, Tensor]:
    """The weights alone."""
    return load_training_state(path).network
