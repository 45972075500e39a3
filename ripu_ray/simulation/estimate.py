"""Disk space that a sweep will need."""

from collections import Counter
from collections.abc import Sequence
from functools import cache

import torch

from ripu_ray.config import ModelConfig, TrainingConfig
from ripu_ray.errors import ConfigError
from ripu_ray.models.networks import build_network
from ripu_ray.runs.grid import Trial, arms, shared_warmups

_NUM_CLASSES = 19
"""Class count of the estimate; others change only the last layer."""


def weights_bytes(trials: Sequence[Trial]) -> int:
    """Size of all `weights.pt` of a sweep in bytes: network and optimiser after each warm-up and each round.

    No data is read and no weights are loaded. Purchases, pictures and logs are not counted.
    """
    stages = Counter((config.model, _num_states(config.training)) for config in shared_warmups(trials))
    repetitions = Counter(trial.arm for trial in trials)
    for arm, config in arms(trials).items():
        stages[config.model, _num_states(config.training)] += repetitions[arm] * config.strategy.rounds
    return sum(count * _stage_bytes(model, states) for (model, states), count in stages.items())


def _num_states(training: TrainingConfig) -> int:
    """Tensors that the optimiser keeps for each trained one."""
    return 2 if training.optimiser == "adamw" else int(training.momentum > 0)


@cache
def _stage_bytes(model: ModelConfig, num_states: int) -> int:
    try:
        with torch.device("meta"):  # shapes without values
            network = build_network(model, _NUM_CLASSES, seed=0)
    except ConfigError:  # a module of a user may read its values
        network = build_network(model, _NUM_CLASSES, seed=0)
    trained: int = sum(parameter.nbytes for group in network.parameter_groups() for parameter in group)
    stored: int = sum(tensor.nbytes for tensor in network.state_dict().values())
    return stored + num_states * trained
