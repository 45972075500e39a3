"""Times of phases add up, also over repetitions; the speed of training is a median."""

import pytest

from ripu_ray.simulation.clock import Clock
from ripu_ray.training.job import Measurement


def test_times_add_up_and_speeds_are_medians() -> None:
    clock = Clock()
    for _ in range(2):
        with clock.phase("train"):
            pass
    once = clock.seconds["train"]
    with pytest.raises(ZeroDivisionError), clock.phase("train"):
        _ = 1 / 0
    assert clock.seconds == {"train": once}
    assert once > 0
    assert clock.speed() == {}
    for step, speed in enumerate((1.0, 5.0, 2.0)):
        clock.add(Measurement(step, {"steps_per_s": speed, "loss/total": 1.0}))
    clock.add(Measurement(3, {"peak_share": 0.25}))
    assert clock.speed() == {"steps_per_s": 2.0, "peak_share": 0.25}
