"""One phase of training, in one process or in each process of a torch.distributed group.

L = CE(source) + alpha1 * L_cr(source) + CE(bought target pixels) + alpha2 * L_nl(target), and with `training.teacher`
its weight times the loss of its predictions. With `oracle.answer: multi_hot`, the partial-label loss takes the place of
the third term. The warm-up has the source terms only, source-free training the target terms only. Each mean is over the
global batch: every worker contributes its sum over the global count. The batches depend on (seed, step) alone, so a
phase can be resumed after any step.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ripu_ray.config import Config
from ripu_ray.core.randomness import torch_seed
from ripu_ray.data.loading import Domains
from ripu_ray.errors import NonFiniteError, StoppedError, naming_code
from ripu_ray.models.networks import build_network
from ripu_ray.models.pretrained import load_pretrained
from ripu_ray.models.protocol import Network
from ripu_ray.runs.record import Losses
from ripu_ray.training.batches import Batch, Batches, Draw, drawn_ahead
from ripu_ray.training.checkpoint import (
    Partial,
    TrainingState,
    identify,
    load_partial,
    load_training_state,
    save_partial,
)
from ripu_ray.training.cuda_graph import Backward, GraphedBackward
from ripu_ray.training.job import OnMeasured, OnStep, TrainingJob, ignore_measurement
from ripu_ray.training.measuring import Meter
from ripu_ray.training.optimiser import enter_training, freeze, make_optimiser, set_rate, start_average, update_average
from ripu_ray.training.speed import compile_without_limit, fastest
from ripu_ray.training.step import TrainingStep
from ripu_ray.training.taken import TakenSteps
from ripu_ray.training.teacher import DECAY, teach
from ripu_ray.training.workers import any_worker, count_workers, largest, num_workers, share_buffers, worker_rank

WrapStep = Callable[["TrainingStep"], nn.Module]
"""Makes a step data-parallel, for example DistributedDataParallel."""


@dataclass(frozen=True)
class Learner:
    """A network, what trains it, the moving average of its state dict, and the teacher that uses this average."""

    network: Network
    optimiser: torch.optim.Optimizer
    average: dict[str, Tensor] | None
    teacher: Network | None


def train(
    job: TrainingJob,
    domains: Domains,
    device: str,
    on_step: OnStep,
    on_measured: OnMeasured = ignore_measurement,
    on_images: Callable[[Sequence[str]], object] = lambda image_ids: None,
    wrap: WrapStep = lambda step: step,
) -> Losses:
    """Take the remaining steps of a job, from its mid-phase checkpoint if there is one. Worker 0 writes checkpoints.

    Args:
        job: the input of the phase.
        domains: the data of `job.config`.
        device: "cpu" or "cuda...".
        on_step: called after each step with the number of completed steps of this phase.
        on_measured: called on worker 0 every `tracking.log_every` steps.
        on_images: called before each step with the ids of its images.
        wrap: makes the step data-parallel; called on every worker.

    Returns:
        The mean of each loss over the phase; empty for no steps.

    Raises:
        NonFiniteError: a loss or weight is not finite; names phase, step and images. It is not written to disk.
        StoppedError: `job.stop` is set; the mid-phase checkpoint is written.
        DataError: `job.partial` is damaged or of another phase (see `find_fault`), or weights of `model` do not fit.
    """
    config = fastest(job.config, device)
    learner, identity = _build(config, job, domains, device), identify(job)
    first, sums = _restore(job, identity, learner, device)
    phase = _Phase(job, config, device, identity, learner, sums)
    draw = Draw(config, domains, device, job.annotated, job.answers.open() if job.answers else None, job.named)
    step_module = wrap(TrainingStep(learner.network, config.training, draw.class_weights()))
    enter_training(learner.network, config.training)
    last = job.first_step + job.num_steps
    meter = Meter(config, device, learner.network, sums, on_measured)

    def finish(step: int, batches: Batches, means: dict[str, float]) -> None:
        _add_means(sums, means, job, step, batches)
        on_step(step + 1 - job.first_step)
        meter.count(step + 1, batches)

    batches = meter.waits(drawn_ahead(draw, range(first, last)))
    place = _take_steps(phase, _backward(phase, step_module), batches, on_images, TakenSteps(finish))
    state = _finite_state(phase, last, place or f"{job.phase}, before step {first}")
    if worker_rank() == 0:
        state.save(job.output)
    return {name: value / job.num_steps for name, value in sums.items()}


@dataclass(frozen=True)
class _Phase:
    """What the steps of a phase share. `config` has the settings for speed of this device."""

    job: TrainingJob
    config: Config
    device: str
    identity: str
    learner: Learner
    sums: dict[str, float]


def _take_steps(
    phase: _Phase,
    backward: Backward,
    drawn: Iterable[tuple[int, Batches]],
    on_images: Callable[[Sequence[str]], object],
    taken: TakenSteps,
) -> str:
    """Take all steps, with their checkpoints. Returns the place of the last one, for messages; empty for no steps."""
    job, place = phase.job, ""
    for step, batches in drawn:
        image_ids = _image_ids(batches)
        place = f"{job.phase}, step {step}, images {', '.join(image_ids)}"
        on_images(image_ids)
        means = _take_step(phase, backward, step, batches)
        taken.add(step, batches, means, count_workers(job.stop is not None and job.stop.is_made(), phase.device))
        if step + 1 < job.first_step + job.num_steps:
            if taken.is_stopped or (step + 1 - job.first_step) % phase.config.training.checkpoint_every == 0:
                taken.flush()
                state = _finite_state(phase, step + 1, place)
                if worker_rank() == 0:
                    save_partial(job, phase.identity, Partial(state, dict(phase.sums)))
            if taken.is_stopped:
                raise StoppedError(f"{job.phase} stopped after step {step}")
    taken.flush()
    return place


def _build(config: Config, job: TrainingJob, domains: Domains, device: str) -> Learner:
    """Build the network on its device, with the configured memory layout and compilation, and what trains it."""
    torch.set_num_threads(config.cluster.threads)

    def fresh() -> Network:
        network = build_network(config.model, domains.classes.num_classes, config.seed).to(device)
        if config.training.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    network, teacher = fresh(), None
    if config.training.compile:
        compile_without_limit()
        # In place: a compiled copy would prefix the names of the state dict with `_orig_mod.`. One program per size.
        network.compile(dynamic=False)
    average = start_average(network, config.training)
    if job.teaches:
        teacher = fresh().eval().requires_grad_(False)
        average = dict(teacher.state_dict())  # its own tensors: what moves the average moves the teacher
    freeze(network, config.training)
    return Learner(network, make_optimiser(network, config.training), average, teacher)


def _restore(job: TrainingJob, identity: str, learner: Learner, device: str) -> tuple[int, dict[str, float]]:
    """Load the state that the phase continues from: the mid-phase checkpoint, else `job.start`, else fresh weights.

    Returns:
        The first step to take, and the sum of each loss over the phase's steps before it.
    """
    network, optimiser, average = learner.network, learner.optimiser, learner.average
    partial = load_partial(job, identity)
    step = partial.state.step if partial else -1
    if largest(step, device) != -largest(-step, device):
        partial = None  # a worker finds no checkpoint, or an older one
    if partial:
        partial.state.restore(network, optimiser, job.partial, average)
    elif job.start:
        load_training_state(job.start).restore(network, optimiser, job.start, average)
    else:
        load_pretrained(network, job.config.model)
        if average:
            for name, tensor in network.state_dict().items():
                average[name].copy_(tensor)
    return partial.state.step if partial else job.first_step, defaultdict(float, partial.sums if partial else {})


def _backward(phase: _Phase, step_module: nn.Module) -> Backward:
    """What computes the gradients of a step; as a CUDA graph if that is configured and possible."""
    job, learner = phase.job, phase.learner

    def backward(source: Batch | None, target: Batch | None) -> dict[str, Tensor]:
        learner.optimiser.zero_grad(set_to_none=True)
        means: dict[str, Tensor]
        loss, means = step_module(source, target)
        loss.backward()
        return means

    parameters = list(learner.network.parameters())
    # Views of a teacher are drawn in each step, and workers of a group wait for each other.
    can = parameters[0].is_cuda and not job.teaches and job.named is None and num_workers() == 1
    return GraphedBackward(backward, parameters) if can and phase.config.training.cuda_graph else backward


@naming_code()
def _take_step(phase: _Phase, backward: Backward, step: int, batches: Batches) -> dict[str, Tensor]:
    """Take one optimiser update. Returns the global mean of each loss, on the device."""
    config, learner, device = phase.config, phase.learner, phase.device
    source, target = (batch and batch.to(device) for batch in batches)
    training, optimiser = config.training, learner.optimiser
    if learner.teacher and target and target.views:
        # Workers see different images, and a checkpoint has the statistics of worker 0.
        share_buffers(learner.teacher)
        target = replace(target, views=teach(learner.teacher, training, target.views))
    set_rate(optimiser, config, step)
    seed_dropout(config.seed, step)
    means = backward(source, target)
    if training.clip_norm:
        nn.utils.clip_grad_norm_(learner.network.parameters(), training.clip_norm)
    optimiser.step()
    if learner.average is not None:
        update_average(learner.average, learner.network, training.ema or DECAY, step + 1)
    return means


def _add_means(sums: dict[str, float], means: dict[str, float], job: TrainingJob, step: int, batches: Batches) -> None:
    """Add the means of a step. Raises NonFiniteError."""
    for name, mean in means.items():
        if not math.isfinite(mean):
            raise NonFiniteError(f"{job.phase}, step {step}: {name} is {mean}; images {', '.join(_image_ids(batches))}")
        sums[name] += mean


def _image_ids(batches: Batches) -> list[str]:
    return [image_id for batch in batches if batch for image_id in batch.image_ids]


def _finite_state(phase: _Phase, step: int, place: str) -> TrainingState:
    """The state after `step` steps. Raises NonFiniteError with `place` on all workers."""
    learner = phase.learner
    # Readers of the weights do not expect channels_last.
    weights, average = (
        state and {name: tensor.contiguous() for name, tensor in state.items()}
        for state in (learner.network.state_dict(), learner.average)
    )
    assert weights
    averages_score = phase.job.config.training.ema is not None
    # Without `training.ema`, the teacher teaches only: the weights themselves score and are evaluated.
    state = TrainingState(
        weights, learner.optimiser.state_dict(), step, *((average, None) if averages_score else (None, average))
    )
    if any_worker(not state.is_finite(), phase.device):
        raise NonFiniteError(f"{place}: a weight, or the optimiser's state of it, is NaN or infinite")
    return state


def seed_dropout(seed: int, step: int) -> None:
    """Seed dropout by seed, step and worker. It sets torch's global generator, since dropout accepts no other."""
    torch.manual_seed(torch_seed(seed, "dropout", step, worker_rank()))
