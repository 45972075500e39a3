"""What a training checkpoint holds: the network, the optimiser, and the number of steps done."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ripu_ray.errors import DataError
from ripu_ray.models.checkpoints import load_checkpoint, load_sealed, save_checkpoint, save_sealed
from ripu_ray.models.pretrained import check_state
from ripu_ray.runs.grid import recipe, warmup_key
from ripu_ray.storage.files import digest
from ripu_ray.training.job import TrainingJob

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


@dataclass(frozen=True)
class Partial:
    """Where a phase stands: the state, and the sum of each loss over the phase's steps so far."""

    state: TrainingState
    sums: dict[str, float]


def save_partial(job: TrainingJob, identity: str, partial: Partial) -> None:
    """Write `job.partial`, whole or not at all. Raises StorageError."""
    state = partial.state
    payload = {"network": state.network, "optimiser": state.optimiser, "step": state.step, "sums": partial.sums}
    save_sealed(job.partial, {**payload, "phase": identity})


def load_partial(job: TrainingJob, identity: str) -> Partial | None:
    """What `save_partial` wrote for this very phase, or None if there is nothing.

    Raises:
        DataError: the file is torn, altered, or of another phase.
    """
    if not job.partial.exists():
        return None
    payload = load_sealed(job.partial)
    if payload.get("phase") != identity:
        raise DataError(f"{job.partial}: of another phase than this {job.phase}")
    state, sums = read_training_state(payload, job.partial), payload.get("sums")
    in_phase = job.first_step < state.step < job.first_step + job.num_steps
    if not (in_phase and isinstance(sums, dict) and all(isinstance(value, float) for value in sums.values())):
        raise DataError(f"{job.partial}: not the middle of a phase")
    return Partial(state, sums)


def find_fault(job: TrainingJob) -> str | None:
    """A line that says why `job.partial` cannot be gone on from; None if it can, or is not there."""
    try:
        load_partial(job, identify(job))
    except DataError as error:
        return str(error)
    return None


def identify(job: TrainingJob) -> str:
    """Equal for jobs that give the same weights: all that a phase depends on, as a digest. Reads `job.start`."""
    parts = [
        warmup_key(job.config) if job.annotated is None else recipe(job.config),
        [job.phase, job.first_step, job.num_steps],
        digest(job.start) if job.start else None,
        job.purchase_sha256,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
