"""One warm-up or one trial of a run folder, with the parts that its configuration asks for."""

from collections.abc import Iterator
from contextlib import contextmanager

from ripu_ray.config import Config
from ripu_ray.data.loading import open_domains
from ripu_ray.distributed.cluster import this_node
from ripu_ray.distributed.prometheus import CountedScorer, RoundMetrics
from ripu_ray.distributed.scoring import RayScorer
from ripu_ray.distributed.training import RayFineTuner
from ripu_ray.errors import RipuError, StoppedError
from ripu_ray.runs.event_log import Journal, OnProgress
from ripu_ray.runs.grid import warmup_key
from ripu_ray.runs.record import RoundRecord
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.local import LocalFineTuner, LocalScorer
from ripu_ray.simulation.loop import Workbench, run_trial, run_warmup
from ripu_ray.simulation.protocols import FineTuner, Scorer
from ripu_ray.tracking.group import TrackerGroup, open_trackers
from ripu_ray.training.heartbeat import Trail


def execute_warmup(run: RunFolder, key: str, report: OnProgress, share: int = 1) -> RoundRecord:
    """Train and evaluate one warm-up of `run`, unless it is committed. `share`: see `RayScorer`."""
    config, stage = run.warmups[key], run.warmup(key)
    is_news = not stage.is_committed()
    with _workbench(run, config, key, report, share) as bench:
        record = run_warmup(key, config, stage, bench)
    if is_news:
        RoundMetrics(run.name, key, record.round).log_round(record, stage.seconds())
    return record


def execute_trial(run: RunFolder, trial_id: str, report: OnProgress, share: int = 1) -> list[RoundRecord]:
    """Run what is not committed of one trial of `run`; its warm-up must be. `share`: see `RayScorer`."""
    trial, folder = run.trials[trial_id], run.trial(trial_id)
    tracker = TrackerGroup(
        (open_trackers(run, trial_id), RoundMetrics(run.name, trial_id, first_round=folder.num_committed()))
    )
    try:
        with _workbench(run, trial.config, trial_id, report, share) as bench:
            records = run_trial(trial, folder, run.warmup(warmup_key(trial.config)), bench, tracker)
    except StoppedError:
        tracker.close()
        raise
    except RipuError as error:
        tracker.close(failure=str(error))
        raise
    tracker.close()
    return records


@contextmanager
def _workbench(run: RunFolder, config: Config, name: str, report: OnProgress, share: int) -> Iterator[Workbench]:
    cluster, journal = config.cluster, Journal(run.path, name, report)
    with Trail(run.trail(name), this_node()) as trail:
        fine_tuner: FineTuner
        if cluster.train_workers:
            fine_tuner = RayFineTuner(config, run.path / "ray", journal.warn)
        else:
            fine_tuner = LocalFineTuner(config, trail)
        scorer: Scorer
        if cluster.scorers:
            scorer = RayScorer(config, keep=not cluster.train_workers, share=share, warn=journal.warn)
        else:
            scorer = LocalScorer(config, trail)
        try:
            domains, counted = open_domains(config.data, config.opens_source), CountedScorer(scorer, run.name, name)
            yield Workbench(domains, counted, fine_tuner, journal, run.stop)
        finally:
            scorer.close()
