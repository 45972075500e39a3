"""A data set of one's own: a section that opens itself, registered by name."""

from typing import Literal

import numpy as np
import pytest
import yaml

from ripu_ray.config import Config, DatasetSection, dump_config, load_config
from ripu_ray.config.fields import Count
from ripu_ray.config.registry import DATASETS
from ripu_ray.data.checking import inspect_domains
from ripu_ray.data.labels import ClassTable
from ripu_ray.data.loading import Domains, NoImages, open_domains
from ripu_ray.errors import ConfigError


class StripeImages:
    def __init__(self, domain: str, count: int, side: int) -> None:
        self.image_ids = tuple(f"{domain}/{number}" for number in range(count))
        self._side = side

    def image(self, image_id: str) -> np.ndarray:
        return np.repeat(self.label(image_id)[..., None] * np.uint8(200), 3, axis=2)

    def label(self, image_id: str) -> np.ndarray:
        return np.tile(np.arange(self._side, dtype=np.uint8) % 2, (self._side, 1))

    def label_size(self, image_id: str) -> tuple[int, int]:
        return self._side, self._side


class StripesData(DatasetSection):
    dataset: Literal["stripes"] = "stripes"
    count: Count = 3
    side: Count = 8

    def open(self, with_source: bool = True) -> Domains:
        source, pool, validation = (StripeImages(name, self.count, self.side) for name in ("a", "b", "c"))
        classes = ClassTable(("dark", "light"), ((0, 0, 0), (255, 255, 255)))
        return Domains(classes, source if with_source else NoImages(), pool, validation)


@pytest.fixture(autouse=True)
def _registered() -> None:
    if "stripes" not in DATASETS.names():
        DATASETS.register("stripes")(StripesData)


def test_a_data_set_of_ones_own_is_opened_through_a_configuration() -> None:
    config = load_config(None, ["data.dataset=stripes", "data.side=16"])
    assert config.data == StripesData(side=16)
    assert Config.model_validate(yaml.safe_load(dump_config(config))) == config
    domains = open_domains(config.data, with_source=False)
    assert (domains.source.image_ids, domains.pool.image_ids) == ((), ("b/0", "b/1", "b/2"))
    reports = inspect_domains(domains, config.data)
    assert [(report.faults, report.pixels_C.tolist()) for report in reports[1:]] == [((), [3 * 128, 3 * 128])] * 2


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            ["data.dataset=strips"],
            "data.dataset: unknown data set 'strips': expected ",
        ),
        (["data.dataset=stripes", "data.shift=1"], "data.shift: unknown key"),
        (["data.dataset=stripes", "data.side=0"], "data.side: expected greater than or equal to 1 (found 0)"),
        (["data=7"], "data: expected keys and values, found int"),
    ],
)
def test_what_is_wrong_gets_one_line(settings: list[str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, settings)
    assert str(caught.value).startswith(says)
