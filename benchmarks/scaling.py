"""Overhead of the driver and of Ray with 1 to 64 scorers on one machine, whose networks take a known time.

Each scorer is an actor in its own process, which `RayScorer` starts and uses as in a run. Only the class of the actor
is replaced: it sleeps for the time of a forward pass, needs no core, and does not import torch, so that 64 processes
need 6 GB. Ray is configured with 64 cores. This measures scheduling and the transport of requests and answers on one
machine, not networks, disks, GPUs, or connections between machines.

`python -m benchmarks.scaling` takes 8 minutes, most of which it sleeps, and prints, at the end,

    figure: scaling_efficiency_64 <images * cost / (64 * seconds), 3,000 images of 50 ms>
    figure: scaling_efficiency_64_100k <the same for 100,000 images>
    figure: scheduling_ms_per_image <with 64 scorers and networks that take no time>
    figure: warmup_saving <share of the steps that 24 trials save by sharing their warm-up>
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.scoring_pool import EMPTY, write_weights
from ripu_ray.config import ClusterConfig, Config, load_config
from ripu_ray.data.loading import open_domains
from ripu_ray.data.synthetic.images import SyntheticData
from ripu_ray.distributed import scorers
from ripu_ray.distributed.cluster import start_ray
from ripu_ray.distributed.scorers import RayScorer
from ripu_ray.runs.event_log import Progress
from ripu_ray.runs.ledger import Ledger
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.runs.selections import PackedSelections, Selection
from ripu_ray.simulation.execution import local_parts, run_alone
from ripu_ray.simulation.protocols import ScoreRequest
from ripu_ray.tracking.group import open_trackers

COST_S = 0.05
CITYSCAPES_REGIONS = 1025
"""Of an image and round: 2.2 % in 5 rounds."""
SMALL, LARGE = 3_000, 100_000
NUM_SCORERS = (1, 8, 64)
REPEATS = 3


def main() -> None:
    """Measure and print."""
    start_ray(ClusterConfig(cpus=max(NUM_SCORERS)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in NUM_SCORERS:
            repeats = REPEATS if number == max(NUM_SCORERS) else 1
            small = efficiency(folder, number, SMALL, CITYSCAPES_REGIONS, COST_S, repeats)
        # A round's ledger of 100,000 images with 1,025 regions each would not fit beside 64 processes.
        large = efficiency(folder, max(NUM_SCORERS), LARGE, 16, COST_S)
        for number in NUM_SCORERS:
            seconds = phase(folder, number, SMALL, CITYSCAPES_REGIONS, 0.0, REPEATS)
            print(f"{number} scorers of no cost: {1e3 * seconds / SMALL:.2f} ms an image")
    with tempfile.TemporaryDirectory() as name:
        saving = warmup_saving(Path(name))
    print(f"figure: scaling_efficiency_64 {small:.3f}")
    print(f"figure: scaling_efficiency_64_100k {large:.3f}")
    print(f"figure: scheduling_ms_per_image {1e3 * seconds / SMALL:.2f}")
    print(f"figure: warmup_saving {saving:.3f}")


def efficiency(folder: Path, num_scorers: int, num_images: int, regions: int, cost_s: float, repeats: int = 1) -> float:
    """Share of the scorers' time that is spent in networks, from the first request to the last answer."""
    seconds = phase(folder, num_scorers, num_images, regions, cost_s, repeats)
    share = num_images * cost_s / (num_scorers * seconds)
    print(f"{num_scorers} scorers, {num_images} images of {1e3 * cost_s:.0f} ms: {seconds:.2f} s, {share:.3f}")
    return share


def phase(folder: Path, num_scorers: int, num_images: int, regions: int, cost_s: float, repeats: int) -> float:
    """Median seconds of a scoring phase whose scorers are running; the time of the commit is printed separately."""
    data = SyntheticData(num_pool=num_images, num_source=1, num_validation=1, size=(8, 8))
    config = Config(data=data, cluster=ClusterConfig(scorers=num_scorers))
    weights = write_weights(config, folder / "weights.pt")
    requests = [ScoreRequest(image_id, EMPTY) for image_id in open_domains(data).pool.image_ids]
    scorer = RayScorer(config, keep=True)
    taken = []
    try:
        with patch.object(scorers, "ScoringActor", stub(cost_s, regions)):
            scorer.acquire()
        # Each actor imports its modules at its first batch.
        list(scorer.score(weights, 0, requests[: 8 * 4 * num_scorers]))
        for repeat in range(repeats):
            start, start_cpu = time.perf_counter(), time.process_time()
            selections = list(scorer.score(weights, 0, requests))
            taken.append(time.perf_counter() - start)
            cpu = time.process_time() - start_cpu
            ledger = Ledger(folder / f"{num_scorers}-{num_images}-{cost_s}-{repeat}", [r.image_id for r in requests], 9)
            start = time.perf_counter()
            ledger.commit(0, selections)
            commit = time.perf_counter() - start
            print(f"  {taken[-1]:.2f} s, of them {cpu:.2f} s of the driver's core; then {commit:.2f} s for the commit")
    finally:
        scorer.close()
    return statistics.median(taken)


def stub(cost_s: float, regions: int) -> type:
    """Returns a class that replaces `ScoringActor`; local, so that Ray pickles it by value, without this module."""

    class Stub:
        def __init__(self, config: Config, device: str) -> None:
            counts = ((9, 0, 3),) * regions  # pixels, void ones, outlines
            self._counts = [np.array(column, np.uint32) for column in zip(*counts, strict=True)]
            self._centres, self._scores = np.zeros((regions, 2), np.uint16), np.zeros(regions, np.float32)

        def ready(self) -> None:
            assert "torch" not in sys.modules

        def score(self, weights: Any, round_index: int, requests: Sequence[ScoreRequest]) -> PackedSelections:
            time.sleep(cost_s * len(requests))
            pixels, void_pixels, boundary_pixels = self._counts
            class_pixels = pixels.sum(keepdims=True)[None]
            bought = self._centres, self._scores, pixels, void_pixels, boundary_pixels, class_pixels
            return PackedSelections.pack([Selection(request.image_id, *bought) for request in requests])

    return Stub


def warmup_saving(folder: Path) -> float:
    """Share of the optimiser steps that is saved, counted in a run of 24 trials with a tenth of the demo's steps."""
    tiny = ("data.num_source=6", "data.num_pool=5", "data.num_validation=3", "data.size=[32, 48]", "model.width=8")
    short = ("training.warmup_steps=30", "training.round_steps=6", "tracking.wandb=disabled", "cluster.scorers=0")
    lists = {"budgets": ["5", "10", "20", "40"], "windows": [3, 5, 7], "acquisitions": ["ripu", "random"]}
    flags = {f"sweep.{name}": values for name, values in lists.items()}
    run = RunFolder.create(folder / "sweep", load_config(None, (*tiny, *short), flags))
    reports: list[Progress] = []
    failures = run_alone(run, reports.append, local_parts(open_trackers))
    assert not failures, failures
    taken = sum(report.phase in ("warm-up", "train") for report in reports)
    needed = sum(report.step for report in reports if report.phase == "done" and report.trial_id in run.trials)
    print(f"{len(run.trials)} trials need {needed} steps, {taken} were taken")
    return 1 - taken / needed


if __name__ == "__main__":
    main()
