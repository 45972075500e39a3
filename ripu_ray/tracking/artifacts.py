"""Artifacts of a warm-up and of a finished trial: ledger and weights. Those of the warm-up are the trial's input."""

from collections.abc import Collection
from typing import Any

from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.storage.remote import RemotePath
from ripu_ray.tracking.wandb_internals import log_input


def log_artifacts(opened: Any, run: RunFolder, name: str, logged: Collection[str]) -> None:
    """Log the artifacts that `tracking.artifacts` asks for. Files are not copied: W&B reads them in the run folder.

    Args:
        opened: W&B run of the trial or warm-up.
        run: the sweep. Nothing is logged if it is behind a URL: W&B reads local files only.
        name: id of a trial, or key of a warm-up; nothing is logged unless it is finished.
        logged: names of artifacts that are not logged again.

    Raises:
        RunFolderError, TrackingError, OSError: a file of the run cannot be read, or W&B has changed.
    """
    wanted = run.config.tracking.artifacts
    if wanted == "none" or isinstance(run.path, RemotePath) or not run.is_done(name):
        return
    if name in run.trials:
        _log_trial(opened, run, name, logged)
    elif wanted == "all" and (source := _weights(run, name)).name not in logged:
        opened.log_artifact(source)


def _weights(run: RunFolder, key: str) -> Any:
    """The artifact with the weights of a warm-up."""
    import wandb

    warmup = run.warmup(key)
    digest = warmup.record().weights_sha256
    artifact = wandb.Artifact(f"warmup-{key}-{run.token}", type="model", metadata={"weights_sha256": digest})
    artifact.add_file(str(warmup.weights), skip_cache=True, policy="immutable")
    return artifact


def _log_trial(opened: Any, run: RunFolder, trial_id: str, logged: Collection[str]) -> None:
    import wandb

    folder = run.trial(trial_id)
    last = folder.stage(folder.num_committed() - 1)
    record = last.record()
    about = {"trial": trial_id, "round": record.round, "miou": record.to_tree()["miou"]}

    def artifact(kind: str, type_: str, metadata: dict[str, Any]) -> Any:
        return wandb.Artifact(f"{kind}-{opened.id}", type=type_, metadata=metadata)

    purchases = sorted(folder.path.glob("round_*/purchase.*"))
    ledger = artifact("ledger", "ledger", {**about, "clicks": record.clicks, "spent_pixels": record.spent_pixels})
    if purchases and ledger.name not in logged:
        for path in purchases:
            ledger.add_file(str(path), name=str(path.relative_to(folder.path)), skip_cache=True, policy="immutable")
        opened.log_artifact(ledger)
    model = artifact("model", "model", {**about, "weights_sha256": record.weights_sha256})
    if run.config.tracking.artifacts == "all" and model.name not in logged:
        source = _weights(run, run.warmup_key(run.trials[trial_id].config))
        log_input(opened, source)
        model.metadata |= {"warmup": source.name, "warmup_weights_sha256": source.metadata["weights_sha256"]}
        model.add_file(str(last.weights), skip_cache=True, policy="immutable")
        opened.log_artifact(model)
