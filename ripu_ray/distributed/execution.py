"""One warm-up or one trial of a run folder, with the parts that its configuration asks for."""

from collections.abc import Iterator
from contextlib import contextmanager

from ripu_ray.config import Config
from ripu_ray.data.loading import open_domains
from ripu_ray.distributed.scoring import RayScorer
from ripu_ray.distributed.training import RayFineTuner
from ripu_ray.errors import RipuError
from ripu_ray.simulation.grid import warmup_key
from ripu_ray.simulation.local import LocalFineTuner, LocalScorer
from ripu_ray.simulation.loop import Workbench, run_trial, run_warmup
from ripu_ray.simulation.protocols import FineTuner, OnProgress, RoundRecord, Scorer
from ripu_ray.simulation.run_folder import RunFolder
from ripu_ray.tracking.group import open_trackers


def execute_warmup(run: RunFolder, key: str, report: OnProgress) -> RoundRecord:
    """Train and evaluate one warm-up of `run`, unless it is committed."""
    config = run.warmups[key]
    with _workbench(run, config, report) as bench:
        return run_warmup(key, config, run.warmup(key), bench)


def execute_trial(run: RunFolder, trial_id: str, report: OnProgress) -> list[RoundRecord]:
    """Run what is not committed of one trial of `run`; its warm-up must be."""
    trial, folder = run.trials[trial_id], run.trial(trial_id)
    tracker = open_trackers(trial.config, run.name, trial_id, folder.path)
    try:
        with _workbench(run, trial.config, report) as bench:
            records = run_trial(trial, folder, run.warmup(warmup_key(trial.config)), bench, tracker)
    except RipuError as error:
        tracker.close(failure=str(error))
        raise
    tracker.close()
    return records


@contextmanager
def _workbench(run: RunFolder, config: Config, report: OnProgress) -> Iterator[Workbench]:
    cluster = config.cluster
    fine_tuner: FineTuner = RayFineTuner(config, run.path / "ray") if cluster.train_workers else LocalFineTuner(config)
    scorer: Scorer = RayScorer(config, keep=not cluster.train_workers) if cluster.scorers else LocalScorer(config)
    try:
        yield Workbench(open_domains(config.data, not config.training.source_free), scorer, fine_tuner, report)
    finally:
        scorer.close()
