"""Versions, GPUs and Ray of this machine, for bug reports."""

import os
import platform
import sys

from ripu_ray.errors import first_line
from ripu_ray.runs.versions import TESTED, describe, installed


def versions() -> tuple[str, ...]:
    """One line each: the versions that matter, those that differ from the tested ones, GPUs, and the Ray found."""
    return (
        f"ripu {installed('ripu-ray')}",
        f"python {sys.version.split()[0]}, {platform.platform()}, {os.cpu_count()} CPUs",
        *map(describe, TESTED),
        f"GPU: {_gpus()}",
        f"Ray: {_running_ray()}",
    )


def _gpus() -> str:
    try:
        import torch

        names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    except Exception as error:  # noqa: BLE001 (a broken driver is what a bug report is about)
        return f"torch cannot be asked ({first_line(error)})"
    built_for = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU"
    return f"{', '.join(names) or 'none'} (torch for {built_for})"


def _running_ray() -> str:
    try:
        from ripu_ray.distributed.ray_internals import running_address

        return f"running at {running_address()}"
    except ConnectionError:
        return "none is running on this machine; RAY_ADDRESS is " + os.environ.get("RAY_ADDRESS", "not set")
    except Exception as error:  # noqa: BLE001 (as above)
        return f"cannot be asked ({first_line(error)})"
