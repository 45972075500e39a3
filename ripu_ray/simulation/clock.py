"""How long the phases of a stage take, and how fast it trains."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from ripu_ray.training.job import SPEED, Measurement


class Clock:
    """The times of one stage.

    Attributes:
        seconds: phase -> seconds.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._measured: list[Measurement] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the duration of the block to a phase, unless it raises."""
        start_s = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start_s

    def add(self, measured: Measurement) -> None:
        """Add a measurement of training."""
        self._measured.append(measured)

    def speed(self) -> dict[str, float]:
        """The median of each number of SPEED over the measurements. A number without a measurement is left out."""
        values = {name: [each.numbers[name] for each in self._measured if name in each.numbers] for name in SPEED}
        return {name: median(found) for name, found in values.items() if found}
