"""What a training checkpoint holds: the network, the optimiser, and the number of steps done."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ripu_ray.errors import DataError
from ripu_ray.models.checkpoints import load_checkpoint, save_checkpoint


@dataclass(frozen=True)
class TrainingState:
    """Enough to go on training as if nothing had happened."""

    network: dict[str, Tensor]
    optimiser: dict[str, Any]
    step: int

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        save_checkpoint(path, {"network": self.network, "optimiser": self.optimiser, "step": self.step})


def load_training_state(path: Path) -> TrainingState:
    """Read what `TrainingState.save` wrote. Raises DataError for any other file."""
    payload = load_checkpoint(path)
    try:
        return TrainingState(payload["network"], payload["optimiser"], payload["step"])
    except (KeyError, TypeError):
        raise DataError(f"{path}: not a checkpoint of ripu-ray (expected network, optimiser and step)") from None


def network_state(path: Path) -> dict[str, Tensor]:
    """The weights alone."""
    return load_training_state(path).network
