"""The sections of the configuration: frozen pydantic models, unknown keys refused.

Other modules import the sections from `config`.
"""

import re
from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from ripu_ray.config.fields import (
    BudgetField,
    Chance,
    Count,
    Number,
    NumScorers,
    Section,
    Seed,
    WandbName,
    Window,
)
from ripu_ray.config.strategy import AcquisitionName, Mode

_MOST_SEEDS = 10_000
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
    """How an annotator errs, drawn anew for each region; evaluation is by the true labels."""

    flips: Chance | tuple[tuple[Chance, ...], ...] = 0.0
    """Chance that a class is taken for another one in a region; or a confusion matrix, rows are true classes."""
    jitter_pixels: Annotated[int, Number] = Field(0, ge=0, lt=2**16)
    """How far outlines may lie beside the true ones, in each direction."""
    missed_rate: Chance = 0.0
    """Chance that a region is paid for and gives no label."""

    @model_validator(mode="after")
    def _rows_are_chances(self) -> Self:
        if isinstance(self.flips, tuple):
            for row in self.flips:
                if len(row) != len(self.flips) or abs(sum(row) - 1) > 1e-6:
                    raise ValueError("oracle.noise.flips: expected a rate, or a square matrix whose rows sum to 1")
        return self


class CostConfig(Section):
    """How long an annotator takes; nothing but the record's `annotation_s` depends on it (docs/oracle.md: sources)."""

    seconds_per_click: float = Field(2.4, ge=0)
    """To find a region and name its first class."""
    seconds_per_boundary_pixel: float = Field(0.2, ge=0)
    """To draw outlines between classes inside it."""


class OracleConfig(Section):
    """Who answers: the simulated annotator, or people."""

    kind: Literal["simulated", "human"] = "simulated"
    """simulated: the labels of the target answer. human: people do (docs/annotators.md); the target's labels are not
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
    """The grid: each non-empty list replaces the strategy's value, or the seed, by a dimension."""

    budgets: tuple[BudgetField, ...] = ()
    modes: tuple[Mode, ...] = ()
    windows: tuple[Window, ...] = ()
    acquisitions: tuple[AcquisitionName, ...] = ()
    seeds: Annotated[tuple[Seed, ...], BeforeValidator(_ranges)] = ()
    """0-4 and 0..4 stand for 0, 1, 2, 3, 4."""
    vary: dict[str, Values] = Field({})
    """Any other setting of data, model, training, strategy or oracle by its dotted key: its values."""

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
    """Where the work runs. 0 scorers or 0 train workers: in the trial's own process."""

    address: str | None = None
    """A running Ray cluster: auto, HOST:PORT or ray://HOST:PORT to join it, http://HEAD:8265 to submit a job to it;
    None: a Ray of its own on this machine."""
    cpus: Count | None = None
    """Cores that a Ray of its own is told of; None: those that this process may use."""
    scorers: NumScorers = 1
    """auto: as many as there are free GPUs, or else cores, in a trial's share of the cluster; at least 1."""
    train_workers: Annotated[int, Number] = Field(0, ge=0, le=10**6)
    concurrent_trials: Count | None = None
    """Trials at the same time, at most; None: as many as the cores allow."""
    gpu: bool = False
    """Each scorer and each train worker takes a GPU; with 0 of both, the trial's own process does."""
    processes_per_gpu: Annotated[int, Number] = Field(1, ge=1, le=100)
    """How many of them share one: a network that is small for its GPU leaves most of it idle."""
    grows: bool = False
    """The cluster adds nodes when they are asked for: one that cannot hold a trial yet is not refused, and
    `concurrent_trials` (1, or as many as it holds at the start) run at the same time."""
    threads: Annotated[int, Number] = Field(1, ge=1, le=1024)
    """Torch threads per process. Results may differ in the last bit between values, so it is part of the recipe."""
    loader_threads: Annotated[int, Number] = Field(1, ge=1, le=1024)
    """Threads of each training process that read and resize images, beside the one that computes."""
    max_failures: Annotated[int, Number] = Field(3, ge=0, le=10**6)
    """How often the same image, or the same place of training, may kill a process before it is given up."""
    start_timeout_s: Annotated[float, Number] = Field(300.0, gt=0, le=10**6)
    """How long a phase waits for cores and GPUs; after 30 s it says so."""
    interface: str | None = Field(None, min_length=1)
    """Network interface, the same on every node, over which train workers speak; None: gloo and NCCL choose."""


class TrackingConfig(Section):
    """Where results are sent, beside the run folder."""

    wandb: WandbMode = "auto"
    """auto: what WANDB_MODE says; without it online if a key is set and the server takes it, else offline."""
    project: WandbName | None = None
    """None: WANDB_PROJECT, else ripu-ray."""
    entity: WandbName | None = None
    """None: WANDB_ENTITY, else W&B's default."""
    images: int = Field(4, ge=0, le=64)
    """Pictures in W&B after each round, always of the same images, half of them of the pool; 0: none."""
