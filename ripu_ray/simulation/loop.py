"""The loop: score -> select -> commit purchase -> fine-tune -> evaluate -> commit round -> report, round by round.

It uses the protocols of `simulation.protocols`. Uncommitted work is repeated after a crash and gives the same bytes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import Config
from ripu_ray.core.budget import Spent, allowed_pixels, sharing
from ripu_ray.core.metrics import iou, miou, pixel_accuracy
from ripu_ray.data.loading import Domains
from ripu_ray.errors import NonFiniteError, counted
from ripu_ray.runs.answers import ANSWERS, AnswersPin, UsedAnswers
from ripu_ray.runs.event_log import OnProgress, Progress
from ripu_ray.runs.grid import Trial
from ripu_ray.runs.interrupt import StopRequest
from ripu_ray.runs.ledger import Ledger
from ripu_ray.runs.record import Losses, RoundRecord
from ripu_ray.runs.references import WholePool
from ripu_ray.runs.selections import Selection
from ripu_ray.runs.stages import Ending, StageFolder, TrialFolder
from ripu_ray.simulation.clock import Clock
from ripu_ray.simulation.pool import measure_signals, open_ledger, select_regions, until_stopped
from ripu_ray.simulation.protocols import FineTuner, Scorer, Tracker
from ripu_ray.simulation.stopping import make_rule, records_signals
from ripu_ray.storage.files import digest
from ripu_ray.training.checkpoint import find_fault
from ripu_ray.training.job import Measurement, TrainingJob

WARMUP_ROUND = -1
"""Round index of the record of a warm-up."""


@dataclass(frozen=True)
class Workbench:
    """The data, scorer, fine-tuner and tracker of a warm-up or trial, its progress reports and its stop request."""

    domains: Domains
    scorer: Scorer
    fine_tuner: FineTuner
    tracker: Tracker
    report: OnProgress
    stop: StopRequest


@dataclass(frozen=True)
class _Bought:
    """The annotations to train on (None: none), their cost and classes, and the digest of the last purchase.

    With people as the oracle, also the answers to train on, and their part of the cost. `named` are the answers of an
    annotator who draws no masks."""

    annotated: Mapping[str, NDArray[np.int32]] | None
    spent: Spent
    class_pixels_C: NDArray[np.int64]
    sha256: str = ""
    answers: AnswersPin | None = None
    used: UsedAnswers = field(default_factory=UsedAnswers)
    named: Mapping[str, NDArray[np.bool_]] | None = None


def run_warmup(name: str, config: Config, stage: StageFolder, bench: Workbench) -> RoundRecord:
    """Train on the source alone and evaluate, unless the warm-up is committed.

    Args:
        name: of the warm-up, for progress reports.
        config: of any trial that shares this warm-up.
        stage: folder for the weights and the record.

    Returns:
        The record of round -1, in which nothing is bought.

    Raises:
        StoppedError: a stop was requested; the mid-phase checkpoint is on disk.
        RipuError: the warm-up failed; one line with the cause.
    """
    if stage.is_committed():
        return stage.read()
    steps = config.training.warmup_steps
    clock = Clock()
    job = TrainingJob(config, 0, steps, start=None, output=stage.weights, phase="warm-up", stop=bench.stop)

    def report(phase: str, done: int = 0, note: str = "") -> None:
        phase = "warm-up" if phase == "train" else phase
        bench.report(Progress(name, phase, WARMUP_ROUND, done, note=note))

    losses, confusion = _train(job, WARMUP_ROUND, bench, clock, report)
    bench.scorer.release()
    record = _record(job, WARMUP_ROUND, bench.domains, confusion, losses, _nothing(bench.domains))
    stage.commit(record, clock.seconds, confusion, clock.speed())
    bench.tracker.log_round(record, clock.seconds)
    bench.report(Progress(name, "done", WARMUP_ROUND, steps, (record.miou,)))
    return record


def run_trial(trial: Trial, folder: TrialFolder, warmup: StageFolder, bench: Workbench) -> list[RoundRecord]:
    """Run the uncommitted rounds of one trial.

    Returns:
        The records of the warm-up and of every round.

    Raises:
        StoppedError: a stop was requested; committed rounds and the mid-phase checkpoint are on disk.
        RipuError: a round failed; one line with the round and the cause. Committed rounds are kept.
    """
    strategy, is_waiting = trial.config.strategy, False
    ledger = open_ledger(folder.path, trial.config, bench.domains.pool)
    records = [warmup.read()]
    # Trackers receive rounds that were committed before, too: a crash may have happened between commit and log.
    bench.tracker.log_round(records[-1], warmup.seconds())
    previous, rule, reason = warmup, make_rule(trial.config.stopping), None
    for round_index in range(strategy.rounds):
        stage = folder.stage(round_index)
        if not stage.is_committed():
            ledger.check_next(round_index)
            if is_waiting := trial.config.oracle.kind == "human" and ledger.num_rounds == round_index:
                break
            _run_round(trial, round_index, previous, stage, ledger, bench, records)
        records.append(stage.read())
        if not strategy.is_reference:
            ledger.check_record(round_index, records[-1])
        bench.tracker.log_round(records[-1], stage.seconds())
        previous = stage
        is_last = round_index + 1 == strategy.rounds  # what is complete does not end early
        if rule and not is_last and (reason := rule.should_stop(records)):
            break
    bench.scorer.release()
    if is_waiting:
        bench.report(_done(trial, records, f"round {len(records) - 1} needs answers of people: docs/annotators.md"))
        return records
    folder.finish(Ending(len(records) - 1, reason or ""))
    if reason:
        left = counted(records[-1].budget_pixels - records[-1].spent_pixels, "pixel")
        bench.report(_done(trial, records, f"stopped after round {records[-1].round}: {reason}; {left} unspent"))
    bench.report(_done(trial, records))
    return records


def _done(trial: Trial, records: list[RoundRecord], note: str = "") -> Progress:
    return Progress(trial.trial_id, "done", records[-1].round, records[-1].step, _curve(records), note)


def _run_round(
    trial: Trial,
    round_index: int,
    previous: StageFolder,
    stage: StageFolder,
    ledger: Ledger,
    bench: Workbench,
    records: list[RoundRecord],
) -> None:
    config, first_step, curve, clock = trial.config, records[-1].step, _curve(records), Clock()

    def report(phase: str, done: int = 0, note: str = "", images: int = 0) -> None:
        bench.report(Progress(trial.trial_id, phase, round_index, first_step + done, curve, note, images=images))

    def scored(selections: Iterable[Selection]) -> Iterator[Selection]:
        for count, selection in enumerate(until_stopped(selections, bench.stop), start=1):
            yield selection
            report("score", images=count)

    bench.stop.check()
    if not config.strategy.is_reference and ledger.num_rounds == round_index:
        report("score")
        with clock.phase("acquire"):
            bench.scorer.acquire()
        with clock.phase("score"):
            selections = select_regions(config, round_index, previous.weights, ledger, bench.domains, bench.scorer)
            ledger.commit(round_index, scored(selections))
    bench.scorer.release()
    bought = _bought(config, round_index, ledger, bench.domains, stage.path)
    job = TrainingJob(
        config,
        first_step,
        config.round_steps(round_index),
        start=previous.weights,
        output=stage.weights,
        phase=f"round {round_index}",
        annotated=bought.annotated,
        purchase_sha256=bought.sha256,
        answers=bought.answers,
        stop=bench.stop,
        named=bought.named,
    )
    losses, confusion = _train(job, round_index, bench, clock, report)
    record = _record(job, round_index, bench.domains, confusion, losses, bought)
    if records_signals(config.stopping) and not config.strategy.is_reference:
        with clock.phase("sample"):
            signals = measure_signals(config, previous.weights, stage.weights, ledger, bench.domains, bench.scorer)
        record = replace(record, signals=signals)
    stage.commit(record, clock.seconds, confusion, clock.speed())


def _bought(config: Config, round_index: int, ledger: Ledger, domains: Domains, folder: Path) -> _Bought:
    if config.strategy.acquisition == "source_only":
        return _nothing(domains)
    if config.strategy.acquisition == "full":
        everything = WholePool(domains.pool, config.strategy.radius)
        return _Bought(everything, *everything.count(domains.pool, domains.classes.num_classes))
    class_pixels_C = ledger.class_pixels(domains.classes.num_classes)
    sha256 = ledger.digest(round_index)
    bought = _Bought(ledger.annotated(), ledger.spent, class_pixels_C, sha256, named=ledger.named())
    if config.oracle.kind == "simulated":
        return bought
    used = UsedAnswers.read(folder)
    return replace(bought, answers=used.pin(folder.with_name(ANSWERS)), used=used)


def _nothing(domains: Domains) -> _Bought:
    return _Bought(None, Spent(), np.zeros(domains.classes.num_classes, np.int64))


def _train(
    job: TrainingJob,
    round_index: int,
    bench: Workbench,
    clock: Clock,
    report: Callable[[str, int, str], None],
) -> tuple[Losses, NDArray[np.int64]]:
    """Train a stage, from its mid-phase checkpoint if there is one, and evaluate: mean losses, confusion counts."""
    bench.stop.check()
    if fault := find_fault(job):
        report("train", 0, f"{fault}; {job.phase} starts again from its first step")
        job.partial.unlink()

    def log(measured: Measurement) -> None:
        clock.add(measured)
        bench.tracker.log_training(round_index, measured)

    with clock.phase("train"):
        losses = bench.fine_tuner.fit(job, lambda done: report("train", done, ""), log)
    if not bench.domains.validation.image_ids:
        num_classes = bench.domains.classes.num_classes
        return losses, np.zeros((num_classes, num_classes), np.int64)
    report("evaluate", job.num_steps, "")
    with clock.phase("acquire"):
        bench.scorer.acquire()
    try:
        with clock.phase("evaluate"):
            return losses, bench.scorer.evaluate(job.output)
    except NonFiniteError as error:
        raise NonFiniteError(f"{job.phase}, step {job.first_step + job.num_steps}: {error}") from None


def _record(
    job: TrainingJob,
    round_index: int,
    domains: Domains,
    confusion_CC: NDArray[np.int64],
    losses: Losses,
    bought: _Bought,
) -> RoundRecord:
    sizes, spent = list(map(domains.pool.label_size, domains.pool.image_ids)), bought.spent
    strategy, num_pixels = job.config.strategy, sum(height * width for height, width in sizes)
    allowed = sum(
        allowed_pixels(strategy.budget, group, rounds=1, round_index=0, spent_pixels=0)
        for group in sharing(strategy, sizes)
    )
    by_class = zip(domains.classes.names, iou(confusion_CC).tolist(), strict=True)
    return RoundRecord(
        round=round_index,
        step=job.first_step + job.num_steps,
        budget_pixels=0 if bought.annotated is None else allowed,
        spent_pixels=spent.pixels,
        void_pixels=spent.void_pixels,
        clipped_pixels=spent.clipped_pixels,
        clicks=spent.clicks,
        spent_share=spent.pixels / num_pixels,
        miou=miou(confusion_CC),
        accuracy=pixel_accuracy(confusion_CC),
        iou={name: None if np.isnan(value) else value for name, value in by_class},
        losses=losses,
        purchase_sha256=bought.sha256,
        weights_sha256=digest(job.output),
        boundary_pixels=spent.boundary_pixels,
        annotation_s=bought.used.seconds(job.config.oracle.cost, spent),
        bought=dict(zip(domains.classes.names, bought.class_pixels_C.tolist(), strict=True)),
    )


def _curve(records: list[RoundRecord]) -> tuple[float, ...]:
    return tuple(record.miou for record in records)
