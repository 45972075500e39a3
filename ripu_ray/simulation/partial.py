"""The middle of a phase of training, written now and then: whoever goes on repeats a few steps, and not the phase."""

import hashlib
import json
from dataclasses import dataclass

from ripu_ray.errors import DataError
from ripu_ray.files import digest
from ripu_ray.models.checkpoints import load_sealed, save_sealed
from ripu_ray.simulation.checkpoint import TrainingState, read_training_state
from ripu_ray.simulation.grid import recipe, warmup_key
from ripu_ray.simulation.protocols import TrainingJob


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
