"""Decoders read images in the process of a trial, too; its heartbeat names them."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import ClassVar, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from ripu_ray.config import Config, DatasetSection, override
from ripu_ray.config.registry import DATASETS, registering
from ripu_ray.data.labels import ClassTable
from ripu_ray.data.loading import Domains, NoImages
from ripu_ray.models.networks import build_network
from ripu_ray.simulation.local import LocalScorer
from ripu_ray.simulation.protocols import ScoreRequest
from ripu_ray.training.checkpoint import TrainingState
from ripu_ray.training.heartbeat import Heartbeat, read_place

begun, goes_on = Event(), Event()


class _Slow:
    """Images of which the second one is read until the test goes on."""

    image_ids: tuple[str, ...] = ("first", "second")

    def image(self, image_id: str) -> NDArray[np.uint8]:
        if image_id == "second":
            begun.set()
            assert goes_on.wait(60)
        return np.zeros((32, 48, 3), np.uint8)

    def label(self, image_id: str) -> NDArray[np.uint8]:
        return np.zeros((32, 48), np.uint8)

    def label_size(self, image_id: str) -> tuple[int, int]:
        return 32, 48


class _SlowData(DatasetSection):
    is_drawn: ClassVar[bool] = True
    dataset: Literal["slow"] = "slow"

    def open(self, with_source: bool = True) -> Domains:
        return Domains(ClassTable(("a", "b"), ((0, 0, 0), (9, 9, 9))), NoImages(), _Slow(), NoImages())


@pytest.fixture
def slow(tiny: Config) -> Iterator[Config]:
    """A trial whose data are slow, with one decoder."""
    with registering("tests"):
        DATASETS.register("slow")(_SlowData)
    yield override(tiny.model_copy(update={"data": _SlowData()}), {"cluster.decoders": 1})
    DATASETS.withdraw("tests")


def test_an_image_that_a_decoder_reads_is_named(slow: Config, tmp_path: Path) -> None:
    """It may be the one that kills the process, and not the image that is scored meanwhile."""
    state = TrainingState(build_network(slow.model, 2, 0).state_dict(), {"state": {}, "param_groups": []}, 0)
    state.save(tmp_path / "weights.pt")
    requests = [ScoreRequest(image_id, np.empty((0, 2), np.int32)) for image_id in _Slow.image_ids]
    with Heartbeat(tmp_path / "at.json", "here") as heartbeat:
        selections = LocalScorer(slow, heartbeat).score(tmp_path / "weights.pt", 0, requests)
        assert next(selections).image_id == "first"
        assert begun.wait(60)
        place = read_place(tmp_path / "at.json")
        assert place and place.reading == ("second",)
        goes_on.set()
        assert [selection.image_id for selection in selections] == ["second"]
