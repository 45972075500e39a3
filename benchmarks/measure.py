"""Common parts of the benchmarks: the image, interleaved timing, and peak memory."""

import ctypes
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor


def correlated_logits(num_classes: int, size: tuple[int, int], seed: int = 0) -> Tensor:
    """(C, h, w) float32: random fields of three scales for each class.

    With 19 classes at 640x1280, resized to 1024x2048, about 5 % of the 3x3 windows have more than one class.
    """
    drawn = torch.Generator().manual_seed(seed)
    logits_CHW = torch.zeros(num_classes, *size)
    for cells, amplitude in ((6, 5.0), (16, 2.0), (64, 0.3)):
        field = torch.randn(1, num_classes, cells, 2 * cells, generator=drawn)
        logits_CHW += amplitude * F.interpolate(field, size=size, mode="bicubic", align_corners=True)[0]
    return logits_CHW


def interleaved(candidates: Mapping[str, Callable[[], object]], repeats: int = 3) -> dict[str, float]:
    """Median seconds of each, run alternately, so that other load on the machine affects all of them."""
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def peak_extra_mb(run: Callable[[], object]) -> float:
    """MB by which the peak of the resident set of this process exceeds its start; for a new process, on Linux.

    Freed memory is first returned to the system; it would hide a part of the peak.
    """
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    before = pages * resource.getpagesize()
    run()
    peak_kb = next(
        int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return (peak_kb * 1024 - before) / 1e6
