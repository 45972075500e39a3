"""The sections of the configuration: frozen pydantic models, unknown keys refused.

Other modules import the sections from `config`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from ripu_ray.config.fields import (
    Address,
    BudgetField,
    Chance,
    Count,
    Number,
    NumDecoders,
    NumScorers,
    Section,
    Seed,
    WandbName,
    Weight,
    Window,
)
from ripu_ray.config.strategy import AcquisitionName, Mode

_MOST_SEEDS = 10_000
_MOST_DECODERS = 8
"""With `decoders: auto`: at 131 ms to decode a picture and 25 ms to score it on an H200, 6 keep the GPU busy."""
WandbMode = Literal["auto", "offline", "online", "disabled"]
Answer = Literal["mask", "dominant", "multi_hot"]


def _ranges(seeds: object) -> object:
    """Seeds with each range, `0-4` or `0..4`, as its numbers; anything else as it is."""
    parts = [part.strip() for part in seeds.split(",")] if isinstance(seeds, str) else seeds
    if not isinstance(parts, list):
        return seeds
    numbers: list[object] = []
    for part in parts:
        found = re.fullmatch(r"\s*(\d{1,19})\s*(?:-|\.\.)\s*(\d{1,19})\s*", part) if isinstance(part, str) else None
        first, last = map(int, found.groups()) if found else (0, 0)
        if found and not first <= last < first + _MOST_SEEDS:
            raise ValueError(f"{part}: expected a range of at most {_MOST_SEEDS} seeds, the smaller first, such as 0-4")
        numbers += range(first, last + 1) if found else [part]
    return numbers


Values = Annotated[tuple[JsonValue, ...], Field(min_length=1)]


class NoiseConfig(Section):
    """Errors of the simulated annotator, drawn for each region. Evaluation uses the true labels."""

    flips: Chance | tuple[tuple[Chance, ...], ...] = 0.0
    """Probability that a class in a region is replaced by another class. Or a confusion matrix whose rows are true
    classes."""
    jitter_pixels: Annotated[int, Number] = Field(0, ge=0, lt=2**16)
    """Maximum displacement of outlines in each direction, in pixels."""
    missed_rate: Chance = 0.0
    """Probability that a region costs budget and gets no label."""

    @model_validator(mode="after")
    def _rows_are_chances(self) -> Self:
        if isinstance(self.flips, tuple):
            for row in self.flips:
                if len(row) != len(self.flips) or abs(sum(row) - 1) > 1e-6:
                    raise ValueError("oracle.noise.flips: expected a rate, or a square matrix whose rows sum to 1")
        return self


class CostConfig(Section):
    """Model of the annotation time. Only `annotation_s` depends on it (docs/oracle.md)."""

    seconds_per_click: Weight = 2.4
    """Seconds to find a region and to name its first class."""
    seconds_per_boundary_pixel: Weight = 0.2
    """Seconds per pixel of the outlines between classes inside a region."""


class OracleConfig(Section):
    """Who answers questions: the simulated annotator, or people."""

    kind: Literal["simulated", "human"] = "simulated"
    """Who answers. simulated: the labels of the target. human: people (docs/annotators.md); the target's labels are not
    read, and its training labels and validation images may be missing."""
    answer: Answer = "mask"
    """What is said of a region. mask: the class of each pixel. dominant: its most frequent class. multi_hot: the set of
    its classes."""
    noise: NoiseConfig = NoiseConfig()
    cost: CostConfig = CostConfig()

    @model_validator(mode="after")
    def _people_have_no_settings(self) -> Self:
        if self.kind == "human" and self.answer != "mask":
            raise ValueError(f"oracle.answer {self.answer}: people draw masks, expected mask with oracle.kind human")
        if self.kind == "human" and self.noise != NoiseConfig():
            raise ValueError("oracle.noise: errors of the simulated annotator, expected none with oracle.kind human")
        return self


class SweepConfig(Section):
    """The grid. Every non-empty list is a dimension, and replaces the value of the strategy, or the seed."""

    budgets: tuple[BudgetField, ...] = ()
    """Values of `strategy.budget`."""
    modes: tuple[Mode, ...] = ()
    """Values of `strategy.mode`."""
    windows: tuple[Window, ...] = ()
    """Sides of the window of the trial's mode, in pixels."""
    acquisitions: tuple[AcquisitionName, ...] = ()
    """Values of `strategy.acquisition`."""
    seeds: Annotated[tuple[Seed, ...], BeforeValidator(_ranges)] = ()
    """Values of `seed`. 0-4 and 0..4 stand for 0, 1, 2, 3, 4."""
    vary: dict[str, Values] = Field({})
    """Values of other settings: dotted key -> list of values. Settings of data, model, training, strategy and oracle
    can vary."""

    @model_validator(mode="after")
    def _no_repetition(self) -> Self:
        lists = {name: getattr(self, name) for name in type(self).model_fields if name != "vary"}
        for name, listed in (lists | {f"vary {key}": values for key, values in self.vary.items()}).items():
            counts = Counter(map(str, listed))
            twice = sorted(value for value, count in counts.items() if count > 1)
            if twice:
                hint = "; the decimal sign is a point, as in 2.2" if name == "budgets" else ""
                raise ValueError(f"sweep.{name}: {', '.join(twice)} is there more than once{hint}")
        return self


