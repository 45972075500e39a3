"""The forward and backward pass of a step as one CUDA graph. The graph is launched as a whole, not kernel by kernel."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, fields
from functools import cache

import torch
from torch import Tensor, nn

from ripu_ray.training.batches import Batch, Batches

Means = dict[str, Tensor]
Backward = Callable[[Batch | None, Batch | None], Means]
"""Computes the gradients of a step from its batches, which are on the device, and returns the mean of each loss."""

_NUM_EAGER = 3
"""Steps of each shape that are not recorded: libraries prepare themselves, and torch.compile compiles."""
_MAX_GRAPHS = 4
"""Each graph keeps the memory of a step. Batches of more shapes are computed without a graph."""


@dataclass(frozen=True)
class _Recorded:
    graph: torch.cuda.CUDAGraph
    inputs: Batches
    means: Means
    gradients: list[Tensor | None]


class GraphedBackward:
    """A `Backward` that records another one for each shape of the batches and replays it.

    Args:
        backward: waits for nothing on the GPU, copies nothing to it, and depends on the batches' tensors and the state
            of torch's random generators alone.
        parameters: whose gradients it sets.
    """

    def __init__(self, backward: Backward, parameters: Iterable[nn.Parameter]) -> None:
        self._backward, self._parameters = backward, list(parameters)
        self._seen: Counter[Hashable] = Counter()
        self._recorded: dict[Hashable, _Recorded] = {}
        self._stream = _side_stream(torch.cuda.current_device())

    def __call__(self, source: Batch | None, target: Batch | None) -> Means:
        """See `Backward`. The means are overwritten by the next step."""
        key = tuple(tuple(tensor.shape for tensor in _tensors(batch)) for batch in (source, target))
        self._seen[key] += 1
        recorded = self._recorded.get(key)
        if recorded is None:
            if self._seen[key] <= _NUM_EAGER or len(self._recorded) == _MAX_GRAPHS:
                return self._beside(source, target)
            recorded = self._recorded[key] = self._record(source, target)
        for own, given in zip(recorded.inputs, (source, target), strict=True):
            for held, tensor in zip(_tensors(own), _tensors(given), strict=True):
                held.copy_(tensor)
        for parameter, gradient in zip(self._parameters, recorded.gradients, strict=True):
            parameter.grad = gradient
        recorded.graph.replay()
        return recorded.means

    def _beside(self, source: Batch | None, target: Batch | None) -> Means:
        """On the stream on which graphs are recorded, as torch asks for."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            means = self._backward(source, target)
        torch.cuda.current_stream().wait_stream(self._stream)
        return means

    def _record(self, source: Batch | None, target: Batch | None) -> _Recorded:
        graph = torch.cuda.CUDAGraph()
        # Other threads copy the next batches to pinned memory meanwhile.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            means = self._backward(source, target)
        return _Recorded(graph, (source, target), means, [parameter.grad for parameter in self._parameters])


@cache
def _side_stream(device: int) -> torch.cuda.Stream:
    """One for all phases of this process: torch keeps memory for each stream."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _tensors(batch: Batch | None) -> list[Tensor]:
    values = [getattr(batch, field.name) for field in fields(batch)] if batch else []
    return [value for value in values if isinstance(value, Tensor)]
