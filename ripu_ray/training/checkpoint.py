"""Training checkpoints: network, optimiser and number of steps, at the end of a phase or in its middle."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from ripu_ray.errors import DataError
from ripu_ray.models.checkpoints import load_checkpoint, load_sealed, save_checkpoint, save_sealed
from ripu_ray.models.pretrained import check_state
from ripu_ray.models.wrapped import KEPT_DTYPES
from ripu_ray.runs.grid import recipe, warmup_key
from ripu_ray.storage.files import digest
from ripu_ray.training.job import TrainingJob


@dataclass(frozen=True)
class TrainingState:
    """The state from which training continues with identical results; `average` with `training.ema`, `teacher` without.

    `average` scores and is evaluated; `teacher` is the average of `training.teacher` that only teaches.
    """

    network: dict[str, Tensor]
    optimiser: dict[str, Any]
    step: int
    average: dict[str, Tensor] | None = None
    teacher: dict[str, Tensor] | None = None

    def is_finite(self) -> bool:
        """Whether the weights and the optimiser's tensors contain no NaN and no infinity."""
        kept = (value for values in self.optimiser["state"].values() for value in values.values())
        averaged = (self.average or self.teacher or {}).values()
        tensors = [tensor for tensor in (*self.network.values(), *kept, *averaged) if isinstance(tensor, Tensor)]
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)

    def restore(
        self,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        path: Path,
        average: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Load this state into a network, its optimiser and its moving average.

        Raises:
            DataError: one line, which names the file: it does not fit.
        """
        check_state(self.network, network.state_dict(), path)
        network.load_state_dict(self.network)
        if average is not None:
            kept = self.average or self.teacher or self.network
            check_state(kept, average, path)
            for name, tensor in kept.items():
                average[name].copy_(tensor)
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
            raise DataError(f"{path}: the optimiser's state does not fit this training")
        for parameter, values in optimiser.state.items():
            for name, kept in values.items():
                # Of a phase with another `channels_last`: fused optimisers need the parameter's layout.
                if isinstance(kept, Tensor) and kept.dim() and kept.stride() != parameter.stride():
                    values[name] = torch.empty_like(parameter, dtype=kept.dtype).copy_(kept)

    def save(self, path: Path) -> None:
        """Write the state atomically. Raises StorageError."""
        save_checkpoint(path, self.payload())

    def payload(self) -> dict[str, Any]:
        """The content of a file of this state."""
        payload = {"network": self.network, "optimiser": self.optimiser, "step": self.step}
        averages = {"average": self.average, "teacher": self.teacher}
        return payload | {name: state for name, state in averages.items() if state is not None}


def load_training_state(path: Path) -> TrainingState:
    """Read a file of `TrainingState.save`. Raises DataError for any other file."""
    return read_training_state(load_checkpoint(path), path)


def read_training_state(payload: Mapping[str, Any], path: Path) -> TrainingState:
    """Extract the state from the content of a checkpoint. Raises DataError, which names the file, if there is none."""
    network, optimiser, step = (payload.get(key) for key in ("network", "optimiser", "step"))
    average, teacher = (payload.get(key) for key in ("average", "teacher"))
    if not (
        _are_weights(network)
        and (average is None or _are_weights(average))
        and (teacher is None or _are_weights(teacher))
        and isinstance(optimiser, dict)
        and optimiser.keys() == {"state", "param_groups"}
        and type(step) is int
    ):
        raise DataError(f"{path}: not a checkpoint of ripu-ray (expected network, optimiser and step)")
    return TrainingState(network, optimiser, step, average, teacher)


def _are_weights(state: Any) -> TypeGuard[dict[str, Tensor]]:
    return isinstance(state, dict) and all(
        isinstance(tensor, Tensor)
        and tensor.dtype in KEPT_DTYPES
        and tensor.layout == torch.strided
        and not tensor.is_meta
        for tensor in state.values()
    )


def network_state(path: Path) -> dict[str, Tensor]:
    """Read the weights that score and are evaluated: the moving average if the checkpoint has one, else the weights.

    Raises:
        DataError: the file is missing, damaged or not a checkpoint of ours.
    """
    state = load_training_state(path)
    return state.network if state.average is None else state.average


@dataclass(frozen=True)
class Partial:
    """A mid-phase checkpoint: the state, and the sum of each loss over the phase's steps so far."""

    state: TrainingState
    sums: dict[str, float]


def save_partial(job: TrainingJob, identity: str, partial: Partial) -> None:
    """Write `job.partial` atomically. Raises StorageError."""
    save_sealed(job.partial, {**partial.state.payload(), "sums": partial.sums, "phase": identity})


def load_partial(job: TrainingJob, identity: str) -> Partial | None:
    """Read the mid-phase checkpoint of this phase, or return None if there is none.

    Raises:
        DataError: the file is torn, altered, or of another phase.
    """
    if not job.partial.exists():
        return None
    payload = load_sealed(job.partial)
    if payload.get("phase") != identity:
        raise DataError(f"{job.partial}: checkpoint of another phase, expected this {job.phase}")
    state, sums = read_training_state(payload, job.partial), payload.get("sums")
    in_phase = job.first_step < state.step < job.first_step + job.num_steps
    if not (in_phase and isinstance(sums, dict) and all(isinstance(value, float) for value in sums.values())):
        raise DataError(f"{job.partial}: not a mid-phase checkpoint (a step outside the phase, or no sums of losses)")
    return Partial(state, sums)


def find_fault(job: TrainingJob) -> str | None:
    """The reason why `job.partial` cannot be used; None if it can, or does not exist."""
    try:
        load_partial(job, identify(job))
    except DataError as error:
        return str(error)
    return None


def identify(job: TrainingJob) -> str:
    """SHA-256, in hex, of all inputs that the weights of a phase depend on. Reads `job.start`."""
    parts = [
        warmup_key(job.config) if job.annotated is None else recipe(job.config),
        [job.phase, job.first_step, job.num_steps],
        digest(job.start) if job.start else None,
        job.purchase_sha256,
        *([job.answers.sha256] if job.answers else []),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
