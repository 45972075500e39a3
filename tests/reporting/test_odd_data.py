"""Reports of data whose names and labels are unusual."""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from ripu_cli.main import app
from typer.testing import CliRunner

from benchmarks.report import make_up
from ripu_ray.config import load_config
from ripu_ray.config.registry import DATASETS, registering
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.loading import Domains
from ripu_ray.data.synthetic.images import SyntheticData, SyntheticImages
from ripu_ray.reporting.bought import bought_table, read_bought
from ripu_ray.reporting.figures import draw_curves
from ripu_ray.reporting.joining import merge
from ripu_ray.reporting.report import render
from ripu_ray.reporting.statistics import outcomes
from ripu_ray.simulation.inspection import class_shares
from tests.conftest import TINY
from tests.running import run_all

NAMES = (
    *("$\\no$ {", "a_b%|c", "<script>alert(1)</script>", "道路", "x" * 80, "_", '"b\' & id="z'),
    *("👍", "url(#q)", "#010203"),
)


class _Unlabelled(SyntheticImages):
    def label(self, image_id: str) -> NDArray[np.uint8]:
        return np.full_like(super().label(image_id), IGNORE_LABEL)


class OddData(SyntheticData):
    """The embedded task with other names of its classes."""

    dataset: Literal["odd"] = "odd"  # type: ignore[assignment]
    is_validated: bool = True

    def open(self, with_source: bool = True) -> Domains:
        domains = super().open(with_source)
        domains = replace(domains, classes=replace(domains.classes, names=NAMES))
        if self.is_validated:
            return domains
        return replace(domains, validation=_Unlabelled("target", "val", self.num_validation, self.size, 0))


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    with registering("tests"):
        DATASETS.register("odd")(OddData)
    yield
    DATASETS.withdraw("tests")


def test_names_of_classes_are_text_in_tables_and_figures(tmp_path: Path) -> None:
    flags = {"sweep.budgets": ["5"], "sweep.acquisitions": ["random", "ripu", "full"], "sweep.seeds": [0, 1]}
    page = render([make_up(tmp_path / "odd", load_config(None, (*TINY, "data.dataset=odd"), flags))])
    assert "<script>alert" not in page
    figures = [html.unescape(text) for text in re.findall(r"<text[^>]*>(.*?)</text>", page, re.S)]
    assert set(NAMES) - set(figures) == set()


def test_without_validation_labels_there_is_a_report_without_numbers(tmp_path: Path) -> None:
    flags = {"sweep.acquisitions": ["random", "full"], "sweep.seeds": [0, 1]}
    settings = (*TINY, "cluster.scorers=0", "data.dataset=odd", "data.is_validated=false")
    run = run_all(tmp_path / "unlabelled", load_config(None, settings, flags))
    page = render([run])
    assert "No finished trial has an mIoU, so nothing is compared" in page
    text = re.sub(r"<script.*?</script>|<pre>.*?</pre>", "", page, flags=re.S)
    assert re.findall(r".{30}\bnan\b.{30}", text) == []
    draw_curves(merge([run])[0])
    compared = CliRunner().invoke(app, ["compare", str(run.path), str(run.path), "--json"])
    assert json.loads(compared.stdout, parse_constant=pytest.fail)["answer"] == "equal in every purchase and every mIoU"
    assert "nan" not in CliRunner().invoke(app, ["compare", str(run.path), str(run.path)]).stdout


def test_what_was_bought_is_compared_with_the_pool_of_its_condition(tmp_path: Path) -> None:
    flags = {"sweep.acquisitions": ["random", "ripu"], "sweep.vary": {"data.num_pool": [1, 5]}}
    run = make_up(tmp_path / "pools", load_config(None, TINY, flags))
    bought = read_bought({"pools": run}, outcomes(merge([run])[0]))
    assert bought is not None
    for trial in run.trials.values():
        pool = bought.pool(f"5 %, data.num_pool {trial.config.data.num_pool}")  # type: ignore[attr-defined]
        assert pool == class_shares(trial.config.data, 200)
    heads = [names for names, _ in bought_table(bought).rows if names[1] == "the pool itself"]
    assert heads == [[f"data.num_pool {count}", "the pool itself"] for count in (1, 5)]
