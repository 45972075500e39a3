"""The loss of one training step: its terms, their weights, and their means over the global batch."""

from collections.abc import Callable
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ripu_ray.config import TrainingConfig
from ripu_ray.core.losses import LossTerm, consistency, cross_entropy, negative_learning, partial_label
from ripu_ray.models.protocol import Network
from ripu_ray.training.batches import Batch
from ripu_ray.training.logits import forward, predict, upsample
from ripu_ray.training.workers import num_workers

Weighted = dict[str, tuple[float, LossTerm]]
"""Name of a loss -> its weight and its sum."""
Terms = Callable[[Tensor, Tensor, Tensor | None], Weighted]


class TrainingStep(nn.Module):
    """The loss of one step as a module: one forward pass of DistributedDataParallel is one step.

    Args:
        network: on its device.
        training: the recipe.
        weights_C: see `core.losses.cross_entropy`, for bought pixels; on any device.
    """

    network: Network

    def __init__(self, network: Network, training: TrainingConfig, weights_C: Tensor | None = None) -> None:
        super().__init__()
        self.network = network
        self._training = training
        weights_C = None if weights_C is None else weights_C.to(next(network.parameters()).device)
        self._source_terms: Terms = partial(source_terms, training.consistency_weight)
        self._target_terms: Terms = partial(
            target_terms, weights_C, training.negative_weight, training.negative_threshold
        )
        # Sets of classes have a size of their own in each step, for which torch would compile again.
        self._terms_of_sets = self._target_terms
        if training.compile and next(network.parameters()).is_cuda:
            self._source_terms, self._target_terms = (
                torch.compile(terms, dynamic=False) for terms in (self._source_terms, self._target_terms)
            )

    def forward(self, source: Batch | None, target: Batch | None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, scaled for a gradient that is averaged over workers, and the global mean of each term."""
        training, terms = self._training, Weighted()
        if source is not None:
            logits = forward(self.network, training, source.images_BHW3)
            terms |= self._source_terms(logits, source.labels_BHW, None)
        if target is not None:
            logits = forward(self.network, training, target.images_BHW3)
            bought = self._target_terms if target.sets_SC is None else self._terms_of_sets
            terms |= bought(logits, target.labels_BHW, target.sets_SC)
            if target.views is not None:
                logits = predict(self.network, training, target.views.strong_VHW3, target.labels_BHW.shape[-2:])
                terms["teacher"] = (training.teacher_weight, target.views.loss(logits))
        loss = torch.zeros((), device=logits.device)
        means = {}
        for (name, (weight, term)), count, total in zip(terms.items(), *_global_sums(terms), strict=True):
            loss = loss + weight * term.total * (num_workers() / count)
            means[name] = total / count
        means["total"] = torch.stack([terms[name][0] * mean for name, mean in means.items()]).sum()
        return loss, means


def source_terms(consistency_weight: float, logits_BChw: Tensor, labels_BHW: Tensor, _: Tensor | None) -> Weighted:
    """The losses of source images, with their weights."""
    logits_BCHW = upsample(logits_BChw, labels_BHW.shape[-2:])
    return {
        "source_cross_entropy": (1.0, cross_entropy(logits_BCHW, labels_BHW)),
        "consistency": (consistency_weight, consistency(logits_BCHW, labels_BHW)),
    }


def target_terms(
    weights_C: Tensor | None,
    negative_weight: float,
    threshold: float,
    logits_BChw: Tensor,
    labels_BHW: Tensor,
    sets_SC: Tensor | None,
) -> Weighted:
    """The losses of target images, with their weights. See `Batch` for `sets_SC`, `cross_entropy` for `weights_C`."""
    logits_BCHW = upsample(logits_BChw, labels_BHW.shape[-2:])
    if sets_SC is None:
        name, bought = "target_cross_entropy", cross_entropy(logits_BCHW, labels_BHW, weights_C)
    else:
        name, bought = "target_partial_label", partial_label(logits_BCHW, labels_BHW, sets_SC)
    return {name: (1.0, bought), "negative_learning": (negative_weight, negative_learning(logits_BCHW, threshold))}


def _global_sums(terms: Weighted) -> tuple[Tensor, Tensor]:
    """(T,) counts (at least 1, so that an empty mean is 0) and (T,) detached totals, over all workers at once."""
    pairs = [(term.count, term.total.detach()) for _, term in terms.values()]
    sums_T2 = torch.stack([value.to(torch.float64) for pair in pairs for value in pair]).view(-1, 2)
    if num_workers() > 1:
        dist.all_reduce(sums_T2)
    counts_T, totals_T = sums_T2.to(pairs[0][1].dtype).unbind(1)
    return counts_T.clamp(min=1), totals_T
