"""On a GPU: training and scoring run there, by turns or side by side, and buy exactly what the budget allows."""

from pathlib import Path

import pytest
import torch

from ripu_ray.config import Config, load_config
from ripu_ray.distributed.sweeping import run_sweep
from ripu_ray.reporting.results import collect
from ripu_ray.runs.record import Losses
from ripu_ray.runs.run_folder import RunFolder
from tests.conftest import TINY
from tests.running import ignore, trained

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def losses_of(*settings: str, folder: Path) -> Losses:
    return trained(load_config(None, (*TINY, "cluster.scorers=0", *settings)), folder / "weights.pt")[1]


@pytest.mark.parametrize(
    ("settings", "rel"),
    [
        ((), 0.01),
        (("training.precision=bfloat16", "training.channels_last=true"), 0.05),
        (("training.precision=bfloat16", "training.channels_last=true", "training.compile=true"), 0.05),
    ],
)
def test_the_losses_are_nearly_those_of_the_cpu(tmp_path: Path, settings: tuple[str, ...], rel: float) -> None:
    expected = losses_of(folder=tmp_path)
    assert losses_of("cluster.gpu=true", *settings, folder=tmp_path) == pytest.approx(expected, rel=rel)


def finished(folder: Path, *settings: str) -> list[float]:
    """The spent shares of a sweep of four trials."""
    config: Config = load_config(None, (*TINY, "cluster.gpu=true", *settings), {"sweep.seeds": [0, 1, 2, 3]})
    run = RunFolder.create(folder, config)
    assert run_sweep(run, ignore) == {}
    results = collect(run)
    last = results[results["round"] == config.strategy.rounds - 1]
    assert len(last) == len(run.trials)
    assert last["miou"].notna().all()
    return list(last["spent_share"])


def test_scorers_and_train_workers_take_turns(ray_cpus: int, tmp_path: Path) -> None:
    shares = finished(tmp_path / "run", "cluster.scorers=auto", "cluster.train_workers=1")
    assert all(0.046 < share <= 0.05 for share in shares)


def test_trials_share_it(ray_cpus: int, tmp_path: Path) -> None:
    shares = finished(tmp_path / "run", "cluster.scorers=0", "cluster.processes_per_gpu=4")
    assert all(0.046 < share <= 0.05 for share in shares)
