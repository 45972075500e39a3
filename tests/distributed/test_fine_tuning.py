"""Ray Train with real workers: the same losses and gradients as one process."""

import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ripu_ray.config import Config, load_config
from ripu_ray.data.loading import open_domains
from ripu_ray.data.synthetic import images as synthetic
from ripu_ray.distributed import cluster, fine_tuning
from ripu_ray.distributed.fine_tuning import RayFineTuner
from ripu_ray.distributed.process_table import descendants, running
from ripu_ray.errors import ClusterError, NonFiniteError
from ripu_ray.runs.record import Losses
from ripu_ray.simulation.local import LocalFineTuner
from ripu_ray.training import heartbeat
from ripu_ray.training.checkpoint import TrainingState, load_training_state
from ripu_ray.training.job import Measurement, TrainingJob
from ripu_ray.training.workers import worker_rank
from tests.conftest import TINY
from tests.running import ignore_steps, into

pytestmark = pytest.mark.usefixtures("ray_cpus")


def _config(workers: int, *more: str) -> Config:
    return load_config(None, (*TINY, "training.optimiser=sgd", f"cluster.train_workers={workers}", *more))


def _job(config: Config, output: Path) -> TrainingJob:
    # 0, 1 or 2 windows an image: workers see unequal numbers of labelled pixels, one may see none.
    annotated = {
        image_id: np.array([[4 + index, 7], [20, 30]][: index % 3], np.int32).reshape(-1, 2)
        for index, image_id in enumerate(open_domains(config.data).pool.image_ids)
    }
    named = {image_id: np.eye(10, dtype=np.bool_)[[3, 3]][: len(found)] for image_id, found in annotated.items()}
    told = {image_id: named_NC | (np.arange(10) == 5) for image_id, named_NC in named.items()}
    return TrainingJob(
        config,
        3,
        1,
        start=None,
        output=output,
        phase="round 0",
        annotated=annotated,
        named=None if config.answer == "mask" else told,
    )


def _fit(workers: int, folder: Path, *more: str) -> tuple[Losses, TrainingState, Measurement]:
    config = _config(workers, "tracking.log_every=2", *more)
    tuner = RayFineTuner(config, folder / "ray") if workers else LocalFineTuner(config)
    output = folder / f"{workers}.pt"
    found: list[Measurement] = []
    losses = tuner.fit(_job(config, output), ignore_steps, found.append)
    (measured,) = found
    return losses, load_training_state(output), measured


