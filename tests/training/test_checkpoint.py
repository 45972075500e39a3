"""The middle of a phase: a broken one ends as an unbroken one, after no more steps than promised, or says why not."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ripu_ray.config import Config, load_config
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import DataError, NonFiniteError, StoppedError
from ripu_ray.models.checkpoints import load_sealed
from ripu_ray.models.networks import build_network
from ripu_ray.runs.event_log import Progress
from ripu_ray.runs.interrupt import StopRequest
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.local import LocalFineTuner
from ripu_ray.training.checkpoint import TrainingState, find_fault, identify, load_partial
from ripu_ray.training.job import TrainingJob
from ripu_ray.training.optimiser import make_optimiser
from tests.conftest import TINY
from tests.running import committed, execute_trial, execute_warmup, ignore, ignore_steps, run_all, run_alone

EVERY, STEPS, START = 3, 8, 3


class _BrokenOff(Exception):  # noqa: N818
    """Stands for whatever ends a process."""


def _config(*more: str) -> Config:
    return load_config(None, (*TINY, "cluster.scorers=0", f"training.checkpoint_every={EVERY}", *more))


def _job(config: Config, folder: Path) -> TrainingJob:
    """A round from a checkpoint, with an optimiser that has a past."""
    start = folder.parent / "start.pt"
    if not start.exists():
        LocalFineTuner(config).fit(TrainingJob(config, 0, START, None, start, "warm-up"), ignore_steps)
        start.with_name("partial.pt").unlink(missing_ok=True)
    annotated = {image_id: np.array([[9, 7]], np.int32) for image_id in open_domains(config.data).pool.image_ids}
    return TrainingJob(config, START, STEPS, start, folder / "weights.pt", "round 0", annotated, "0123")


def _break_off_after(step: int) -> Callable[[int], None]:
    def watch(done: int) -> None:
        if done == step:
            raise _BrokenOff

    return watch


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("training.optimiser=sgd", "training.source_sampling=rarity"),
        ("training.channels_last=true", "training.precision=bfloat16"),
        pytest.param(("training.optimiser=sgd", "training.channels_last=true"), marks=pytest.mark.slow),
        pytest.param(
            ("training.compile=true",),
            marks=[
                pytest.mark.slow,
                # The compiler imports what torch itself deprecates.
                pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
            ],
        ),
    ],
    ids=lambda more: "-".join(setting.partition(".")[2] for setting in more) or "defaults",
)
def test_a_broken_phase_ends_as_an_unbroken_one(tmp_path: Path, more: tuple[str, ...]) -> None:
    config = _config(*more)
    tuner = LocalFineTuner(config)
    whole, broken = _job(config, tmp_path / "whole"), _job(config, tmp_path / "broken")
    expected = tuner.fit(whole, ignore_steps)
    steps: list[int] = []
    # After the fifth step, what is written is the third; after the seventh, the sixth.
    for last in (2, 5, 7):
        with pytest.raises(_BrokenOff):
            tuner.fit(broken, _break_off_after(last))
    assert tuner.fit(broken, steps.append) == expected
    assert steps == [7, 8]
    assert broken.output.read_bytes() == whole.output.read_bytes()


def test_a_phase_that_is_asked_to_stop_repeats_nothing(tmp_path: Path) -> None:
    config = _config("training.checkpoint_every=1000")
    tuner = LocalFineTuner(config)
    expected = tuner.fit(whole := _job(config, tmp_path / "whole"), ignore_steps)
    stop = StopRequest(tmp_path / "stop")
    job = replace(_job(config, tmp_path / "stopped"), stop=stop)
    with pytest.raises(StoppedError):
        tuner.fit(job, lambda done: stop.make() if done == 5 else None)
    stop.withdraw()
    steps: list[int] = []
    assert tuner.fit(job, steps.append) == expected
    assert steps == [7, 8]  # the report of a step follows its question whether to stop
    assert job.output.read_bytes() == whole.output.read_bytes()


@pytest.mark.parametrize("harm", ["torn", "altered", "a wrong checksum", "another phase", "another purchase", "empty"])
def test_a_partial_that_is_damaged_or_of_another_phase_is_never_believed(tmp_path: Path, harm: str) -> None:
    config = _config()
    job = _job(config, tmp_path / "round")
    with pytest.raises(_BrokenOff):
        LocalFineTuner(config).fit(job, _break_off_after(4))
    content = job.partial.read_bytes()
    altered = bytearray(content)
    altered[0 if harm == "a wrong checksum" else len(content) // 2] ^= 1
    if harm in ("torn", "empty"):
        job.partial.write_bytes(content[: len(content) // 2] if harm == "torn" else b"")
    elif harm.startswith("another"):
        job = replace(job, purchase_sha256="4567") if harm == "another purchase" else replace(job, num_steps=STEPS + 1)
    else:
        job.partial.write_bytes(altered)
    fault = find_fault(job)
    assert fault
    assert fault.startswith(f"{job.partial}: ")
    assert ("of another phase" if harm.startswith("another") else "its digest differs") in fault
    with pytest.raises(DataError, match=r"partial\.pt"):
        LocalFineTuner(config).fit(job, ignore_steps)


SUICIDE = """
import os, signal, sys
from pathlib import Path
from tests.running import run_alone
from ripu_ray.runs.run_folder import RunFolder

