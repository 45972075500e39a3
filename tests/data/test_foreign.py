"""Data sets of users that do something wrong: one line before a run, which names the image."""

import sys
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from pydantic import Field

from ripu_ray.config import DatasetSection, load_config
from ripu_ray.config.registry import DATASETS, registering
from ripu_ray.data.labels import ClassTable
from ripu_ray.data.loading import Domains, NoImages, open_domains
from ripu_ray.errors import ConfigError, DataError
from ripu_ray.runs.grid import expand
from ripu_ray.simulation.preflight import check_trials

LABEL = np.pad(np.ones((16, 16), np.uint8), 8)
IMAGE = np.zeros((32, 32, 3), np.uint8)
RIGHT: dict[str, Callable[[], Any]] = {
    "made": dict,
    "classes": lambda: ClassTable(("ground", "square"), ((0, 0, 0), (9, 9, 9))),
    "open": lambda: None,
    "image": lambda: IMAGE,
    "label": lambda: LABEL,
    "label_size": lambda: [32, 32],
    "image_ids": lambda: ["a", "folder/b"],
}
returns = dict(RIGHT)
"""What each method of the data set returns; the tests change it."""


class Images:
    def __init__(self) -> None:
        self.image_ids = returns["image_ids"]()

    def image(self, image_id: str) -> Any:
        return returns["image"]()

    def label(self, image_id: str) -> Any:
        return returns["label"]()

    def label_size(self, image_id: str) -> Any:
        return returns["label_size"]()


class Faulty(DatasetSection):
    is_drawn: ClassVar[bool] = True
    dataset: Literal["faulty"] = "faulty"
    folders: list[str] = Field(["a"])  # has no hash
    other: Any = None

    def model_post_init(self, context: Any) -> None:
        self.__dict__.update(returns["made"]())

    def open(self, with_source: bool = True) -> Any:
        source = Images() if with_source else NoImages()
        return returns["open"]() or Domains(returns["classes"](), source, Images(), Images())


@pytest.fixture(autouse=True)
def right() -> Iterator[None]:
    """The data set is registered while a test runs: configurations of other tests would take it to other processes."""
    with registering("tests"):
        DATASETS.register("faulty")(Faulty)
    yield
    DATASETS.withdraw("tests")
    returns.update(RIGHT)


def test_what_is_right_is_taken() -> None:
    domains = open_domains(load_config(None, ["data.dataset=faulty"]).data)
    assert domains.pool.image_ids == ("a", "folder/b")
    assert domains.pool.label_size("a") == (32, 32)
    np.testing.assert_array_equal(domains.pool.label("a"), LABEL)


@pytest.mark.parametrize(
    ("method", "value", "says"),
    [
        ("open", lambda: 1 / 0, "faulty: ZeroDivisionError: division by zero"),
        ("open", lambda: sys.exit(3), "faulty: SystemExit: 3"),
        ("open", lambda: "domains", "faulty: open returned str: expected Domains"),
        ("classes", lambda: ClassTable(("a", "a"), ((0, 0, 0),) * 2), "expected distinct names, found 'a', 'a'$"),
        ("classes", lambda: ClassTable(("a", "b"), ((0, 0, 0),)), "classes: expected a colour for each"),
        ("classes", lambda: ClassTable(("a", "b"), ((0, 0, 0), (0, 0, 256))), "classes: expected a colour for each"),
        ("classes", lambda: ClassTable(("a",), ((0, 0, 0),)), "expected 2 to 255 classes, found 1$"),
        ("image", lambda: 1 / 0, "source: image a: ZeroDivisionError"),
        ("image", lambda: IMAGE / 255, r"source: image a: expected \(h, w, 3\) uint8, found \(32, 32, 3\) float64"),
        ("image", lambda: IMAGE[..., 0], r"image a: expected \(h, w, 3\) uint8, found \(32, 32\) uint8"),
        ("image", lambda: None, "image a: expected .* found NoneType"),
        ("label", lambda: LABEL.astype(int), r"label of a: expected uint8 .* found \(32, 32\) int64"),
        ("label", lambda: LABEL[:20], r"label of a: expected uint8 of its label_size \(32, 32\), found \(20, 32\)"),
        ("label", lambda: 7 * LABEL, r"label of a: label id 7 is outside the classes 0\.\.1 and 255"),
        ("label_size", lambda: None, "label_size of a: TypeError"),
        ("label_size", lambda: (0, 32), "label_size of a: expected"),
        ("image_ids", lambda: None, "image_ids: TypeError"),
        ("image_ids", lambda: [1], "image_ids: expected names .* found 1"),
        ("image_ids", lambda: ["../a"], r"image_ids: expected names .* found '\.\./a'"),
        ("image_ids", lambda: ["a\udc80"], "image_ids: expected names"),
        ("image_ids", lambda: ["a", "a"], "image_ids: 1 of them are there before"),
        ("image_ids", list, "pool: there are no images"),
    ],
)
def test_what_is_wrong_is_named_before_a_run(method: str, value: Callable[[], Any], says: str) -> None:
    returns[method] = value
    with pytest.raises(DataError, match=rf"^data\.dataset .*{says}") as caught:
        check_trials(expand(load_config(None, ["data.dataset=faulty"])))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: [][0], "data.dataset faulty: IndexError: list index out of range"),
        (lambda: {"other": object()}, "data.dataset faulty: .*<class 'object'>"),
    ],
)
def test_a_section_that_cannot_be_made_or_written_is_named(made: Callable[[], Any], says: str) -> None:
    returns["made"] = made
    with pytest.raises(ConfigError, match=says):
        load_config(None, ["data.dataset=faulty"])
