"""Weights of a run as a file for other programs: a state dict in the format safetensors, or of torch.save."""

import json
from pathlib import Path

from ripu_ray.errors import ConfigError, RunFolderError
from ripu_ray.models.checkpoints import SAFETENSORS, save_checkpoint, save_safetensors
from ripu_ray.models.networks import build_network
from ripu_ray.models.pretrained import check_state
from ripu_ray.runs.grid import Trial
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.runs.stages import StageFolder
from ripu_ray.simulation.loop import WARMUP_ROUND
from ripu_ray.training.checkpoint import network_state

_ENDINGS = (SAFETENSORS, ".pt", ".pth")


def export_weights(
    run: RunFolder, output: Path | None = None, trial_id: str | None = None, round_index: int | None = None
) -> Path:
    """See `ripu_ray.export_weights`. With `training.ema`, the weights that were evaluated are their average.

    Raises ConfigError or RunFolderError, too, for a network of a plug-in that has changed.
    """
    if output and output.suffix not in _ENDINGS:
        raise ConfigError(f"--output {output}: expected a name that ends in {', '.join(_ENDINGS)}")
    trial, number, stage = _find(run, trial_id, round_index)
    record = stage.read()
    run.run_plugins_of(trial.config.model)
    network = build_network(trial.config.model, len(record.iou), seed=0)
    weights = network_state(stage.weights)
    check_state(weights, network.state_dict(), stage.weights)
    state = {name.removeprefix(network.plain_prefix): tensor for name, tensor in weights.items()}
    name = f"{trial.trial_id}-" + ("warm-up" if number == WARMUP_ROUND else f"round_{number:02d}")
    path = output or Path.cwd() / f"{name}{SAFETENSORS}"
    if path.suffix != SAFETENSORS:
        save_checkpoint(path, state)
        return path
    notes = {
        "format": "pt",  # transformers wants it
        "run": run.name,
        "trial": trial.trial_id,
        "round": str(number),
        "miou": str(record.miou),
        "classes": json.dumps(list(record.iou)),
        "model": trial.config.model.model_dump_json(),
    }
    save_safetensors(path, state, notes)
    return path


def _find(run: RunFolder, trial_id: str | None, round_index: int | None) -> tuple[Trial, int, StageFolder]:
    """The trial, the round and its committed folder. Arguments and errors as above."""
    names = list(run.trials)
    if trial_id is None and len(names) > 1:
        raise ConfigError(f"{run.path}: has {len(names)} trials: expected --trial, such as {names[0]}")
    if trial_id and trial_id not in run.trials:
        raise ConfigError(f"--trial {trial_id}: expected one of {', '.join(names)}")
    trial = run.trials[trial_id or names[0]]
    folder = run.trial(trial.trial_id)
    last = folder.num_committed() - 1
    number = last if round_index is None else round_index
    stage = run.warmup(run.warmup_key(trial.config)) if number == WARMUP_ROUND else folder.stage(number)
    if not WARMUP_ROUND <= number <= last or not stage.is_committed():
        there = f"rounds up to {last}" if last >= 0 else "the warm-up at most (-1)"
        raise RunFolderError(f"{folder.path}: round {number} is not committed; found {there}")
    return trial, number, stage