class ClusterConfig(Section):
    """Processes, cores and GPUs."""

    address: Address | None = None
    """A running Ray cluster. auto, HOST:PORT or ray://HOST:PORT: join it. http://HEAD:8265: submit a job to it. None:
    start Ray on this machine."""
    cpus: Count | None = None
    """Cores of a Ray that is started on this machine. None: those that this process may use."""
    scorers: NumScorers = 1
    """Scoring actors per trial. auto: one for each free GPU, or else core, in a trial's share of the cluster, at least
    1. 0: score in the trial's process."""
    decoders: NumDecoders = "auto"
    """Threads of each scorer, with a core each, that read the next images while one is scored. auto: with `gpu`, an
    equal share of the node's cores, at most 8; else 0. 0: the scorer reads each image before it scores it."""
    train_workers: Annotated[int, Number] = Field(0, ge=0, le=10**6)
    """Ray Train workers per trial. 0: train in the trial's process."""
    concurrent_trials: Count | None = None
    """Maximum number of trials at the same time. None: as many as the cores allow."""
    gpu: bool = False
    """Give each scorer and each train worker a GPU. Without both, the trial's process gets one."""
    processes_per_gpu: Annotated[int, Number] = Field(1, ge=1, le=100)
    """Scorers, workers or trials that share a GPU. If it is more than 1, a Ray of our own starts NVIDIA's MPS, where it
    is installed, so that they compute side by side."""
    grows: bool = False
    """The cluster adds nodes on request. A trial that does not fit yet is not refused, and `concurrent_trials`
    (default: 1, or as many as fit at the start) run at the same time."""
    threads: Annotated[int, Number] = Field(1, ge=1, le=1024)
    """Torch threads per process. Another value may change results in the last bit, so it is part of the recipe."""
    loader_threads: Annotated[int, Number] = Field(1, ge=1, le=1024)
    """Threads of each training process that read and resize images."""
    max_failures: Annotated[int, Number] = Field(3, ge=0, le=10**6)
    """How often the same image, or the same step of training, may end a process before it is given up."""
    start_timeout_s: Annotated[float, Number] = Field(300.0, gt=0, le=10**6)
    """Maximum time that a phase waits for cores and GPUs, in seconds. After 30 s, a message is printed."""
    interface: str | None = Field(None, min_length=1)
    """Network interface of train workers, such as eth1, the same on every node. None: Gloo and NCCL choose."""

    def num_decoders(self, nodes: Iterable[Mapping[str, float]]) -> int:
        """Decoders of each scorer on nodes with these resources; `auto` is 0 if none of them has a GPU.

        With `auto`, as many scorers fit on each node as without decoders.
        """
        if self.decoders != "auto":
            return self.decoders
        gpus = ((node.get("CPU", 0), node.get("GPU", 0) * self.processes_per_gpu) for node in nodes if self.gpu)
        left = [int(cpus // scorers) - self.threads for cpus, scorers in gpus if scorers >= 1]
        return max(min((*left, _MOST_DECODERS)), 0) if left else 0

    def needs_ray(self, num_trials: int) -> bool:
        """Whether Ray is needed to run this many trials: always on a cluster, whose nodes run them."""
        return bool(self.address or num_trials > 1 or self.scorers or self.train_workers)


class TrackingConfig(Section):
    """Where results are logged, besides the run folder."""

    wandb: WandbMode = "auto"
    """Mode of W&B. auto: WANDB_MODE; without it, online if a key is set and the server accepts it, else offline."""
    project: WandbName | None = None
    """Project in W&B. None: WANDB_PROJECT, or ripu-ray."""
    entity: WandbName | None = None
    """Entity in W&B. None: WANDB_ENTITY, or W&B's default."""
    log_every: Annotated[int, Number] = Field(10, ge=0, le=10**9)
    """Interval in training steps at which losses, learning rate, speed, waiting time and GPU memory are logged to W&B.
    0: never."""
    images: Annotated[int, Number] = Field(4, ge=0, le=64)
    """Number of images that are logged to W&B after each round, half of them from the pool. 0: none."""
    artifacts: Literal["none", "ledger", "all"] = "ledger"
    """Files that W&B gets at the end of a trial. ledger: its purchases. all: also the weights of its last round and of
    its warm-up."""
