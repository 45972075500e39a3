"""A network of a plug-in that fails in the middle of a run."""

import re
from pathlib import Path

import pytest
import torch

import ripu_ray
from ripu_ray.config import load_config
from ripu_ray.distributed.sweeping import run_sweep
from ripu_ray.runs.environment import add_environment
from ripu_ray.runs.event_log import Progress
from ripu_ray.runs.run_folder import RunFolder
from tests.conftest import TINY
from tests.running import committed, ignore, run_alone

NETWORK = """
from torch import nn

calls = dict.fromkeys((True, False), 0)

class Own(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.layer = nn.Conv2d(3, num_classes, 1)

    def forward(self, images):
        calls[self.training] += 1
        if calls[{training}] > {count}:
            {fault}
        return self.layer(images)

def build(num_classes):
    return Own(num_classes)
"""


FAULT = 'raise ValueError("a fault\\nin two lines")'


def _run(folder: Path, training: bool, count: int, *more: str, fault: str = FAULT, name: str = "own") -> RunFolder:
    (folder / f"{name}.py").write_text(NETWORK.format(training=training, count=count, fault=fault))
    settings = [*(setting for setting in TINY if "width" not in setting), f"model.factory={name}:build", *more]
    return RunFolder.create(folder / "run", load_config(None, settings))


@pytest.fixture(autouse=True)
def _in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ripu_ray.config.plugins._loaded", {})


@pytest.mark.parametrize(
    ("training", "count", "rounds"),
    [(True, 1, 0), (False, 2, 0), (False, 3, 1), (False, 8, 1)],
    ids=["a step of the warm-up", "its evaluation", "scores", "the evaluation of a round"],
)
def test_its_file_and_line_are_named(training: bool, count: int, rounds: int, tmp_path: Path) -> None:
    run = _run(tmp_path, training, count, "cluster.scorers=0")
    assert list(run_alone(run, ignore).values()) == [f"{tmp_path}/own.py, line 14: ValueError: a fault"]
    assert [run.is_done(key) for key in run.warmups] == [bool(rounds)]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages."""
    (folder := tmp_path / "site-packages").mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def test_so_are_those_of_an_installed_package(installed: Path) -> None:
    run = _run(installed, True, 1, "cluster.scorers=0", name="installed_networks")
    assert list(run_alone(run, ignore).values()) == [f"{installed}/installed_networks.py, line 14: ValueError: a fault"]


def test_a_changed_source_of_an_installed_package_is_said_when_the_run_is_resumed(installed: Path) -> None:
    run = _run(installed, True, 1, name="changed_networks")
    assert add_environment(run.path, run.trials.values()) == ""
    file = installed / "changed_networks.py"
    file.write_text(file.read_text().replace("a fault", "another"))
    changes = add_environment(run.path, run.trials.values())
    assert re.fullmatch(r"changed_networks \(sources\) \w{10} -> \w{10}", changes)
    assert add_environment(run.path, run.trials.values()) == ""


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("raise SystemExit(0)", "{folder}/own.py, line 14: SystemExit: 0"),
        # Only the backward pass fails, in no line of the network.
        (
            "return self.layer(images).detach()",
            "{package}/training/phase.py, line ...: RuntimeError: element 0 of tensors",
        ),
    ],
)
def test_what_else_may_end_a_step_is_a_line_too(fault: str, says: str, tmp_path: Path) -> None:
    (failure,) = run_alone(_run(tmp_path, True, 1, "cluster.scorers=0", fault=fault), ignore).values()
    expected = says.format(folder=tmp_path, package=Path(ripu_ray.__file__).parent)
    assert re.sub(r"(phase.py, line )\d+", r"\1...", failure).startswith(expected)


def test_random_numbers_of_a_network_depend_on_the_image_and_not_on_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = "return self.layer(nn.functional.dropout(images))"  # as Monte-Carlo dropout has it
    runs = []

    def draw(progress: Progress) -> None:
        torch.rand(5)

    for name, observe in (("plain", ignore), ("other", draw)):
        (folder := tmp_path / name).mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setattr("ripu_ray.config.plugins._loaded", {})  # the same name in another folder
        runs.append(_run(folder, False, 0, "cluster.scorers=0", fault=fault))
        assert run_alone(runs[-1], observe) == {}
    plain, other = map(committed, runs)
    assert plain == other


LESS = "smaller images, training.source_batch or training.target_batch need less"


@pytest.mark.parametrize(
    "fault",
    [
        "images.new_empty(10**15)",
        "import numpy; numpy.empty(10**15)",
        "raise __import__('torch').OutOfMemoryError('no GB')",
    ],
)
def test_a_lack_of_memory_says_what_needs_less(fault: str, tmp_path: Path) -> None:
    (failure,) = run_alone(_run(tmp_path, True, 1, "cluster.scorers=0", fault=fault), ignore).values()
    assert failure.startswith(f"out of memory: {LESS} (")
    assert any(text in failure for text in ("4000000000000000 bytes", "7.11 PiB", "no GB"))


def test_a_lack_of_memory_outside_of_the_network_is_a_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_memory(*arguments: object) -> None:
        try:
            torch.empty(10**15)
        finally:
            raise RuntimeError("the recording of a graph has failed")

    monkeypatch.setattr("ripu_ray.training.phase._build", without_memory)
    run = RunFolder.create(tmp_path / "run", load_config(None, (*TINY, "cluster.scorers=0")))
    (failure,) = run_alone(run, ignore).values()
    assert failure.startswith(f"out of memory: {LESS} (")
    assert "4000000000000000 bytes" in failure


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cpus")
def test_a_trial_that_raises_the_first_time_and_is_given_up_says_why(tmp_path: Path) -> None:
    run = _run(tmp_path, False, 2, "cluster.scorers=1", "cluster.max_failures=0")
    assert list(run_sweep(run, ignore).values()) == [f"{tmp_path}/own.py, line 14: ValueError: a fault"]


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cpus")
@pytest.mark.parametrize("where", ["cluster.scorers=1", "cluster.train_workers=1"])
def test_its_file_and_line_are_named_from_other_processes(where: str, tmp_path: Path) -> None:
    run = _run(tmp_path, "workers" in where, 2, where, "cluster.max_failures=1")
    reports: list[Progress] = []
    (failure,) = run_sweep(run, reports.append).values()
    fault = f"{tmp_path}/own.py, line 14: ValueError: a fault"
    (note,) = [report.note for report in reports if fault in report.note]
    if "workers" in where:
        assert failure.startswith(f"warm-up: a training worker failed ({fault}), 2 times without getting further")
        assert note.startswith(f"a training worker failed ({fault}) after 2 of 3 steps")
    else:
        assert failure == fault
        assert note == f"the trial failed ({fault}); it is restarted from its folder"
