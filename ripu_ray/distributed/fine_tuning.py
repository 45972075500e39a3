"""Fine-tuning as a Ray Train job: the same `train` on every worker, joined by DistributedDataParallel.

Each attempt is a separate Train run. This module, not Train, restarts a group that lost a worker, so that the event
log names it; the new group resumes from the mid-phase checkpoint.
"""

import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
from ray.exceptions import RayActorError
from ray.train.v2.api.exceptions import ControllerError, TrainingFailedError, WorkerGroupError
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ripu_ray.config import Config
from ripu_ray.data.loading import open_domains
from ripu_ray.distributed.capacity import process_gpus
from ripu_ray.distributed.cluster import WaitLimit, each, this_node
from ripu_ray.distributed.draining import leaving_nodes
from ripu_ray.distributed.ray_internals import remove_orphaned_groups, with_few_callbacks
from ripu_ray.distributed.shared_storage import ray_storage
from ripu_ray.errors import ClusterError, NonFiniteError, RipuError, StoppedError, counted, first_line
from ripu_ray.runs.event_log import Event, Warn, ignore_warning
from ripu_ray.runs.record import Losses
from ripu_ray.storage.files import replace_json
from ripu_ray.training.checkpoint import identify, load_partial
from ripu_ray.training.heartbeat import Heartbeat, Place, join_places, name_suspects, read_place
from ripu_ray.training.job import OnMeasured, OnStep, TrainingJob, ignore_measurement
from ripu_ray.training.measuring import MeasurementFile
from ripu_ray.training.phase import train
from ripu_ray.training.step import TrainingStep
from ripu_ray.training.workers import num_workers, worker_rank

POLL_S = 1.0
"""Interval of reading the heartbeat and the measurements of worker 0."""
_MEASURED = "measured.jsonl"


class RayFineTuner:
    """`FineTuner` over `config.cluster.train_workers` workers, started for each phase and ended after it.

    Args:
        config: configuration of the trial.
        storage: folder on shared storage for the state of Train and the heartbeats of the workers.
        warn: receives warnings about deaths, restarts and long waits.
    """

    def __init__(self, config: Config, storage: Path, warn: Warn = ignore_warning) -> None:
        self._cluster = config.cluster
        self._storage, self._warn = storage, warn

    def fit(self, job: TrainingJob, on_step: OnStep, on_measured: OnMeasured = ignore_measurement) -> Losses:
        """See `FineTuner`. A group that lost a worker is restarted from the mid-phase checkpoint.

        Raises:
            ClusterError: workers do not start in time, or die more than `cluster.max_failures` times without progress;
                the message names the images that they were reading.
        """
        os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(self._cluster.start_timeout_s)
        # A reference, because the annotations of a large pool have megabytes.
        reference = ray.put(job)
        deaths: list[Place] = []
        while True:
            # A new folder: Train would resume from the checkpoint of an older run of the same name.
            attempt = self._storage / uuid.uuid4().hex
            try:
                self._attempt(attempt, reference, on_step, on_measured)
                result: dict[str, Any] = json.loads((attempt / "outcome.json").read_text())
                if "stopped" not in result:
                    break
                self._move(job, result["stopped"])
                continue
            except WorkerGroupError as error:
                ranks, why = _read_failures(error.worker_failures)
                place = join_places(_places(attempt, ranks or range(self._cluster.train_workers)))
                if ranks:
                    why = f"on node {place.node} died"
            except (TrainingFailedError, RayActorError) as error:
                cause = error.controller_failure if isinstance(error, ControllerError) else error
                why = "lost its controller" if isinstance(error, RayActorError) else f"failed ({first_line(cause)})"
                place = Place(done=join_places(_places(attempt, range(self._cluster.train_workers))).done)
                remove_orphaned_groups()
            if deaths and place.done > max(earlier.done for earlier in deaths):
                deaths = []
            deaths.append(place)
            if len(deaths) > self._cluster.max_failures:
                raise ClusterError(
                    f"{job.phase}: a training worker {why}, {counted(len(deaths), 'time')} without getting further"
                    f"{name_suspects(deaths)}; given up"
                )
            self._warn(
                f"a training worker {why} after {place.done} of {counted(job.num_steps, 'step')}; "
                f"{_describe_restart(job)}",
                Event.WORKER_DIED,
            )
        if "non_finite" in result:
            raise NonFiniteError(result["non_finite"])
        on_step(job.num_steps)
        losses: Losses = result["losses"]
        return losses

    def _move(self, job: TrainingJob, reason: str) -> None:
        """Report that a worker's node is draining. Raises StoppedError if it was another reason to stop."""
        leaving_nodes(max_age_s=0)  # our own node may have begun to drain in this moment
        if job.stop is None or job.stop.is_made():
            raise StoppedError(reason)
        self._warn(f"the node of a training worker is draining; {_describe_restart(job)}")

    def _attempt(self, folder: Path, reference: ray.ObjectRef[Any], on_step: OnStep, on_measured: OnMeasured) -> None:
        cluster, measured = self._cluster, MeasurementFile(folder / _MEASURED)
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
        asked = f"{cluster.train_workers} training workers, {each(cluster, cluster.threads)}"
        wait_limit = WaitLimit(cluster, asked, self._warn)
        done = 0
        with ThreadPoolExecutor(max_workers=1) as thread:
            running = thread.submit(with_few_callbacks(trainer).fit)
            while not wait([running], timeout=POLL_S).done:
                place = read_place(_heartbeat_path(folder, 0))
                if place is None:
                    wait_limit.notify()
                elif place.done > done:
                    on_step(done := place.done)
                    measured.forward(on_measured)
            measured.forward(on_measured)
            try:
                running.result()
            except ControllerError:
                wait_limit.check()  # Train waits for the same time
                raise


