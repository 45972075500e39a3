"""Check that every node of a cluster can read the run folder, the data and the initial weights.

Otherwise a missing mount would fail a trial on that node hours later.
"""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from pyarrow.fs import FSSpecHandler, PyFileSystem
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ripu_ray.config import Config, DatasetSection
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import ClusterError, DataError, RunFolderError
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.storage.files import replace_text
from ripu_ray.storage.remote import RemotePath

_TIMEOUT_S = 60.0
"""Timeout of the check; every node starts a process for it."""


def check_storage(run: RunFolder) -> None:
    """Check that each node sees a file written here and can read the first images. Does nothing with one node.

    Nodes that join later, such as those of an autoscaler, are not checked.

    Raises:
        RunFolderError: a node does not see the run folder. All messages name the node.
        DataError: a node cannot read the data or the initial weights.
        ClusterError: a node does not answer.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    if len(nodes) < 2:
        return
    # Named as a temporary file, so that the next start removes it if this process is killed here.
    marker = run.path / f".seen.{os.getpid()}-{secrets.token_hex(4)}.part"
    configs = [trial.config for trial in run.trials.values()]
    data = {(config.data, config.opens_source) for config in configs}
    replace_text(marker, "every node should see this\n")
    try:
        asked = [
            _look.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            ).remote(marker, list(data), _weights(configs))
            for node in nodes
        ]
        for node, answer in zip(nodes, _answers(asked), strict=True):
            name = f"node {node['NodeManagerAddress']} ({node['NodeID'][:8]})"
            if isinstance(answer, RayError):
                reason = str(answer).strip().splitlines()[-1] if str(answer).strip() else type(answer).__name__
                raise ClusterError(f"{name}: cannot look at the run folder ({reason})")
            sees_run, fault = answer
            if not sees_run:
                raise RunFolderError(f"{name}: does not see {run.path}, the run folder, which every node has to see")
            if fault:
                raise DataError(f"{name}: {fault}")
    finally:
        marker.unlink(missing_ok=True)


def ray_storage(folder: Path) -> dict[str, Any]:
    """Arguments of `RunConfig` of Ray Tune and Ray Train that place their state in a local or remote folder."""
    if isinstance(folder, RemotePath):
        # Through fsspec, so that the access to a store is configured in one place.
        return {"storage_path": folder.key, "storage_filesystem": PyFileSystem(FSSpecHandler(folder.filesystem))}
    return {"storage_path": str(folder)}


def _answers(asked: Sequence[Any]) -> list[Any]:
    """The result of each task, or the RayError that it raised."""
    ray.wait(list(asked), num_returns=len(asked), timeout=_TIMEOUT_S)
    answers: list[Any] = []
    for reference in asked:
        try:
            answers.append(ray.get(reference, timeout=0))
        except GetTimeoutError:
            ray.cancel(reference, force=True)
            answers.append(GetTimeoutError(f"no answer within {_TIMEOUT_S:g} s"))
        except RayError as error:
            answers.append(error)
    return answers


@ray.remote(num_cpus=0, max_retries=0)
def _look(marker: Path, data: list[tuple[DatasetSection, bool]], weights: list[Path]) -> tuple[bool, str]:
    """Whether this node sees the marker, and the first fault of data and weights, or an empty text."""
    if not marker.exists():
        return False, ""
    for path in weights:
        if not path.exists():
            return True, f"{path}: is missing"
    try:
        for domains in (open_domains(*key) for key in data):
            for images in (domains.source, domains.pool, domains.validation):
                if images.image_ids:
                    images.image(images.image_ids[0])
    except DataError as error:
        return True, str(error)
    return True, ""


def _weights(configs: Sequence[Config]) -> list[Path]:
    """Local files of initial weights; each node downloads URLs itself."""
    named = {path for config in configs for path in (config.model.init_from, config.model.backbone_weights)}
    return sorted(path for path in named if isinstance(path, Path))
