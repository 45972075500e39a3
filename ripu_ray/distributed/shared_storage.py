"""Whether every node of a cluster sees what its work needs: the run folder, the data, the weights to start from.

Storage that one node does not see would otherwise be found by the trial that happens to run there, hours later.
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
"""For an answer of every node, each of which starts a process."""


def check_storage(run: RunFolder) -> None:
    """Let each node look for a file that is written here, and read the first images; with one node, do nothing.

    Nodes that join later, as an autoscaler's do, are not checked.

    Raises:
        RunFolderError: names a node that does not see the run folder.
        DataError: names a node that does not see the data, or the weights to start from.
        ClusterError: names a node that gives no answer.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    if len(nodes) < 2:
        return
    # By the name of a leftover, so that a process which is killed here leaves nothing that stays.
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
    """What `RunConfig` of Ray Tune, and of Ray Train, is told so that it keeps its books in a folder, remote or not."""
    if isinstance(folder, RemotePath):
        # By way of fsspec, too, so that one place knows how a store is reached.
        return {"storage_path": folder.key, "storage_filesystem": PyFileSystem(FSSpecHandler(folder.filesystem))}
    return {"storage_path": str(folder)}


def _answers(asked: Sequence[Any]) -> list[Any]:
    """What each task returned, or the RayError that it ended with."""
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
    """Whether this node sees the marker, and the first fault of the rest, or an empty text."""
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
    """Files that fresh networks start from; what is named by a URL is fetched, not seen."""
    named = {path for config in configs for path in (config.model.init_from, config.model.backbone_weights)}
    return sorted(path for path in named if isinstance(path, Path))
