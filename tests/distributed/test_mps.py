"""NVIDIA's MPS: started for processes that share a GPU, with a program that stands in for NVIDIA's."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ripu_ray.config import load_config
from ripu_ray.distributed.mps import mps


def wait_until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def state(pid: str) -> str:
    """Of a process, as proc(5) abbreviates it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "gone"


def test_it_runs_while_its_ray_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, told = tmp_path / "nvidia-cuda-mps-control", tmp_path / "told"
    program.write_text(
        f'#!/bin/sh\necho "$$ $CUDA_MPS_PIPE_DIRECTORY $* ${{CUDA_VISIBLE_DEVICES:-all}}" > {told}.new\n'
        f"mv {told}.new {told}\nexec sleep 600\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_MPS_PIPE_DIRECTORY", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")  # a client of a service with this setting would have to ask for 0
    seen = list[str]()

    def start(*settings: str) -> None:
        cluster = load_config(None, ["cluster.gpu=true", "cluster.scorers=0", *settings]).cluster
        with mps(cluster, tmp_path / "service"):
            seen.append(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "none"))
            assert "processes_per_gpu" not in str(settings) or wait_until(told.exists)

    start()
    assert seen == ["none"]
    thread = threading.Thread(target=start, args=("cluster.processes_per_gpu=4",))
    thread.start()
    thread.join()
    assert seen[1] == str(tmp_path / "service")
    assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
    pid, folder, option, devices = told.read_text().split()
    assert (folder, option, devices) == (seen[1], "-f", "all")
    assert wait_until(lambda: state(pid) in ("gone", "Z"))
