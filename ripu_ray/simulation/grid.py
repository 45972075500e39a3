"""The grid: one configuration with lists becomes trials, each a configuration without."""

import hashlib
import itertools
import json
from dataclasses import dataclass

from ripu_ray.config import Config, SweepConfig, Windows, to_tree


@dataclass(frozen=True)
class Trial:
    """One point of the grid.

    Attributes:
        trial_id: names what varies; also the name of the trial's folder.
        config: the whole configuration, its `sweep` empty.
    """

    trial_id: str
    config: Config


def expand(config: Config) -> tuple[Trial, ...]:
    """Every combination of the sweep's lists; an empty list stands for the strategy's own value."""
    sweep, strategy = config.sweep, config.strategy
    trials = []
    for budget, mode, window, acquisition, seed in itertools.product(
        sweep.budgets or (strategy.budget,),
        sweep.modes or (strategy.mode,),
        sweep.windows or (None,),
        sweep.acquisitions or (strategy.acquisition,),
        sweep.seeds or (config.seed,),
    ):
        windows = strategy.windows if window is None else Windows(region=window, pixel=window)
        chosen = strategy.model_copy(
            update={"budget": budget, "mode": mode, "windows": windows, "acquisition": acquisition}
        )
        single = config.model_copy(update={"seed": seed, "strategy": chosen, "sweep": SweepConfig()})
        trials.append(Trial(f"{mode}-w{chosen.window}-{acquisition}-b{budget}-s{seed}", single))
    return tuple(trials)


def schedule_steps(config: Config) -> int:
    """Horizon of the learning rate's polynomial, in steps."""
    training = config.training
    return training.schedule_steps or training.warmup_steps + config.num_round_steps() + training.round_steps


def warmup_key(config: Config) -> str:
    """Equal for trials whose source-only warm-up is the same: all that it depends on, as a short digest."""
    tree = to_tree(config)
    parts = {key: tree[key] for key in ("seed", "data", "model", "training")}
    parts["schedule_steps"] = schedule_steps(config)
    parts["workers"] = [config.cluster.train_workers, config.cluster.threads, config.cluster.gpu]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
