"""Steps that are taken, and whose losses are read from the GPU while it computes the next step."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ripu_ray.training.batches import Batches


@dataclass(frozen=True)
class _Taken:
    step: int
    batches: Batches
    names: tuple[str, ...]
    values_L: Tensor
    arrived: torch.cuda.Event | None


class TakenSteps:
    """Finishes steps in order; on a GPU, each one when the next is queued, so that the GPU does not wait.

    Args:
        finish: receives a step, its batches, and the mean of each of its losses.
    """

    def __init__(self, finish: Callable[[int, Batches, dict[str, float]], None]) -> None:
        self._finish = finish
        self._waiting: deque[_Taken] = deque()

    def add(self, step: int, batches: Batches, means: Mapping[str, Tensor]) -> None:
        """Add a step whose operations are queued."""
        values_L, arrived = torch.stack(list(means.values())), None
        if values_L.is_cuda:
            on_gpu_L, arrived = values_L, torch.cuda.Event()  # type: ignore[no-untyped-call]
            values_L = torch.empty_like(on_gpu_L, device="cpu", pin_memory=True).copy_(on_gpu_L, non_blocking=True)
            arrived.record()
        self._waiting.append(_Taken(step, batches, tuple(means), values_L, arrived))
        self._finish_all_but(1 if arrived else 0)

    def flush(self) -> None:
        """Finish all steps."""
        self._finish_all_but(0)

    def _finish_all_but(self, count: int) -> None:
        while len(self._waiting) > count:
            taken = self._waiting.popleft()
            if taken.arrived:
                taken.arrived.synchronize()
            values = dict(zip(taken.names, taken.values_L.tolist(), strict=True))
            self._finish(taken.step, taken.batches, values)
