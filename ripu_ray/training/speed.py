"""The settings for speed that were measured to be fastest on a GPU. Source: docs/benchmarks.md."""

import os
import shutil
import sysconfig
from pathlib import Path
from typing import Any

import torch

from ripu_ray.config import Config

_COMPILED = {"precision": "bfloat16", "compile": True, "cuda_graph": True}
_SMALL = {"precision": "bfloat16", "compile": False, "cuda_graph": True, "channels_last": False}
_FASTEST: dict[str, dict[str, Any]] = {
    "deeplabv2": {**_COMPILED, "channels_last": True},
    "deeplabv3plus": {**_COMPILED, "channels_last": False},
    "compact": _SMALL,
    **{f"efficientnet_lite{version}": _SMALL for version in range(3)},
}
"""Of the networks that were measured. Code from outside this package may do what a CUDA graph does not repeat."""
_NOT_COMPILED = {"compile": False, "channels_last": False}
_NO_LIMIT = 10**9


def fastest(config: Config, device: str) -> Config:
    """The configuration, with the fastest settings for its network if `training.speed` is auto and there is a GPU.

    Without a C compiler or Python's headers, the network is not compiled. A GPU that would emulate bfloat16, one older
    than NVIDIA's Ampere, computes in float32.
    """
    if config.training.speed != "auto" or not device.startswith("cuda"):
        return config
    settings = _FASTEST.get(config.model.name, {})
    if settings and not _has_compiler():
        settings = {**settings, **_NOT_COMPILED}
    if settings and not torch.cuda.is_bf16_supported(including_emulation=False):
        settings = {**settings, "precision": "float32"}
    return config.model_copy(update={"training": config.training.model_copy(update=settings)})


def _has_compiler() -> bool:
    """Whether Triton, which torch.compile uses on a GPU, finds a C compiler and Python's headers."""
    has_headers = Path(sysconfig.get_path("include"), "Python.h").is_file()
    return has_headers and bool(os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"))


def compile_without_limit() -> None:
    """Let torch compile for every network, size of images and setting of this process.

    By default, torch compiles a function 8 times and then runs it without compiling. The speed and the last bits of a
    trial would then depend on earlier trials in the same process, or on the sizes before a restart.
    """
    import torch._dynamo  # takes seconds

    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = _NO_LIMIT
