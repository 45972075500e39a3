"""The loop: score -> select -> commit purchase -> fine-tune -> evaluate -> commit round -> report, round by round.

Plain Python over three protocols. Whatever was not committed is done again and gives the same bytes.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import floor

import numpy as np

from ripu_ray.config import Config
from ripu_ray.core.budget import Spent
from ripu_ray.core.geometry import purchase_radius
from ripu_ray.core.metrics import iou, miou, pixel_accuracy
from ripu_ray.data.loading import Domains
from ripu_ray.files import digest
from ripu_ray.simulation.grid import Trial
from ripu_ray.simulation.ledger import Ledger
from ripu_ray.simulation.protocols import (
    FineTuner,
    Losses,
    OnProgress,
    Progress,
    RoundRecord,
    Scorer,
    ScoreRequest,
    Tracker,
    TrainingJob,
)
from ripu_ray.simulation.run_folder import StageFolder, TrialFolder

WARMUP_ROUND = -1
"""The round index of the record of a warm-up."""


@dataclass(frozen=True)
class Workbench:
    """What a warm-up and a trial work with."""

    domains: Domains
    scorer: Scorer
    fine_tuner: FineTuner
    report: OnProgress


def run_warmup(name: str, config: Config, stage: StageFolder, bench: Workbench) -> RoundRecord:
    """Train on the source alone and evaluate, unless that was done before.

    Args:
        name: of the warm-up, for progress reports.
        config: of any trial that shares this warm-up.
        stage: where the weights and the record go.

    Returns:
        The record of round -1, in which nothing is bought.
    """
    if stage.is_committed():
        return stage.read()
    steps = config.training.warmup_steps
    seconds: dict[str, float] = {}
    job = TrainingJob(config, 0, steps, start=None, output=stage.weights, phase="warm-up")
    with _timed(seconds, "train"):
        losses = bench.fine_tuner.fit(job, lambda step: bench.report(Progress(name, "warm-up", WARMUP_ROUND, step)))
    bench.report(Progress(name, "evaluate", WARMUP_ROUND, steps))
    with _timed(seconds, "acquire"):
        bench.scorer.acquire()
    with _timed(seconds, "evaluate"):
        confusion = bench.scorer.evaluate(stage.weights).confusion_CC
    bench.scorer.release()
    record = _record(job, WARMUP_ROUND, bench.domains, confusion, losses, Spent())
    stage.commit(record, seconds)
    bench.report(Progress(name, "done", WARMUP_ROUND, steps, (record.miou,)))
    return record


def run_trial(
    trial: Trial, folder: TrialFolder, warmup: StageFolder, bench: Workbench, tracker: Tracker
) -> list[RoundRecord]:
    """Run the rounds of one trial that are not committed yet.

    Returns:
        The records of the warm-up and of every round.

    Raises:
        RipuError: says what went wrong, and in which round; committed rounds stay.
    """
    strategy = trial.config.strategy
    radius = purchase_radius(strategy.mode, strategy.radius)
    ledger = Ledger(folder.path, bench.domains.pool.image_ids, (2 * radius + 1) ** 2)
    records = [warmup.read()]
    # Trackers hear of every round, committed before or not: a crash may have come between a commit and its log.
    tracker.log_round(records[-1], warmup.seconds())
    previous = warmup
    for round_index in range(strategy.rounds):
        stage = folder.stage(round_index)
        if not stage.is_committed():
            _run_round(trial, round_index, previous, stage, ledger, bench, records)
        records.append(stage.read())
        tracker.log_round(records[-1], stage.seconds())
        previous = stage
    bench.scorer.release()
    bench.report(Progress(trial.trial_id, "done", strategy.rounds - 1, records[-1].step, _curve(records)))
    return records


def _run_round(
    trial: Trial,
    round_index: int,
    previous: StageFolder,
    stage: StageFolder,
    ledger: Ledger,
    bench: Workbench,
    records: list[RoundRecord],
) -> None:
    config, first_step, curve = trial.config, records[-1].step, _curve(records)
    steps = config.round_steps(round_index)
    seconds: dict[str, float] = {}

    def report(phase: str, done: int = 0) -> None:
        bench.report(Progress(trial.trial_id, phase, round_index, first_step + done, curve))

    if ledger.num_rounds == round_index:
        report("score")
        with _timed(seconds, "acquire"):
            bench.scorer.acquire()
        with _timed(seconds, "score"):
            image_ids = bench.domains.pool.image_ids
            requests = (ScoreRequest(image_id, ledger.centres(image_id)) for image_id in image_ids)
            ledger.commit(round_index, bench.scorer.score(previous.weights, round_index, requests))
    bench.scorer.release()
    job = TrainingJob(
        config,
        first_step,
        steps,
        start=previous.weights,
        output=stage.weights,
        phase=f"round {round_index}",
        annotated=ledger.annotated(),
    )
    with _timed(seconds, "train"):
        losses = bench.fine_tuner.fit(job, lambda done: report("train", done))
    report("evaluate", steps)
    with _timed(seconds, "acquire"):
        bench.scorer.acquire()
    with _timed(seconds, "evaluate"):
        confusion = bench.scorer.evaluate(stage.weights).confusion_CC
    record = _record(job, round_index, bench.domains, confusion, losses, ledger.spent, ledger.digest(round_index))
    stage.commit(record, seconds)


def _record(
    job: TrainingJob,
    round_index: int,
    domains: Domains,
    confusion_CC: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    losses: Losses,
    spent: Spent,
    purchase_sha256: str = "",
) -> RoundRecord:
    sizes = [height * width for height, width in map(domains.pool.label_size, domains.pool.image_ids)]
    budget = job.config.strategy.budget
    by_class = zip(domains.classes.names, iou(confusion_CC).tolist(), strict=True)
    return RoundRecord(
        round=round_index,
        step=job.first_step + job.num_steps,
        budget_pixels=0 if round_index == WARMUP_ROUND else sum(floor(budget.pixels(size)) for size in sizes),
        spent_pixels=spent.pixels,
        void_pixels=spent.void_pixels,
        clipped_pixels=spent.clipped_pixels,
        clicks=spent.clicks,
        spent_share=spent.pixels / sum(sizes),
        miou=miou(confusion_CC),
        accuracy=pixel_accuracy(confusion_CC),
        iou={name: None if np.isnan(value) else value for name, value in by_class},
        losses=losses,
        purchase_sha256=purchase_sha256,
        weights_sha256=digest(job.output),
    )


def _curve(records: list[RoundRecord]) -> tuple[float, ...]:
    return tuple(record.miou for record in records)


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[phase] = seconds.get(phase, 0.0) + time.perf_counter() - start
