"""The grid: expands one configuration with lists into trials, each with a configuration without lists."""

import hashlib
import itertools
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

from ripu_ray.config import REFERENCES, Budget, Config, Mode, StrategyConfig, SweepConfig, Windows, to_tree, vary
from ripu_ray.config.training import TEACHER
from ripu_ray.errors import ConfigError
from ripu_ray.runs.effects import is_ignored, is_in
from ripu_ray.runs.references import as_reference

_OWN_LISTS = {
    "seed": "seeds",
    "strategy.budget": "budgets",
    "strategy.mode": "modes",
    "strategy.windows": "windows",
    "strategy.acquisition": "acquisitions",
}
_MODIFIERS = (
    *(
        f"strategy.{name}"
        for name in ("shape", "allocation", "power", "balanced", "class_share", "diversity", "avoid_void")
    ),
    "training.teacher",
)
_VARIED_SECTIONS = ("data", "model", "training", "strategy", "stopping", "oracle")
_STEPS = (
    "strategy.rounds",
    *(f"training.{name}" for name in ("round_steps", "last_round_steps", "schedule_steps")),
)
_UNUSED: dict[str, object] = {
    "oracle.answer": "mask",
    "strategy.power": None,
    "strategy.balanced": False,
    "strategy.options": {},
}
"""Varied settings that a trial has as these values if they have no effect on it."""
_MAX_TRIALS = 10_000
_LONGEST_ID = 150
"""Characters of a trial's id: W&B adds to it, and a file name has at most 255."""


@dataclass(frozen=True)
class Trial:
    """One point of the grid.

    Attributes:
        arm: names all varied settings except the seed; trials of one arm are repetitions.
        config: the complete configuration, with an empty `sweep`.
        asked: for a reference: key -> value of the varied settings of its steps. `config` has these steps as one round.
    """

    arm: str
    config: Config
    asked: Mapping[str, object] = field(default_factory=dict, compare=False)

    @property
    def trial_id(self) -> str:
        """The arm and the seed; also the name of the trial's folder."""
        return f"{self.arm}-s{self.config.seed}"


def expand(config: Config) -> tuple[Trial, ...]:
    """Expand every combination of the sweep's lists; an empty list stands for the strategy's own value.

    Raises:
        ConfigError: a key of `sweep.vary` cannot be varied, a combination is invalid, there are too many combinations,
            two would have the same folder, or a name is too long.
    """
    sweep, strategy = config.sweep, config.strategy
    _check_keys(sweep)
    lists: tuple[tuple[Any, ...], ...] = (
        *sweep.vary.values(),
        sweep.budgets or (strategy.budget,),
        sweep.modes or (strategy.mode,),
        sweep.windows or (None,),
        sweep.acquisitions or (strategy.acquisition,),
        sweep.seeds or (config.seed,),
    )
    if (count := math.prod(map(len, lists))) > _MAX_TRIALS:
        raise ConfigError(f"sweep: {count} trials: expected at most {_MAX_TRIALS}")
    trials: dict[str, Trial] = {}
    kept_of: dict[str, Mapping[str, object]] = {}
    for key in sweep.vary:
        _check_repetition(config, key)
    for *values, budget, mode, window, acquisition in itertools.product(*lists[:-1]):
        chosen = _choose(strategy, budget, mode, window, acquisition)
        single = config.model_copy(update={"strategy": chosen, "sweep": SweepConfig()})
        varied = dict(zip(sweep.vary, values, strict=True))
        single = vary(single, varied) if varied else single
        # Trials that differ only in settings without an effect are one trial, the first of them.
        ignored = {key for key in varied if is_ignored(key, single)}
        kept = {key: value for key, value in varied.items() if key not in ignored}
        unused = {section: none for section, none in _UNUSED.items() if any(is_in(key, section) for key in ignored)}
        single = vary(single, unused) if unused else single
        asked = {}
        if single.strategy.is_reference:
            asked = {key: attrgetter(key)(single) for key in kept if key in _STEPS}
            single = as_reference(single, schedule_steps(single))
            parts = [str(acquisition), *_name(kept, sweep)]
        else:
            bought = f"{mode}-w{chosen.window}-{acquisition}-b{budget}"
            parts = [bought, *_modifiers(single), *_name(kept, sweep)]
        arm = "-".join(parts)
        if kept_of.setdefault(arm, kept) != kept:  # an id has other characters than the values
            raise ConfigError(f"sweep.vary: two trials would share the folder {arm}: choose other values")
        for seed in lists[-1]:
            _add(trials, Trial(arm, single.model_copy(update={"seed": seed}), asked))
    return tuple(trials.values())


def _add(trials: dict[str, Trial], trial: Trial) -> None:
    """Add a trial, unless there is one with its id. Raises ConfigError: the id is too long."""
    trials.setdefault(trial.trial_id, trial)
    if len(trial.trial_id) > _LONGEST_ID:
        raise ConfigError(f"sweep.vary: {trial.trial_id}: a trial's name of more than {_LONGEST_ID} characters")


def arms(trials: Iterable[Trial]) -> dict[str, Config]:
    """The configuration of the first trial of each arm, by the arm: the others differ from it in the seed alone."""
    return {trial.arm: trial.config for trial in reversed(tuple(trials))}


def shared_warmups(trials: Iterable[Trial]) -> list[Config]:
    """The configuration of one trial for each shared warm-up. The digest of an arm is computed once."""
    trials = tuple(trials)
    keys = {arm: warmup_key(config.model_copy(update={"seed": 0})) for arm, config in arms(trials).items()}
    return list({(keys[trial.arm], trial.config.seed): trial.config for trial in trials}.values())


