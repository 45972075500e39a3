"""A run whose first round is asked."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ripu_ray.annotation.asking import AskedTrial, Question, ask
from ripu_ray.config import load_config
from ripu_ray.distributed.parts import ray_parts
from ripu_ray.runs.run_folder import RunFolder
from tests.conftest import TINY
from tests.running import execute_warmup, ignore


@dataclass
class Asked:
    """A run whose first round is asked, and its questions in the first image."""

    run: RunFolder
    questions: list[Question]

    def trial(self) -> AskedTrial:
        return AskedTrial(self.run)


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    config = load_config(None, (*TINY, "cluster.scorers=0", "oracle.kind=human"))
    run = RunFolder.create(tmp_path_factory.mktemp("runs") / "asked", config)
    for key in run.warmups:
        execute_warmup(run, key, ignore)
    yield Asked(run, ask(AskedTrial(run), 0, ignore, ray_parts()))


@pytest.fixture
def asked(first: Asked, tmp_path: Path) -> Asked:
    shutil.copytree(first.run.path, tmp_path / "run")
    return Asked(RunFolder(tmp_path / "run"), first.questions)
