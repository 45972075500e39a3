"""What a configuration would run and need, without a start."""

from dataclasses import dataclass
from pathlib import Path

from ripu_ray.api.arguments import check_config
from ripu_ray.api.jobs import is_job_server
from ripu_ray.api.starting import AS_SEALED, SILENT, DataOptions, Observer, check, check_options
from ripu_ray.config import Config
from ripu_ray.distributed.capacity import describe_need
from ripu_ray.errors import counted, duration
from ripu_ray.runs.grid import Trial, expand, shared_warmups
from ripu_ray.storage.remote import locate
from ripu_ray.tracking.mode import describe_plan


@dataclass(frozen=True)
class Plan:
    """What a configuration would run.

    Attributes:
        folder: the run folder.
        trials: of the grid, in order; each has `trial_id` and `config`.
        num_warmups: distinct warm-ups, which trials share.
        num_rounds: of all trials.
        warmup_steps, round_steps: optimiser updates of all warm-ups, and of all rounds.
        weights_bytes: size of all weights on disk.
        seconds: estimate of the duration in one process, one trial after the other; a text says why there is none.
        wandb: one line: where the data of W&B would go.
        need: one line: what a trial needs of a machine or a cluster.
    """

    folder: Path
    trials: tuple[Trial, ...]
    num_warmups: int
    num_rounds: int
    warmup_steps: int
    round_steps: int
    weights_bytes: int
    seconds: float | str
    wandb: str
    need: str

    @property
    def lines(self) -> tuple[str, ...]:
        """The cost in words, a sentence each."""
        from ripu_ray.reporting.words import size

        steps = self.warmup_steps + self.round_steps
        return (
            f"{counted(len(self.trials), 'trial')}, {counted(self.num_rounds, 'round')}, {counted(steps, 'step')} "
            f"({counted(self.num_warmups, 'shared warm-up')}: {self.warmup_steps}; rounds: {self.round_steps}), "
            f"into {self.folder}",
            f"about {size(self.weights_bytes)} of weights on disk, and more for purchases, logs and pictures",
            f"time is not estimated: {self.seconds}"
            if isinstance(self.seconds, str)
            else f"about {duration(self.seconds)} in one process on this machine, from a few timed steps and images; "
            "it assumes that all trials are alike and run one after the other",
            self.wandb,
            self.need,
        )


def plan(config: Config, folder: str | Path, observer: Observer = SILENT, data: DataOptions = AS_SEALED) -> Plan:
    """Check a configuration as `start` does, and describe what would run. Nothing is written. Arguments: see `start`.

    With the address of a job server, only the configuration is checked, since paths are those of the cluster.

    Raises:
        InputError: what `start` would refuse, in one line.
    """
    check_config(config)
    check_options(observer, data)
    path, is_remote = locate(folder), is_job_server(config.cluster.address)
    if not is_remote:
        path = check(config, path, observer.notify, data).folder
    from ripu_ray.simulation.estimate import weights_bytes
    from ripu_ray.simulation.timing import estimate_seconds

    trials = expand(config)
    warmups = shared_warmups(trials)
    return Plan(
        path,
        trials,
        len(warmups),
        sum(trial.config.strategy.rounds for trial in trials),
        sum(shared.training.warmup_steps for shared in warmups),
        sum(trial.config.num_round_steps() for trial in trials),
        weights_bytes(trials),
        "the data are on the cluster" if is_remote else estimate_seconds(trials),
        describe_plan(config.tracking, path, is_remote),
        describe_need(config.cluster),
    )
