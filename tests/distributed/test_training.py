"""Ray Train with real workers: the same losses and gradients as one process."""

from pathlib import Path

import numpy as np
import pytest

from ripu_ray.config import Config, load_config
from ripu_ray.data.loading import open_domains
from ripu_ray.distributed.training import RayFineTuner
from ripu_ray.errors import NonFiniteError
from ripu_ray.simulation.checkpoint import TrainingState, load_training_state
from ripu_ray.simulation.local import LocalFineTuner
from ripu_ray.simulation.protocols import Losses, TrainingJob
from tests.conftest import TINY
from tests.runs import ignore_steps

pytestmark = pytest.mark.usefixtures("ray_cpus")


def _config(workers: int, *more: str) -> Config:
    return load_config(None, (*TINY, "training.optimiser=sgd", f"cluster.train_workers={workers}", *more))


def _job(config: Config, output: Path) -> TrainingJob:
    # 0, 1 or 2 windows an image: workers see unequal numbers of labelled pixels, one may see none.
    annotated = {
        image_id: np.array([[4 + index, 7], [20, 30]][: index % 3], np.int32).reshape(-1, 2)
        for index, image_id in enumerate(open_domains(config.data).pool.image_ids)
    }
    return TrainingJob(config, 3, 1, start=None, output=output, phase="round 0", annotated=annotated)


def _fit(workers: int, folder: Path) -> tuple[Losses, TrainingState]:
    config = _config(workers)
    tuner = RayFineTuner(config, folder / "ray") if workers else LocalFineTuner(config)
    output = folder / f"{workers}.pt"
    return tuner.fit(_job(config, output), ignore_steps), load_training_state(output)


@pytest.mark.parametrize("workers", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_losses_and_gradients_are_those_of_one_process(workers: int, tmp_path: Path) -> None:
    expected_losses, expected = _fit(0, tmp_path)
    losses, state = _fit(workers, tmp_path)
    assert losses == pytest.approx(expected_losses, rel=1e-5)
    assert state.step == expected.step == 4
    # After a first step the momentum buffer is the gradient plus the weight decay.
    buffers, expected_buffers = state.optimiser["state"], expected.optimiser["state"]
    assert buffers.keys() == expected_buffers.keys()
    for index, values in expected_buffers.items():
        gradient = values["momentum_buffer"]
        error = (buffers[index]["momentum_buffer"] - gradient).abs().max()
        assert error <= 1e-5 * gradient.abs().max()


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_all_workers_with_its_place(tmp_path: Path) -> None:
    config = _config(2, "training.learning_rate=1e30")
    job = TrainingJob(config, 0, 3, start=None, output=tmp_path / "w.pt", phase="warm-up")
    with pytest.raises(NonFiniteError, match=r"warm-up, step 1: .* is (nan|inf); images source/"):
        RayFineTuner(config, tmp_path / "ray").fit(job, ignore_steps)
    assert not job.output.exists()
