"""Fine-tuning as a Ray Train job: the same `train` on every worker, joined by DistributedDataParallel.

Each attempt is a Train run of its own. A group that lost a worker is started again from here, so that whoever waits
for the trial hears of it, and goes on from what is on disk.
"""

import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
from ray.exceptions import RayActorError
from ray.train.v2.api.exceptions import ControllerError, TrainingFailedError, WorkerGroupError
from torch.nn.parallel import DistributedDataParallel

from ripu_ray.config import Config
from ripu_ray.data.loading import open_domains
from ripu_ray.distributed.capacity import process_gpus
from ripu_ray.distributed.cluster import Patience, each, first_line, this_node
from ripu_ray.distributed.shared_storage import ray_storage
from ripu_ray.errors import ClusterError, NonFiniteError, RipuError, StoppedError
from ripu_ray.runs.event_log import Event, Warn, ignore_warning
from ripu_ray.runs.record import Losses
from ripu_ray.storage.files import replace_json
from ripu_ray.training.checkpoint import identify, load_partial
from ripu_ray.training.heartbeat import Heartbeat, Place, join_places, name_suspects, read_place
from ripu_ray.training.job import OnStep, TrainingJob
from ripu_ray.training.phase import train
from ripu_ray.training.workers import worker_rank

POLL_S = 1.0
"""How often the steps that are done are looked up."""


class RayFineTuner:
    """`FineTuner` over `config.cluster.train_workers` workers, started for each phase and ended after it.

    Args:
        config: of the trial.
        storage: a folder that every node sees; Train keeps its own books there, and workers where they are.
        warn: is told who died, what is repeated, and what is waited for.
    """

    def __init__(self, config: Config, storage: Path, warn: Warn = ignore_warning) -> None:
        self._cluster = config.cluster
        self._storage, self._warn = storage, warn

    def fit(self, job: TrainingJob, on_step: OnStep) -> Losses:
        """See `FineTuner`. A group that lost a worker is started again and goes on from what is on disk.

        Raises:
            ClusterError: workers do not start in time, or die more than `cluster.max_failures` times without getting
                any further; names the images that they were at.
        """
        os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(self._cluster.start_timeout_s)
        # By reference: annotations of a large pool are megabytes.
        reference = ray.put(job)
        deaths: list[Place] = []
        while True:
            # A folder of its own: Train would silently go on from the checkpoint of an older run of the same name.
            attempt = self._storage / uuid.uuid4().hex
            try:
                self._attempt(attempt, reference, on_step)
                break
            except WorkerGroupError as error:
                ranks, why = _read_failures(error.worker_failures)
                place = join_places(_places(attempt, ranks or range(self._cluster.train_workers)))
                if ranks:
                    why = f"on node {place.node} died"
            except TrainingFailedError as error:
                cause = error.controller_failure if isinstance(error, ControllerError) else error
                place, why = Place(), f"failed ({first_line(cause)})"
            if deaths and place.done > max(earlier.done for earlier in deaths):
                deaths = []
            deaths.append(place)
            if len(deaths) > self._cluster.max_failures:
                raise ClusterError(
                    f"{job.phase}: a training worker {why}, {len(deaths)} times without getting further"
                    f"{name_suspects(deaths)}; given up"
                )
            self._warn(
                f"a training worker {why} after {place.done} of {job.num_steps} steps; {_goes_on(job)}",
                Event.WORKER_DIED,
            )
        result: dict[str, Any] = json.loads((attempt / "outcome.json").read_text())
        if "stopped" in result:
            raise StoppedError(result["stopped"])
        if "non_finite" in result:
            raise NonFiniteError(result["non_finite"])
        on_step(job.num_steps)
        losses: Losses = result["losses"]
        return losses

    def _attempt(self, folder: Path, reference: ray.ObjectRef[Any], on_step: OnStep) -> None:
        cluster = self._cluster
        trainer = ray.train.torch.TorchTrainer(
            _work,
            train_loop_config={"job": [reference], "folder": folder},
            scaling_config=ray.train.ScalingConfig(
                num_workers=cluster.train_workers,
                use_gpu=cluster.gpu,
                resources_per_worker={"CPU": cluster.threads, "GPU": process_gpus(cluster)},
            ),
            run_config=ray.train.RunConfig(
                name=folder.name,
                worker_runtime_env={"env_vars": _interface_variables(cluster.interface)},
                **ray_storage(folder.parent),
                failure_config=ray.train.FailureConfig(
                    max_failures=0,
                    controller_failure_limit=0,  # type: ignore[call-arg]  # typed as Train V1's
                    max_preemption_failures=0,
                ),
            ),
        )
        asked = f"{cluster.train_workers} training workers, {each(cluster)}"
        patience = Patience(cluster, asked, self._warn)
        done = 0
        with ThreadPoolExecutor(max_workers=1) as thread:
            running = thread.submit(trainer.fit)
            while not wait([running], timeout=POLL_S).done:
                place = read_place(_heartbeat_path(folder, 0))
                if place is None:
                    patience.remind()
                elif place.done > done:
                    on_step(done := place.done)
            try:
                running.result()
            except ControllerError:
                patience.check()  # Train has waited as long as we would
                raise


def _read_failures(failures: Mapping[int, Exception]) -> tuple[Sequence[int], str]:
    """Ranks that died, or, where none did, what happened. Raises what is one of our own exceptions."""
    for error in failures.values():
        if isinstance(error, RipuError):
            raise error
    # When one dies, the others' connections break: what they say is no news.
    dead = [rank for rank, error in failures.items() if _is_death(error)]
    if dead:
        return dead, ""
    return (), f"failed ({first_line(next(iter(failures.values())))})"


def _is_death(error: Exception) -> bool:
    return isinstance(getattr(error, "health_check_failure", None), RayActorError)


def _places(folder: Path, ranks: Iterable[int]) -> list[Place]:
    return [place for rank in ranks if (place := read_place(_heartbeat_path(folder, rank)))]


def _goes_on(job: TrainingJob) -> str:
    partial = load_partial(job, identify(job))
    return f"another group goes on after {partial.state.step - job.first_step if partial else 0}"


def _heartbeat_path(folder: Path, rank: int) -> Path:
    return folder / f"rank-{rank}.json"


def _interface_variables(interface: str | None) -> dict[str, str]:
    return {name: interface for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME") if interface}


def _work(config: dict[str, Any]) -> None:
    (reference,) = config["job"]
    job: TrainingJob = ray.get(reference)
    folder: Path = config["folder"]
    device = str(ray.train.torch.get_device())
    result: dict[str, Any]
    try:
        with Heartbeat(_heartbeat_path(folder, worker_rank()), this_node()) as heartbeat:
            domains = heartbeat.watch(open_domains(job.config.data, job.config.opens_source))
            losses = train(
                job,
                domains,
                device,
                heartbeat.count,
                wrap=lambda step: heartbeat.note_steps(DistributedDataParallel(step)),
            )
        result = {"losses": losses}
    except NonFiniteError as error:
        # Every worker sees the same global losses, so all of them end here; trying again would end here too.
        result = {"non_finite": str(error)}
    except StoppedError as error:
        result = {"stopped": str(error)}
    if worker_rank() == 0:
        replace_json(folder / "outcome.json", result)