def watch(progress):
    if (progress.phase, progress.step) == (sys.argv[2], int(sys.argv[3])):
        os.kill(os.getpid(), signal.SIGKILL)

run_alone(RunFolder(Path(sys.argv[1])), watch)
"""


@pytest.mark.slow
def test_a_process_that_is_killed_in_mid_phase_repeats_less_than_an_interval(tmp_path: Path) -> None:
    config = _config("training.warmup_steps=8", "training.round_steps=8")
    whole = run_all(tmp_path / "whole", config)
    run = RunFolder.create(tmp_path / "killed", config)
    # Round 0 follows the warm-up: its steps count from 8.
    done = subprocess.run([sys.executable, "-c", SUICIDE, str(run.path), "train", "15"], check=False)
    assert done.returncode == -signal.SIGKILL
    reports: list[Progress] = []
    (key,), (trial_id,) = run.warmups, run.trials
    execute_warmup(run, key, reports.append)
    execute_trial(run, trial_id, reports.append)
    steps = [report.step for report in reports if report.phase == "train"]
    # The last thing written before step 15 was 14, the sixth of the round.
    assert steps[0] == 15
    assert committed(run) == committed(whole)
    assert not list(run.path.rglob("partial.pt"))


WORKER = """
import sys
from functools import partial
from pathlib import Path
import numpy as np
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from ripu_ray.config import load_config
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import StoppedError
from ripu_ray.training.job import TrainingJob
from ripu_ray.runs.interrupt import StopRequest
from ripu_ray.training.phase import train

rank, folder = int(sys.argv[1]), Path(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
config = load_config(None, sys.argv[3:])
domains, stop = open_domains(config.data), StopRequest(folder / "stop")
annotated = {image_id: np.array([[9, 7]], np.int32) for image_id in domains.pool.image_ids}
wrap = partial(DistributedDataParallel, find_unused_parameters=config.model.name == "factory")

def fit(name, watch):
    job = TrainingJob(config, 0, 8, None, folder / name / "weights.pt", "round 0", annotated, stop=stop)
    return train(job, domains, "cpu", watch, wrap=wrap)

whole = fit("whole", lambda done: None)
steps = []

def ask(done):
    steps.append(done)
    if rank == 0 and done == 5:
        stop.make()

try:
    fit("stopped", ask)
except StoppedError:
    stop.withdraw()
    dist.barrier()  # worker 0 has written what both will read
    assert fit("stopped", steps.append) == whole
print(steps)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        (),
        # Batch norm, whose statistics differ between the workers.
        ("model.factory=tests.models.modules:tiny", "training.teacher=ema", "training.teacher_threshold=0.12"),
    ],
    ids=["plain", "teacher"],
)
def test_workers_stop_at_the_same_step_and_go_on_from_it(tmp_path: Path, more: tuple[str, ...]) -> None:
    settings = (*TINY, "cluster.train_workers=2", "training.checkpoint_every=1000", *more)
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(rank), str(tmp_path), *settings], stdout=subprocess.PIPE)
        for rank in range(2)
    ]
    assert [worker.communicate()[0].decode().strip() for worker in workers] == [str(list(range(1, 9)))] * 2
    stopped, whole = ((tmp_path / name / "weights.pt").read_bytes() for name in ("stopped", "whole"))
    assert stopped == whole