def _choose(
    strategy: StrategyConfig, budget: Budget, mode: Mode, window: int | None, acquisition: str
) -> StrategyConfig:
    """The strategy with the values of one combination; `window` None: its own. Raises ConfigError: they do not fit."""
    keeps = window is None or acquisition in REFERENCES
    windows = strategy.windows if keeps else Windows(region=window, pixel=window)
    update = {"budget": budget, "mode": mode, "windows": windows, "acquisition": acquisition}
    chosen = strategy.model_copy(update=update)
    try:
        chosen.check()
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return chosen


def _check_repetition(config: Config, key: str) -> None:
    """Refuse two values of a varied setting that mean the same, such as 1 and 1.0. Raises ConfigError."""
    known: dict[str, object] = {}
    first = {name: values[0] for name, values in config.sweep.vary.items()}
    single = config.model_copy(update={"sweep": SweepConfig()})
    for value in config.sweep.vary[key]:
        try:
            meant = repr(attrgetter(key)(vary(single, first | {key: value})))
        except (ConfigError, AttributeError):
            return  # the trial that has it says what is wrong
        if meant in known:
            raise ConfigError(
                f"sweep.vary {key}: {json.dumps(known[meant])} and {json.dumps(value)} are the same value"
            )
        known[meant] = value


def _modifiers(config: Config) -> list[str]:
    """A part of the trial's id for each of `_MODIFIERS` that is not the default."""
    strategy, teacher = config.strategy, config.training.teacher
    parts = (
        strategy.shape if strategy.shape != "sliding" else "",
        "pool" if strategy.allocation == "pool" else "",
        f"power{strategy.power}".replace(" -> ", "to") if strategy.power else "",
        "balanced" if strategy.balanced else "",
        "" if strategy.class_share is None else f"classes{strategy.class_share}".removesuffix(".0"),
        f"diverse{strategy.diversity}" if strategy.diversity else "",
        "learned_void" if strategy.avoid_void == "learned" else "",
        f"teacher_{teacher}" if teacher != "none" else "",
    )
    return [part for part in parts if part]


def _name(varied: Mapping[str, object], sweep: SweepConfig) -> list[str]:
    """A part of the trial's id for each other varied setting, valid in a file name."""
    varied = {key: value for key, value in varied.items() if key not in _MODIFIERS}
    short = {key: key.rpartition(".")[2] for key in varied}
    if len(set(short.values())) < len(short):
        short = {key: key for key in varied}
    shown = {key: _without_folder(value, sweep.vary[key]) for key, value in varied.items()}
    return [f"{short[key]}={re.sub(r'[^A-Za-z0-9.+]', '_', json.dumps(value))}" for key, value in shown.items()]


def _without_folder(value: object, values: Sequence[object]) -> object:
    """An absolute path without the folder that all absolute paths of `values` share; anything else as it is."""
    if not isinstance(value, str) or not value.startswith("/"):
        return value
    folders = [Path(path).parent for path in values if isinstance(path, str) and path.startswith("/")]
    return os.path.relpath(value, os.path.commonpath(folders))


def _check_keys(sweep: SweepConfig) -> None:
    for key in sweep.vary:
        if key == "strategy":  # a whole section would replace the values of the lists
            raise ConfigError("sweep.vary strategy: expected one of its settings, such as strategy.power")
        if inner := next((name for name in sweep.vary if name.startswith(f"{key}.")), ""):
            raise ConfigError(f"sweep.vary {key}: contains {inner}, which varies, too")
        for own, listed in _OWN_LISTS.items():
            if key == own or key.startswith(f"{own}."):
                raise ConfigError(f"sweep.vary {key}: has a list of its own, sweep.{listed}")
        if key.partition(".")[0] not in _VARIED_SECTIONS:
            raise ConfigError(f"sweep.vary {key}: expected a setting of {', '.join(_VARIED_SECTIONS)}")


def schedule_steps(config: Config) -> int:
    """Horizon of the learning rate's polynomial, in steps."""
    training = config.training
    return training.schedule_steps or training.warmup_steps + config.num_round_steps() + training.round_steps


def recipe(config: Config) -> dict[str, Any]:
    """All settings that results depend on, as plain values."""
    tree = to_tree(config)
    parts = {key: tree[key] for key in ("seed", "data", "model", "training", "strategy", "stopping", "oracle", "sweep")}
    del parts["training"]["checkpoint_every"]
    if config.plugins:
        parts["plugins"] = {plugin.name: plugin.sha256 for plugin in config.plugins}
    # The last bits of results depend on the numbers of workers and threads.
    return {**parts, "workers": [config.cluster.train_workers, config.cluster.threads, config.cluster.gpu]}


def warmup_key(config: Config, data_digest: str = "") -> str:
    """Digest (12 hex digits) of all settings, and of the data, that the source-only warm-up depends on.

    Args:
        config: of a trial.
        data_digest: of the data and initial weights; "" if they are drawn or unknown.
    """
    tree = recipe(config)
    parts = {key: tree[key] for key in ("seed", "data", "model", "training", "workers")}
    for name in ("source_free", "round_steps", "last_round_steps", "schedule_steps"):
        del parts["training"][name]  # used after the warm-up only
    for name in ("class_weights", *TEACHER):
        parts["training"].pop(name, None)
    parts["schedule_steps"] = schedule_steps(config)
    if data_digest:
        parts["data_digest"] = data_digest
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
