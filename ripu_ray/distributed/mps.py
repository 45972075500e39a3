"""NVIDIA's Multi-Process Service (MPS): processes that share a GPU compute side by side. Without it they take turns."""

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ripu_ray.config import ClusterConfig

_PROGRAM = "nvidia-cuda-mps-control"
_PIPES, _LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
_PR_SET_PDEATHSIG = 1
"""Of prctl(2)."""


@contextmanager
def mps(cluster: ClusterConfig, folder: Path) -> Iterator[None]:
    """Let the processes of a Ray that is started in the block share a GPU through MPS, if it is installed.

    The service ends with the thread that started it, as that Ray does. A service that the environment names is used,
    and none is started.

    Args:
        cluster: nothing is done unless its `processes_per_gpu` is larger than 1.
        folder: for the sockets and logs of the service; only this user may write to it.
    """
    program = shutil.which(_PROGRAM) if cluster.gpu and cluster.processes_per_gpu > 1 else None
    if not program or _PIPES in os.environ:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {_PIPES: str(folder), _LOGS: str(folder)}
    libc = ctypes.CDLL(None)
    try:
        subprocess.Popen(
            [program, "-f"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
            start_new_session=True,
            env=_environment(),
        )
        yield
    finally:
        del os.environ[_PIPES], os.environ[_LOGS]


def _environment() -> dict[str, str]:
    """Of the service: without numbers of GPUs. It would count those GPUs anew, while its clients keep the numbers."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "").startswith(("GPU-", "MIG-"))
    return {name: value for name, value in os.environ.items() if named or name != "CUDA_VISIBLE_DEVICES"}