def test_a_damaged_partial_is_named_and_its_phase_starts_again(tmp_path: Path) -> None:
    config = _config("training.warmup_steps=8")
    whole = run_all(tmp_path / "whole", config)
    run = RunFolder.create(tmp_path / "run", config)
    (key,) = run.warmups

    def break_off(progress: Progress) -> None:
        if progress.step == 5:
            raise _BrokenOff

    with pytest.raises(_BrokenOff):
        execute_warmup(run, key, break_off)
    partial = run.warmup(key).partial
    os.truncate(partial, partial.stat().st_size // 2)
    reports: list[Progress] = []
    execute_warmup(run, key, reports.append)
    notes = [report.note for report in reports if report.note]
    assert notes == [f"{partial}: torn or altered (its digest differs); warm-up starts again from its first step"]
    for trial_id in run.trials:
        execute_trial(run, trial_id, ignore)
    assert committed(run) == committed(whole)


def test_how_often_a_phase_is_written_down_makes_no_other_sweep(tmp_path: Path) -> None:
    first = RunFolder.create(tmp_path / "run", _config())
    again = RunFolder.create(tmp_path / "run", _config("training.checkpoint_every=7"))
    assert again.config.training.checkpoint_every == 7
    assert list(first.warmups) == list(again.warmups)
    jobs = [_job(config, tmp_path / "round") for config in (first.config, again.config)]
    assert identify(jobs[0]) == identify(jobs[1])
    assert identify(jobs[0]) != identify(replace(jobs[0], first_step=4))


def test_what_a_kill_between_commit_and_removal_left_is_tidied_up(tmp_path: Path) -> None:
    run = run_all(tmp_path / "run", _config("strategy.rounds=1"))
    (trial_id,) = run.trials
    left = run.trial(trial_id).stage(0).partial
    at_work = run.trial(trial_id).stage(1).partial
    at_work.parent.mkdir()
    for path in (left, at_work):
        path.touch()
    run.tidy()
    assert not left.exists()
    assert at_work.exists()


def test_a_nan_keeps_the_last_good_state_and_the_other_trials_go_on(tmp_path: Path) -> None:
    """So large a step makes weights that are finite, and a loss that is not."""
    settings = (*TINY, "cluster.scorers=0", "training.warmup_steps=0", "training.checkpoint_every=1")
    flags = {"sweep.vary": ["training.learning_rate=1e30,0.003"]}
    run = RunFolder.create(tmp_path / "run", load_config(None, settings, flags))
    failures = run_alone(run, ignore)
    absurd, sound = run.trials
    assert failures.keys() == {absurd}
    assert re.match(r"round 0, step 1: .* is (nan|inf); images source/", failures[absurd])
    assert [run.trial(name).num_committed() for name in (absurd, sound)] == [0, 2]
    stage = run.trial(absurd).stage(0)
    names = ["classes.json", "partial.pt", "purchase.json", "purchase.parquet"]
    assert sorted(path.name for path in stage.path.iterdir()) == names
    state = load_sealed(stage.partial)
    assert state["step"] == 1
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state["network"].values())
    # Again, it fails where it failed.
    assert run_alone(run, ignore) == failures


@pytest.mark.parametrize(("every", "step"), [(1, 0), (1000, 1)])
def test_weights_that_are_not_finite_are_never_written(tmp_path: Path, every: int, step: int) -> None:
    """The loss before the first step is finite, and so large a step makes infinite weights."""
    config = _config(
        "training.optimiser=sgd",
        "training.learning_rate=1e30",
        "training.head_rate_factor=1e6",
        "training.weight_decay=1e6",
        f"training.checkpoint_every={every}",
    )
    job = TrainingJob(config, 0, 4, None, tmp_path / "weights.pt", "warm-up")
    with pytest.raises(NonFiniteError, match=rf"warm-up, step {step}.*images? source/"):
        LocalFineTuner(config).fit(job, ignore_steps)
    assert not list(tmp_path.glob("*.pt"))
    one = replace(job, num_steps=1)
    with pytest.raises(NonFiniteError, match=r"warm-up, step 0, images source/.*: a weight"):
        LocalFineTuner(config).fit(one, ignore_steps)
    assert not list(tmp_path.glob("*.pt"))
    assert load_partial(job, identify(job)) is None


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_the_optimiser_takes_the_layout_of_the_weights_that_it_is_restored_for(tmp_path: Path, optimiser: str) -> None:
    """As fused optimisers need it. A later phase may run where `training.speed: auto` chooses another layout."""
    config = _config(f"training.optimiser={optimiser}")
    pairs = []
    for layout in (torch.channels_last, torch.contiguous_format):
        network = build_network(config.model, 4, seed=0).to(memory_format=layout)  # type: ignore[call-overload]
        pairs.append((network, make_optimiser(network, config.training)))
    (network, first), (fresh, second) = pairs
    network(torch.rand(1, 3, 32, 48)).square().mean().backward()
    first.step()
    TrainingState(network.state_dict(), first.state_dict(), 1).restore(fresh, second, tmp_path / "w.pt")
    for given, restored in zip(network.parameters(), fresh.parameters(), strict=True):
        for name, kept in first.state[given].items():
            assert torch.equal(second.state[restored][name], kept)
            assert kept.dim() == 0 or second.state[restored][name].stride() == restored.stride()
