"""Steps whose losses are read from the GPU while it already computes the next step."""

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

    Attributes:
        is_stopped: whether a worker was to stop at a step that is finished. All workers know it after the same step.
    """

    def __init__(self, finish: Callable[[int, Batches, dict[str, float]], None]) -> None:
        self.is_stopped = False
        self._finish = finish
        self._waiting: deque[_Taken] = deque()

    def add(self, step: int, batches: Batches, means: Mapping[str, Tensor], num_stopping: Tensor) -> None:
        """Add a step whose operations are queued. `num_stopping`: see `training.workers.count_workers`."""
        values_L, arrived = torch.stack([*means.values(), num_stopping]), None
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
            *values, num_stopping = taken.values_L.tolist()
            self._finish(taken.step, taken.batches, dict(zip(taken.names, values, strict=True)))
            self.is_stopped = self.is_stopped or num_stopping > 0
