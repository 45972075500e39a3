"""Identity of a W&B run: its id, name, group, job type, tags, notes and configuration."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ripu_ray.config import to_tree
from ripu_ray.errors import counted
from ripu_ray.runs.environment import ENVIRONMENT
from ripu_ray.runs.grid import Trial
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.storage.checksums import read_json
from ripu_ray.tracking.target import LONGEST_TAG, find_target

_READABLE = 80
"""Characters of the trial's name in a run's id."""


@dataclass(frozen=True)
class Identity:
    """Attributes:
    arguments: of `wandb.init`.
    budget: of the trial as text; `any` for a reference and a warm-up.
    """

    arguments: Mapping[str, Any]
    budget: str = "any"


def identify_trial(run: RunFolder, trial: Trial) -> Identity:
    """The identity of a trial. Panels are grouped by `config.trial`: seeds repeat a strategy over one budget."""
    strategy = trial.config.strategy
    budget = "any" if strategy.is_reference else str(strategy.budget)
    names = {"arm": trial.arm, "strategy": trial.arm.replace(f"-b{budget}", "", 1), "budget": budget}
    digests = {"data_digest": digest} if (digest := run.seal.digest(trial.config)) else {}
    config = {**to_tree(trial.config), "trial": names, **digests}
    return Identity(identify(run, trial.trial_id, "trial", config, tags(trial), describe(trial)), budget)


def identify_warmup(run: RunFolder, key: str) -> Identity:
    """The identity of a warm-up."""
    config = run.warmups[key]
    notes = f"Warm-up on the source alone: {config.model.name} on {config.data.dataset}, seed {config.seed}."
    return Identity(identify(run, f"warmup-{key}", "warmup", to_tree(config), ("warm-up", config.data.dataset), notes))


def identify(
    run: RunFolder, name: str, kind: str, config: Mapping[str, Any], tags: Sequence[str] = (), notes: str | None = None
) -> dict[str, Any]:
    """Arguments of `wandb.init` that identify a run of a sweep.

    The configuration gets the commit of the code that the sweep was started with, if environment.json has it. Tags of
    the user come first.

    The id is the same in every process and after a resume, also if the folder was renamed. It contains the token of the
    run folder, so no other run has it. It also contains a digest, because two names may become equal when characters
    that W&B does not allow are replaced.
    """
    target = find_target(run.config.tracking, run.path)
    readable = re.sub(r"[^A-Za-z0-9_.-]", "-", name)
    own = f"{run.token}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return {
        "project": target.project,
        "entity": target.entity,
        "tags": list(dict.fromkeys((*target.tags, *(tag[:LONGEST_TAG] for tag in tags)))) or None,
        "notes": notes,
        "group": run.name,
        "job_type": kind,
        "name": name,
        "id": f"{readable[:_READABLE]}-{own}",
        "config": {**config, **({"commit": commit} if (commit := _commit(run)) else {})},
    }


def _commit(run: RunFolder) -> str | None:
    path = run.path / ENVIRONMENT
    return read_json(path).get("git_revision") if path.exists() else None


def describe(trial: Trial) -> str:
    """One sentence: what a trial is."""
    config, strategy = trial.config, trial.config.strategy
    task = f"{config.model.name} on {config.data.dataset}, seed {config.seed}"
    if strategy.acquisition == "source_only":
        return f"Reference without purchases: {task}."
    if strategy.acquisition == "full":
        return f"Reference with every pixel of the pool bought: {task}."
    rounds = counted(strategy.rounds, "round")
    unit = "%" if strategy.budget.unit == "percent" else "pixels"
    scope = "each image" if strategy.allocation == "per_image" else "an image on average over the pool"
    bought = f"{strategy.budget.value:f} {unit} of {scope} in {rounds}"
    return f"Active learning with {strategy.acquisition} in mode {strategy.mode}, {bought}: {task}."


def tags(trial: Trial) -> tuple[str, ...]:
    """Tags of a trial: its acquisition function, its mode unless it is a reference, and its data set."""
    strategy = trial.config.strategy
    mode = () if strategy.is_reference else (strategy.mode,)
    return (strategy.acquisition, *mode, trial.config.data.dataset)
