"""An estimate of a sweep's duration from a few timed steps and images, without weights, within a time limit."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.modules.module import register_module_forward_pre_hook

from ripu_ray.config import Config, override
from ripu_ray.data.images import ImageSet
from ripu_ray.data.loading import Domains, open_domains
from ripu_ray.errors import RipuError, first_line
from ripu_ray.runs.grid import Trial, shared_warmups
from ripu_ray.simulation.local import local_device
from ripu_ray.simulation.protocols import ScoreRequest
from ripu_ray.simulation.scoring import ImageScorer
from ripu_ray.training.job import TrainingJob
from ripu_ray.training.phase import train

LIMIT_S = 10.0
"""Time limit of all timed steps."""
_TIMED = 2
"""Timed steps and images of each kind; one before them is not timed."""
_PLAIN = {
    # What reads or computes much before the first step, or writes files.
    "training.source_sampling": "uniform",
    "training.compile": False,
    "training.speed": "set",  # auto would compile, too
    "training.checkpoint_every": 1_000_000,
    "training.ramp_steps": 0,
    "oracle.kind": "simulated",
    "tracking.log_every": 0,
}


class _OutOfTimeError(Exception):
    """The time limit has passed."""


class _EnoughError(Exception):
    """All steps are timed."""


def estimate_seconds(trials: Sequence[Trial]) -> float | str:
    """The duration of a sweep in this process, one trial after the other, in seconds; or one line why it is unknown.

    Steps of a warm-up and of a round, scoring and evaluation are timed for the first trial that buys; all other trials
    are assumed to be like it. Networks have random weights. The first step and image, which are slower, are not
    counted.

    Args:
        trials: of the sweep, not empty, with data and settings that were checked.
    """
    trial = next((trial for trial in trials if not trial.config.strategy.is_reference), trials[0])
    try:
        with _limited():
            config = override(trial.config, _PLAIN)
            domains = open_domains(config.data, config.opens_source)
            step_s, image_s = _time(config, domains)
    except _OutOfTimeError:
        return f"a few steps take more than {LIMIT_S:.0f} s"
    except (RipuError, OSError, RuntimeError) as error:
        return first_line(error)
    warmups = shared_warmups(trials)
    rounds = [each.config.strategy.rounds for each in trials]
    scored = [each.config.strategy.rounds for each in trials if not each.config.strategy.is_reference]
    return (
        sum(config.training.warmup_steps for config in warmups) * step_s["source"]
        + sum(each.config.num_round_steps() for each in trials) * step_s["both"]
        + sum(scored) * len(domains.pool.image_ids) * image_s["score"]
        + (len(warmups) + sum(rounds)) * len(domains.validation.image_ids) * image_s["evaluate"]
    )


def _time(config: Config, domains: Domains) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of a step on the source alone and on both domains, and of an image that is scored and evaluated."""
    device = local_device(config)
    centre = np.full((1, 2), config.strategy.window // 2, np.int32)
    annotated = dict.fromkeys(domains.pool.image_ids, centre)
    step_s = {"both": _step_seconds(config, domains, device, annotated)}
    step_s["source"] = _step_seconds(config, domains, device, None) if config.training.warmup_steps else 0.0
    scorer, nothing = ImageScorer(config, device), np.zeros((0, 2), np.int32)
    image_s = {"evaluate": _image_seconds(lambda name: scorer.evaluate([name]), domains.validation), "score": 0.0}
    if not config.strategy.is_reference:  # a sweep of references alone scores nothing
        image_s["score"] = _image_seconds(lambda name: scorer.score(0, ScoreRequest(name, nothing)), domains.pool)
    return step_s, image_s


def _step_seconds(
    config: Config, domains: Domains, device: str, annotated: Mapping[str, NDArray[np.int32]] | None
) -> float:
    ends: list[float] = []

    def note(done: int) -> None:
        ends.append(time.perf_counter())
        if done > _TIMED:
            raise _EnoughError

    with tempfile.TemporaryDirectory(prefix="ripu-time-") as folder, suppress(_EnoughError):
        train(TrainingJob(config, 0, 1000, None, Path(folder) / "w.pt", "timing", annotated), domains, device, note)
    return (ends[-1] - ends[0]) / _TIMED


def _image_seconds(process: Callable[[str], object], images: ImageSet) -> float:
    """Mean over a few images; 0 if there are none."""
    spent_s = []
    for image_id in images.image_ids[: _TIMED + 1]:
        start_s = time.perf_counter()
        process(image_id)
        spent_s.append(time.perf_counter() - start_s)
    return float(np.mean(spent_s[1:] or spent_s or [0.0]))


@contextmanager
def _limited() -> Iterator[None]:
    """Raise _OutOfTimeError in the first layer that is computed after the limit; leave torch as it was."""
    end_s, num_threads = time.monotonic() + LIMIT_S, torch.get_num_threads()

    def check(module: torch.nn.Module, inputs: object) -> None:
        if time.monotonic() > end_s:
            raise _OutOfTimeError

    hook = register_module_forward_pre_hook(check)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        hook.remove()
        torch.set_num_threads(num_threads)
