"""One phase of training, in one process or in each process of a torch.distributed group.

L = CE(source) + alpha1 * L_cr(source) + CE(bought target pixels) + alpha2 * L_nl(target), and with `training.teacher`
its weight times the loss of its predictions. With `oracle.answer: multi_hot`, the partial-label loss takes the place of
the third term. The warm-up has the source terms only, source-free training the target terms only. Each mean is over the
global batch: every worker contributes its sum over the global count. The batches depend on (seed, step) alone, so a
phase can be resumed after any step.
"""

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ripu_ray.config import Config, TrainingConfig
from ripu_ray.core.losses import LossTerm, consistency, cross_entropy, negative_learning, partial_label
from ripu_ray.core.randomness import generator
from ripu_ray.data.loading import Domains
from ripu_ray.errors import NonFiniteError, StoppedError
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
from ripu_ray.training.job import OnMeasured, OnStep, TrainingJob, ignore_measurement
from ripu_ray.training.measuring import Meter
from ripu_ray.training.optimiser import enter_training, freeze, make_optimiser, set_rate, start_average, update_average
from ripu_ray.training.teacher import DECAY, predict, teach
from ripu_ray.training.workers import any_worker, largest, num_workers, worker_rank

WrapStep = Callable[["TrainingStep"], nn.Module]
"""Makes a step data-parallel, for example DistributedDataParallel."""


@dataclass(frozen=True)
class Learner:
    """A network, what trains it, the moving average of its state dict, and the teacher, whose weights that is."""

    network: Network
    optimiser: torch.optim.Optimizer
    average: dict[str, Tensor] | None
    teacher: Network | None


