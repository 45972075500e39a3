"""Fine-tuning as a Ray Train job: the same `train` on every worker, joined by DistributedDataParallel."""

import json
import os
import uuid
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
from ray.train.v2.api.exceptions import TrainingFailedError
from torch.nn.parallel import DistributedDataParallel

from ripu_ray.config import Config
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import ClusterError, NonFiniteError
from ripu_ray.files import replace_json
from ripu_ray.simulation.protocols import Losses, OnStep, TrainingJob
from ripu_ray.simulation.training import train
from ripu_ray.simulation.workers import worker_rank


class RayFineTuner:
    """`FineTuner` over `config.cluster.train_workers` workers, started for each phase and ended after it.

    Args:
        config: of the trial.
        storage: a folder that every node sees; Train keeps its own books there.
    """

    def __init__(self, config: Config, storage: Path) -> None:
        self._cluster = config.cluster
        self._storage = storage

    def fit(self, job: TrainingJob, on_step: OnStep) -> Losses:
        """See `FineTuner`. Raises ClusterError when workers die more often than `cluster.max_failures`."""
        cluster = self._cluster
        os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(cluster.start_timeout_s)
        outcome = job.output.with_name("outcome.json")
        outcome.unlink(missing_ok=True)
        trainer = ray.train.torch.TorchTrainer(
            _work,
            # By reference: annotations of a large pool are megabytes.
            train_loop_config={"job": [ray.put(job)], "outcome": outcome},
            scaling_config=ray.train.ScalingConfig(
                num_workers=cluster.train_workers,
                use_gpu=cluster.gpu,
                resources_per_worker={"CPU": cluster.threads, "GPU": int(cluster.gpu)},
            ),
            # Train would silently go on from the checkpoint of an older run of the same name.
            run_config=ray.train.RunConfig(
                name=uuid.uuid4().hex,
                storage_path=str(self._storage),
                failure_config=ray.train.FailureConfig(
                    max_failures=cluster.max_failures,
                    controller_failure_limit=cluster.max_failures,  # type: ignore[call-arg]  # typed as Train V1's
                ),
            ),
        )
        try:
            trainer.fit()
        except TrainingFailedError as error:
            first = str(error).strip().splitlines()[0]
            raise ClusterError(f"{job.phase}: training with {cluster.train_workers} workers failed: {first}") from None
        result: dict[str, Any] = json.loads(outcome.read_text())
        if "non_finite" in result:
            raise NonFiniteError(result["non_finite"])
        on_step(job.num_steps)
        losses: Losses = result["losses"]
        return losses


def _work(config: dict[str, Any]) -> None:
    (reference,) = config["job"]
    job: TrainingJob = ray.get(reference)
    device = str(ray.train.torch.get_device())
    try:
        domains = open_domains(job.config.data, not job.config.training.source_free)
        losses = train(job, domains, device, lambda _: None, wrap=DistributedDataParallel)
        result: dict[str, Any] = {"losses": losses}
    except NonFiniteError as error:
        # Every worker sees the same global losses, so all of them end here; trying again would end here too.
        result = {"non_finite": str(error)}
    if worker_rank() == 0:
        replace_json(config["outcome"], result)