def _read_failures(failures: Mapping[int, Exception]) -> tuple[Sequence[int], str]:
    """(ranks that died, "") or ((), what happened). Raises the failure if it is a RipuError."""
    for error in failures.values():
        if isinstance(error, RipuError):
            raise error
    # The death of one worker breaks the connections of the others: their errors are consequences.
    dead = [rank for rank, error in failures.items() if _is_death(error)]
    if dead:
        return dead, ""
    return (), f"failed ({first_line(next(iter(failures.values())))})"


def _is_death(error: Exception) -> bool:
    return isinstance(getattr(error, "health_check_failure", None), RayActorError)


def _places(folder: Path, ranks: Iterable[int]) -> list[Place]:
    return [place for rank in ranks if (place := read_place(_heartbeat_path(folder, rank)))]


def _describe_restart(job: TrainingJob) -> str:
    partial = load_partial(job, identify(job))
    return f"another group resumes after {partial.state.step - job.first_step if partial else 0}"


def _heartbeat_path(folder: Path, rank: int) -> Path:
    return folder / f"rank-{rank}.json"


def _interface_variables(interface: str | None) -> dict[str, str]:
    return {name: interface for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME") if interface}


def _data_parallel(step: TrainingStep) -> nn.Module:
    """The step for a group of workers. A worker alone needs no group, and its step may become a CUDA graph."""
    if num_workers() == 1:
        return step
    return DistributedDataParallel(step, find_unused_parameters=step.network.may_idle)


def _work(config: dict[str, Any]) -> None:
    (reference,) = config["job"]
    job: TrainingJob = ray.get(reference)
    folder: Path = config["folder"]
    device = str(ray.train.torch.get_device())
    result: dict[str, Any]
    try:
        measured = MeasurementFile(folder / _MEASURED)
        with closing(measured), Heartbeat(_heartbeat_path(folder, worker_rank()), this_node()) as heartbeat:
            domains = heartbeat.watch(open_domains(job.config.data, job.config.opens_source))
            losses = train(
                job,
                domains,
                device,
                heartbeat.count,
                measured.add,
                heartbeat.compute,
                wrap=_data_parallel,
            )
        result = {"losses": losses}
    except NonFiniteError as error:
        # All workers compute the same global losses, so all of them stop here, and a retry would too.
        result = {"non_finite": str(error)}
    except StoppedError as error:
        result = {"stopped": str(error)}
    if worker_rank() == 0:
        replace_json(folder / "outcome.json", result)
