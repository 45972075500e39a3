"""What is measured while a network trains: losses, speed, waiting time and memory, every `tracking.log_every` steps."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import torch

from ripu_ray.config import Config
from ripu_ray.models.protocol import Network
from ripu_ray.storage.files import append_line
from ripu_ray.storage.remote import RemotePath
from ripu_ray.training.batches import Batches
from ripu_ray.training.job import Measurement, OnMeasured
from ripu_ray.training.optimiser import learning_rate
from ripu_ray.training.peak import images_at_peak
from ripu_ray.training.workers import num_workers, worker_rank

_STORE_INTERVAL_S = 30.0
"""Shortest interval of writes to a remote file, which rewrite it."""
_GIB = 2.0**30
T = TypeVar("T")


class Meter:
    """Measures the steps of a phase. Reports come from worker 0; a step without a report costs two readings of a clock.

    Args:
        config: of the trial; reports come at the multiples of `tracking.log_every`, counted from the start of the
            warm-up.
        device: of the training.
        network: in training, on its device.
        sums: sum of each loss over the phase so far; read at each report.
        report: receives the reports.
    """

    def __init__(
        self, config: Config, device: str, network: Network, sums: Mapping[str, float], report: OnMeasured
    ) -> None:
        self._config, self._device, self._sums, self._report = config, device, sums, report
        self._network, self._at_peak = network, -1.0
        self._every = config.tracking.log_every if worker_rank() == 0 else 0
        self._waited_s, self._memory = 0.0, 0
        self._forget_memory()
        self._begin()

    def waits(self, batches: Iterable[T]) -> Iterator[T]:
        """Yield from `batches`, and measure how long each one is waited for."""
        iterator, start_s = iter(batches), time.perf_counter()
        for batch in iterator:
            self._waited_s += time.perf_counter() - start_s
            yield batch
            start_s = time.perf_counter()

    def count(self, step: int, batches: Batches) -> None:
        """Count a step and report if it is due; `step` is the number of completed steps since the warm-up began."""
        training, (source, target) = self._config.training, batches
        self._steps += 1
        self._images += training.source_batch * bool(source) + training.target_batch * bool(target)
        if not self._every or step % self._every:
            return
        elapsed_s = time.perf_counter() - self._start_s
        losses = {name: (value - self._before.get(name, 0.0)) / self._steps for name, value in self._sums.items()}
        numbers = {
            **{f"loss/{name}": value for name, value in losses.items()},
            "learning_rate": learning_rate(self._config, step - 1),
            "steps_per_s": self._steps / elapsed_s,
            "images_per_s": self._images / elapsed_s,
            "data_wait_share": min(1.0, self._waited_s / elapsed_s),
        }
        if self._device.startswith("cuda"):
            # A CUDA graph allocates its memory once.
            self._memory = max(self._memory, torch.cuda.max_memory_allocated(self._device))
            numbers["gpu_memory_gib"] = self._memory / _GIB
            numbers |= self._peak_share(batches, numbers["images_per_s"])
        self._report(Measurement(step, numbers))
        self._begin()

    def _peak_share(self, batches: Batches, images_per_s: float) -> dict[str, float]:
        if self._at_peak < 0:  # measured once, between the times that are reported
            _, height, width, _ = next(batch for batch in batches if batch).images_BHW3.shape
            self._at_peak = images_at_peak(self._network, self._config.training, height, width)
            self._forget_memory()
        return {"peak_share": images_per_s / (num_workers() * self._at_peak)} if self._at_peak else {}

    def _forget_memory(self) -> None:
        """Forget the largest memory of earlier phases and trials of this process, or of the measurement of the peak."""
        if self._device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats(self._device)

    def _begin(self) -> None:
        self._start_s, self._before = time.perf_counter(), dict(self._sums)
        self._steps = self._images = 0
        self._waited_s = 0.0


class MeasurementFile:
    """A file through which a training worker passes its measurements to the process of its trial.

    Args:
        path: written by one process; to a remote file every 30 s at most, and on `close`.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lines, self._num_read = path, list[str](), 0
        self._written_s = time.monotonic()

    def add(self, measured: Measurement) -> None:
        """Write a measurement."""
        self._lines.append(json.dumps([measured.step, dict(measured.numbers)]))
        if not isinstance(self._path, RemotePath) or time.monotonic() > self._written_s + _STORE_INTERVAL_S:
            self.close()

    def close(self) -> None:
        """Write what is not written. Raises StorageError."""
        if self._lines:
            append_line(self._path, "\n".join(self._lines))
            self._lines, self._written_s = [], time.monotonic()

    def forward(self, report: OnMeasured) -> None:
        """Report the measurements that were written since the last call."""
        text = self._path.read_bytes()[self._num_read :] if self._path.exists() else b""
        complete = text[: text.rfind(b"\n") + 1]
        self._num_read += len(complete)
        for line in complete.splitlines():
            report(Measurement(*json.loads(line)))