@pytest.mark.parametrize(
    ("workers", "more"),
    [
        (2, ()),
        pytest.param(
            2,
            (
                "training.channels_last=true",
                "oracle.answer=multi_hot",
                "training.ema=0.5",
                "training.clip_norm=0.1",
                "training.freeze=norm",
                "cluster.interface=lo",
            ),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            2,
            ("training.teacher=ema", "training.teacher_threshold=0.1", "training.class_weights=bought"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_losses_and_gradients_are_those_of_one_process(workers: int, more: tuple[str, ...], tmp_path: Path) -> None:
    expected_losses, expected, alone = _fit(0, tmp_path, *more)
    losses, state, measured = _fit(workers, tmp_path, *more)
    assert losses == pytest.approx(expected_losses, rel=1e-5)
    assert state.step == expected.step == 4
    # The measurement of worker 0 arrives in this process, and its losses are those of the whole batch.
    assert (measured.step, measured.numbers.keys()) == (alone.step, alone.numbers.keys()) == (4, alone.numbers.keys())
    assert {name: measured.numbers[f"loss/{name}"] for name in losses} == pytest.approx(losses)
    # After a first step the momentum buffer is the gradient plus the weight decay.
    buffers, expected_buffers = state.optimiser["state"], expected.optimiser["state"]
    assert buffers.keys() == expected_buffers.keys()
    for index, values in expected_buffers.items():
        gradient = values["momentum_buffer"]
        error = (buffers[index]["momentum_buffer"] - gradient).abs().max()
        assert error <= 1e-5 * gradient.abs().max()
    for name, average in (expected.average or {}).items():
        assert state.average is not None
        assert (state.average[name] - average).abs().max() <= 1e-5 * average.abs().max() + 1e-7, name


@pytest.mark.slow
def test_a_module_with_unused_parameters_trains_over_workers(tmp_path: Path) -> None:
    config = _config(2, "model.factory=tests.models.modules:tiny", "training.clip_norm=1")
    job = TrainingJob(config, 0, 3, start=None, output=tmp_path / "w.pt", phase="warm-up")
    RayFineTuner(config, tmp_path / "ray").fit(job, ignore_steps)
    state = load_training_state(job.output)
    assert int(state.network["model.module.1.num_batches_tracked"]) == 3
    assert float(state.network["model.idle"]) == 1


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_all_workers_with_its_place(tmp_path: Path) -> None:
    config = _config(2, "training.learning_rate=1e30")
    job = TrainingJob(config, 0, 3, start=None, output=tmp_path / "w.pt", phase="warm-up")
    with pytest.raises(NonFiniteError, match=r"warm-up, step 1: .* is (nan|inf); images source/"):
        RayFineTuner(config, tmp_path / "ray").fit(job, ignore_steps)
    assert not job.output.exists()


def _in_workers(patch: Callable[[], None]) -> Callable[[dict[str, Any]], None]:
    """What workers run, after `patch` has changed their modules. Local, so that it travels by value."""

    def work(config: dict[str, Any]) -> None:
        patch()
        fine_tuning._work(config)

    return work


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_a_line_and_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, grave = _config(2, "training.checkpoint_every=2"), tmp_path / "grave"
    job = TrainingJob(config, 0, 4, start=None, output=tmp_path / "w.pt", phase="warm-up")

    def patch() -> None:
        class Mortal(heartbeat.Heartbeat):
            def count(self, done: int) -> None:
                super().count(done)
                if worker_rank() == 1 and done == 3 and not grave.exists():
                    grave.touch()
                    os.kill(os.getpid(), signal.SIGKILL)

        fine_tuning.Heartbeat = Mortal  # type: ignore[attr-defined]

    expected = RayFineTuner(config, tmp_path / "ray").fit(replace(job, output=tmp_path / "unbroken.pt"), ignore_steps)
    monkeypatch.setattr(fine_tuning, "_work", _in_workers(patch))
    said: list[str] = []
    steps: list[int] = []
    assert RayFineTuner(config, tmp_path / "ray", into(said)).fit(job, steps.append) == expected
    assert grave.exists()
    assert job.output.read_bytes() == (tmp_path / "unbroken.pt").read_bytes()
    assert steps[-1] == 4
    # On a busy machine, that workers are slow to start is said as well.
    (line,) = (line for line in said if "have waited for" not in line)
    says = r"a training worker on node \S+ \(\w{8}\) died after 3 of 4 steps; another group resumes after 2"
    assert re.fullmatch(says, line)


@pytest.mark.slow
def test_a_controller_that_is_killed_costs_a_line_and_its_cores_are_free_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 3 of 4 cores: the next group fits once those of the first one are free.
    config, grave = _config(1, "training.checkpoint_every=2", "cluster.threads=3"), tmp_path / "grave"
    job = TrainingJob(config, 0, 4, start=None, output=tmp_path / "w.pt", phase="warm-up")

    def patch() -> None:
        class Deadly(heartbeat.Heartbeat):
            def count(self, done: int) -> None:
                super().count(done)
                if done == 3 and not grave.exists():
                    grave.touch()
                    table = running()
                    siblings = descendants(table, {os.getppid()})
                    controllers = [pid for pid in siblings if "TrainController" in _title(pid)]
                    # The newest one: that of the test before may not have ended yet.
                    os.kill(max(controllers, key=lambda pid: table[pid][1]), signal.SIGKILL)
                    Event().wait()  # Ray kills the workers of a dead controller

        fine_tuning.Heartbeat = Deadly  # type: ignore[attr-defined]

    monkeypatch.setattr(fine_tuning, "_work", _in_workers(patch))
    said: list[str] = []
    RayFineTuner(config, tmp_path / "ray", into(said)).fit(job, ignore_steps)
    assert grave.exists()
    assert load_training_state(job.output).step == 4
    (line,) = (line for line in said if "have waited for" not in line)
    assert line == "a training worker lost its controller after 3 of 4 steps; another group resumes after 2"


def _title(pid: int) -> str:
    with suppress(OSError):  # a process that has just ended
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


@pytest.mark.slow
def test_an_image_that_kills_training_workers_is_given_up_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _config(2, "cluster.max_failures=1")
    job = TrainingJob(config, 0, 20, start=None, output=tmp_path / "w.pt", phase="warm-up")

    def patch() -> None:
        class Poisoned(synthetic.SyntheticImages):
            def image(self, image_id: str) -> "NDArray[np.uint8]":
                if image_id == "source/train/00003":
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().image(image_id)

        synthetic.SyntheticImages = Poisoned  # type: ignore[misc]

    monkeypatch.setattr(fine_tuning, "_work", _in_workers(patch))
    says = (
        r"warm-up: a training worker on node .* died, 2 times without getting further, while reading source/train/00003"
    )
    with pytest.raises(ClusterError, match=says):
        RayFineTuner(config, tmp_path / "ray").fit(job, ignore_steps)


@pytest.mark.slow
def test_training_workers_that_cannot_start_say_what_they_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "NOTICE_S", 0.5)
    config = _config(2, "cluster.start_timeout_s=3", "cluster.threads=3")
    said: list[str] = []
    there_is = r"the cluster has 4 CPU \(\S+ free\), 0 GPU \(0 free\)"
    asked = "2 training workers, each of 3 CPU,"
    with pytest.raises(ClusterError, match=rf"{asked} did not start within 3 s; {there_is}"):
        RayFineTuner(config, tmp_path / "ray", into(said)).fit(_job(config, tmp_path / "w.pt"), ignore_steps)
    (line,) = said
    assert re.fullmatch(rf"{asked} have waited for \d+ s; {there_is}", line)


@pytest.mark.slow
def test_workers_need_the_interface_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"round 0: a training worker failed"):
        _fit(2, tmp_path, "cluster.interface=nonesuch", "cluster.max_failures=0")
