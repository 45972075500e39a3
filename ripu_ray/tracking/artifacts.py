"""Artifacts of a finished trial: its ledger, and its last weights with those of the warm-up as their input."""

from collections.abc import Collection
from typing import Any

from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.storage.remote import RemotePath
from ripu_ray.tracking.wandb_internals import log_input


def log_artifacts(opened: Any, run: RunFolder, trial_id: str, logged: Collection[str]) -> None:
    """Log the artifacts that `tracking.artifacts` asks for. Files are not copied: W&B reads them in the run folder.

    Args:
        opened: W&B run of the trial.
        run: the sweep. Nothing is logged if it is behind a URL: W&B reads local files only.
        trial_id: of a trial; nothing is logged unless it is finished.
        logged: names of artifacts that are not logged again.

    Raises:
        RunFolderError, TrackingError, OSError: a file of the run cannot be read, or W&B has changed.
    """
    import wandb

    wanted, folder = run.config.tracking.artifacts, run.trial(trial_id)
    if wanted == "none" or isinstance(run.path, RemotePath) or not run.is_finished(trial_id):
        return
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
    if wanted == "all" and model.name not in logged:
        key = run.warmup_key(run.trials[trial_id].config)
        warmup = run.warmup(key)
        digest = warmup.record().weights_sha256
        source = wandb.Artifact(f"warmup-{key}-{run.token}", type="model", metadata={"weights_sha256": digest})
        source.add_file(str(warmup.weights), skip_cache=True, policy="immutable")
        log_input(opened, source)
        model.metadata |= {"warmup": source.name, "warmup_weights_sha256": digest}
        model.add_file(str(last.weights), skip_cache=True, policy="immutable")
        opened.log_artifact(model)
