"""Batches that are drawn ahead: the same ones, in order, no more of them, and at the right time."""

import threading
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import pytest

from ripu_ray.config import Config
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import DataError
from ripu_ray.training.batches import Batches, Draw, drawn_ahead


def recorded(drawn: list[int], fails_at: int = -1) -> Callable[[int], Batches]:
    def draw(step: int) -> Batches:
        if step == fails_at:
            raise DataError(f"step {step}")
        drawn.append(step)
        return None, None

    return draw


@pytest.mark.parametrize("steps", [range(0), range(5, 6), range(3, 9)])
def test_every_step_is_drawn_once_in_order(steps: range) -> None:
    drawn: list[int] = []
    assert [step for step, _ in drawn_ahead(recorded(drawn), steps)] == list(steps)
    assert drawn == list(steps)


def test_a_fault_is_raised_at_its_own_step() -> None:
    taken = []
    with pytest.raises(DataError, match="step 2"):
        for step, _ in drawn_ahead(recorded([], fails_at=2), range(5)):
            taken.append(step)
    assert taken == [0, 1]


def test_the_next_step_is_drawn_while_the_caller_works() -> None:
    second_is_drawn = threading.Event()

    def draw(step: int) -> Batches:
        if step == 1:
            second_is_drawn.set()
        return None, None

    batches = drawn_ahead(draw, range(3))
    assert next(batches)[0] == 0
    assert second_is_drawn.wait(timeout=30)


def test_an_image_of_another_size_is_named(tiny: Config) -> None:
    domains = open_domains(tiny.data)
    draw = Draw(tiny, domains, "cpu", None)
    source, _ = draw(0)
    assert source
    first, *_, odd = dict.fromkeys(source.image_ids)
    images = {image_id: np.zeros((5 + (image_id == odd), 7, 3), np.uint8) for image_id in source.image_ids}
    with (
        patch.object(type(domains.source), "image", lambda self, image_id: images[image_id]),
        pytest.raises(DataError, match=f"source {odd}: image of 6x7, but that of {first} is 5x7"),
    ):
        draw(0)