class TrainingStep(nn.Module):
    """The loss of one step as a module: one forward pass of DistributedDataParallel is one step."""

    network: Network

    def __init__(self, network: Network, training: TrainingConfig) -> None:
        super().__init__()
        self.network = network
        self._training = training

    def forward(self, source: Batch | None, target: Batch | None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, scaled for a gradient that is averaged over workers, and the global mean of each term."""
        training = self._training
        terms = {}
        if source is not None:
            logits = self._logits(source)
            terms["source_cross_entropy"] = (1.0, cross_entropy(logits, source.labels_BHW))
            terms["consistency"] = (training.consistency_weight, consistency(logits, source.labels_BHW))
        if target is not None:
            logits = self._logits(target)
            if target.sets_SC is None:
                terms["target_cross_entropy"] = (1.0, cross_entropy(logits, target.labels_BHW))
            else:
                terms["target_partial_label"] = (1.0, partial_label(logits, target.labels_BHW, target.sets_SC))
            terms["negative_learning"] = (
                training.negative_weight,
                negative_learning(logits, training.negative_threshold),
            )
            if target.views is not None:
                logits = predict(self.network, training, target.views.strong_VHW3, target.labels_BHW.shape[-2:])
                terms["teacher"] = (training.teacher_weight, target.views.loss(logits))
        loss = torch.zeros((), device=logits.device)
        means = {}
        for name, (weight, term) in terms.items():
            count, total = _global_sums(term)
            loss = loss + weight * term.total * (num_workers() / count)
            means[name] = total / count
        means["total"] = torch.stack([terms[name][0] * mean for name, mean in means.items()]).sum()
        return loss, means

    def _logits(self, batch: Batch) -> Tensor:
        return predict(self.network, self._training, batch.images_BHW3, batch.labels_BHW.shape[-2:])


def train(
    job: TrainingJob,
    domains: Domains,
    device: str,
    on_step: OnStep,
    on_measured: OnMeasured = ignore_measurement,
    wrap: WrapStep = lambda step: step,
) -> Losses:
    """Take the remaining steps of a job, from its mid-phase checkpoint if there is one. Worker 0 writes checkpoints.

    Args:
        job: the input of the phase.
        domains: the data of `job.config`.
        device: "cpu" or "cuda...".
        on_step: called after each step with the number of completed steps of this phase.
        on_measured: called on worker 0 every `tracking.log_every` steps.
        wrap: makes the step data-parallel; called on every worker.

    Returns:
        The mean of each loss over the phase; empty for no steps.

    Raises:
        NonFiniteError: a loss or weight is not finite; names phase, step and images. It is not written to disk.
        StoppedError: `job.stop` is set; the mid-phase checkpoint is written.
        DataError: `job.partial` is damaged or of another phase (see `find_fault`), or weights of `model` do not fit.
    """
    config = job.config
    torch.set_num_threads(config.cluster.threads)
    learner = _build(job, domains, device)
    identity = identify(job)
    first, sums = _restore(job, identity, learner, device)
    step_module = wrap(TrainingStep(learner.network, config.training))
    enter_training(learner.network, config.training)
    draw = Draw(config, domains, device, job.annotated, job.answers.open() if job.answers else None, job.named)
    last = job.first_step + job.num_steps
    place = f"{job.phase}, before step {first}"
    meter = Meter(config, device, sums, on_measured)
    for step, batches in meter.waits(drawn_ahead(draw, range(first, last))):
        place = f"{job.phase}, step {step}, images {_image_ids(batches)}"
        means = _take_step(step_module, learner, config, step, batches, device)
        _add_means(sums, means, job, step, batches)
        on_step(step + 1 - job.first_step)
        meter.count(step + 1, *(batch is not None for batch in batches))
        if step + 1 < last:
            _save_or_stop(job, identity, learner, sums, step, place, device)
    state = _finite_state(job, learner, last, place, device)
    if worker_rank() == 0:
        state.save(job.output)
    return {name: value / job.num_steps for name, value in sums.items()}


def _build(job: TrainingJob, domains: Domains, device: str) -> Learner:
    """Build the network on its device, with the configured memory layout and compilation, and what trains it."""
    config, teacher = job.config, None
    network = build_network(config.model, domains.classes.num_classes, config.seed).to(device)
    if config.training.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.training.compile:
        # In place: a compiled copy would prefix the names of the state dict with `_orig_mod.`. One program per size.
        network.compile(dynamic=False)
    average = start_average(network, config.training)
    if job.teaches:
        teacher = build_network(config.model, domains.classes.num_classes, config.seed).to(device)
        if config.training.channels_last:
            teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        teacher.eval().requires_grad_(False)
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


def _take_step(
    step_module: nn.Module, learner: Learner, config: Config, step: int, batches: Batches, device: str
) -> dict[str, Tensor]:
    """Take one optimiser update. Returns the global mean of each loss, on the device."""
    source, target = (batch and batch.to(device) for batch in batches)
    training, optimiser = config.training, learner.optimiser
    if learner.teacher and target and target.views:
        target = replace(target, views=teach(learner.teacher, training, target.views))
    set_rate(optimiser, config, step)
    optimiser.zero_grad(set_to_none=True)
    seed_dropout(config.seed, step)
    means: dict[str, Tensor]
    loss, means = step_module(source, target)
    loss.backward()
    if training.clip_norm:
        nn.utils.clip_grad_norm_(learner.network.parameters(), training.clip_norm)
    optimiser.step()
    if learner.average is not None:
        update_average(learner.average, learner.network, training.ema or DECAY, step + 1)
    return means


def _add_means(sums: dict[str, float], means: dict[str, Tensor], job: TrainingJob, step: int, batches: Batches) -> None:
    """Add the means of a step. Called when the whole step is queued: reading them earlier would make the GPU wait."""
    for name, mean in zip(means, torch.stack(list(means.values())).tolist(), strict=True):
        if not math.isfinite(mean):
            raise NonFiniteError(f"{job.phase}, step {step}: {name} is {mean}; images {_image_ids(batches)}")
        sums[name] += mean


def _image_ids(batches: Batches) -> str:
    return ", ".join(image_id for batch in batches if batch for image_id in batch.image_ids)


def _save_or_stop(
    job: TrainingJob, identity: str, learner: Learner, sums: dict[str, float], step: int, place: str, device: str
) -> None:
    """Write the mid-phase checkpoint if it is due or a stop was requested, for which StoppedError is raised."""
    stopped = any_worker(job.stop is not None and job.stop.is_made(), device)
    if stopped or (step + 1 - job.first_step) % job.config.training.checkpoint_every == 0:
        state = _finite_state(job, learner, step + 1, place, device)
        if worker_rank() == 0:
            save_partial(job, identity, Partial(state, dict(sums)))
    if stopped:
        raise StoppedError(f"{job.phase} stopped after step {step}")


def _finite_state(job: TrainingJob, learner: Learner, step: int, place: str, device: str) -> TrainingState:
    """The state after `step` steps. Raises NonFiniteError with `place` on all workers."""
    # Readers of the weights do not expect channels_last.
    weights, average = (
        state and {name: tensor.contiguous() for name, tensor in state.items()}
        for state in (learner.network.state_dict(), learner.average)
    )
    assert weights
    averages_score = job.config.training.ema is not None
    # Without `training.ema`, the teacher teaches only: the weights themselves score and are evaluated.
    state = TrainingState(
        weights, learner.optimiser.state_dict(), step, *((average, None) if averages_score else (None, average))
    )
    if any_worker(not state.is_finite(), device):
        raise NonFiniteError(f"{place}: a weight, or the optimiser's state of it, is NaN or infinite")
    return state


def seed_dropout(seed: int, step: int) -> None:
    """Seed dropout by seed, step and worker. It sets torch's global generator, since dropout accepts no other."""
    torch.manual_seed(int(generator(seed, "dropout", step, worker_rank()).integers(2**63)))


def _global_sums(term: LossTerm) -> tuple[Tensor, Tensor]:
    """Count (at least 1, so that an empty mean is 0) and detached total, over all workers."""
    sums = torch.stack([term.count.to(torch.float64), term.total.detach().to(torch.float64)])
    if dist.is_initialized():
        dist.all_reduce(sums)
    return sums[0].clamp(min=1).to(term.total.dtype), sums[1].to(term.total.dtype)
