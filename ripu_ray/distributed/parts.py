"""The parts of a trial on Ray: a pool of scoring actors and a Ray Train job, if they are configured."""

from functools import partial

from ripu_ray.config import Config
from ripu_ray.distributed.cluster import this_node
from ripu_ray.distributed.draining import NodeStop
from ripu_ray.distributed.fine_tuning import RayFineTuner
from ripu_ray.distributed.prometheus import CountedScorer, RoundMetrics
from ripu_ray.distributed.scorers import RayScorer, end_spares
from ripu_ray.runs.event_log import Warn
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.execution import Parts
from ripu_ray.simulation.local import LocalFineTuner, LocalScorer
from ripu_ray.simulation.protocols import FineTuner, Scorer
from ripu_ray.tracking.group import TrackerGroup, open_trackers
from ripu_ray.training.heartbeat import Heartbeat


def ray_parts(share: int = 1, hand_over: bool = False) -> Parts:
    """Parts on Ray; a part with 0 configured processes runs in the trial's process.

    Args:
        share: see `RayScorer`.
        hand_over: see `RayScorer`; for a process that runs one trial after another, and then ends.
    """
    return Parts(partial(_scorer, share, hand_over), _fine_tuner, _tracker, this_node, NodeStop.of)


def _scorer(
    share: int, hand_over: bool, config: Config, heartbeat: Heartbeat, run: RunFolder, name: str, warn: Warn
) -> Scorer:
    scorer: Scorer
    if config.cluster.scorers:
        # A LocalScorer is not built here: it takes a GPU, which the process of such a trial does not have.
        scorer = RayScorer(config, not config.cluster.train_workers, share, warn, hand_over)
    else:
        end_spares()
        scorer = LocalScorer(config, heartbeat)
    return CountedScorer(scorer, run.name, name)


def _fine_tuner(config: Config, heartbeat: Heartbeat, run: RunFolder, name: str, warn: Warn) -> FineTuner:
    if config.cluster.train_workers:
        return RayFineTuner(config, run.path / "ray", warn)
    return LocalFineTuner(config, heartbeat)


def _tracker(run: RunFolder, name: str) -> TrackerGroup:
    if name in run.trials:
        first_round = run.trial(name).num_committed()
    else:
        first_round = 0 if run.warmup(name).is_committed() else -1
    return TrackerGroup((open_trackers(run, name), RoundMetrics(run.name, name, first_round)))
