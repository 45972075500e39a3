"""The sections of the configuration: frozen pydantic models, unknown keys refused.

This module imports nothing of ours but what fields may be; other modules import the sections from `config`.
"""

from collections import Counter
from decimal import Decimal
from typing import Annotated, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    model_validator,
)

from ripu_ray.config.fields import (
    Budget,
    BudgetField,
    Chance,
    Count,
    Number,
    NumScorers,
    Section,
    Seed,
    Steps,
    WandbName,
    Weight,
    Window,
)
from ripu_ray.config.registry import ACQUISITIONS, STOPPING_RULES
from ripu_ray.config.safe_yaml import read_yaml

Mode = Literal["region", "pixel"]
Reference = Literal["source_only", "full"]
"""What strategies are measured by: training on for as many steps, with nothing or with everything bought."""
REFERENCES: tuple[Reference, ...] = get_args(Reference)


def _known_acquisition(name: str) -> str:
    names = (*ACQUISITIONS.names(), *REFERENCES)
    if name not in names:
        raise ValueError(f"unknown acquisition {name!r}: expected {', '.join(names)}")
    return name


AcquisitionName = Annotated[str, AfterValidator(_known_acquisition)]
"""Name of a registered acquisition function, or of a reference."""
Shape = Literal["sliding", "grid", "superpixels"]
Allocation = Literal["per_image", "pool"]
WandbMode = Literal["auto", "offline", "online", "disabled"]


def _varied(value: object) -> object:
    """`{key: [values]}` from texts `key=value,value`, values in YAML; anything else as it is."""
    if not isinstance(value, list):
        return value
    varied: dict[str, object] = {}
    for text in map(str, value):
        key, sign, listed = text.partition("=")
        try:
            values = read_yaml(f"[{listed}]")
        except ValueError:
            values = []
        if not (sign and key.strip() and values) or key.strip() in varied:
            raise ValueError(f"vary {text!r}: expected key=value,value, each key once, such as data.shift=0,1")
        varied[key.strip()] = values
    return varied


Values = Annotated[tuple[JsonValue, ...], Field(min_length=1)]


class TrainingConfig(Section):
    """The recipe. Steps are optimiser updates; the learning rate falls as (1 - step / schedule_steps) ** power."""

    warmup_steps: Annotated[int, Number] = Field(300, ge=0, le=10**9)
    round_steps: Steps = 60
    last_round_steps: Steps | None = None
    """Of the last round, after which training goes on; None: as many as of the others."""
    schedule_steps: Steps | None = None
    """Horizon of the polynomial schedule; None: the warm-up, all rounds, and round_steps more."""
    source_free: bool = False
    """Adapt on bought target pixels alone, without the source's losses. Starts from `model.init_from`, and then the
    source's images are never opened, or from a warm-up on the source, which is the only one to open them."""
    source_sampling: Literal["uniform", "rarity"] = "uniform"
    """rarity: the rarer a class among the source images drawn so far, the more often an image that has it."""
    label_resolution: Literal["label", "input"] = "label"
    """Where the losses are taken. label: logits are brought to the labels' size, and every bought pixel counts.
    input: labels are resized to nearest to the images' size, as the reference does, and most bought pixels are lost."""
    source_batch: Count = 4
    target_batch: Count = 4
    optimiser: Literal["sgd", "adamw"] = "adamw"
    """sgd is the paper's; adamw learns the embedded task from scratch, where sgd is unsteady (docs/log.md)."""
    learning_rate: Annotated[float, Number] = Field(0.003, gt=0, le=1e30)
    head_rate_factor: Annotated[float, Number] = Field(1.0, gt=0, le=10**6)
    power: Annotated[float, Number] = Field(0.9, ge=0, le=1000)
    momentum: Annotated[float, Number] = Field(0.9, ge=0, lt=1)
    """Of sgd."""
    weight_decay: Weight = 0.01
    consistency_weight: Weight = 0.1
    negative_weight: Weight = 1.0
    negative_threshold: Annotated[float, Number] = Field(0.05, gt=0, lt=1)
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: the network's pass runs under autocast; weights, optimiser and losses stay in float32."""
    channels_last: bool = False
    """Weights and images with the channels innermost in memory, which GPUs' convolutions like."""
    checkpoint_every: Steps = 25
    """Steps after which a phase writes down where it stands: what a crash in mid-phase repeats, at most. Results do not
    depend on it."""
    compile: bool = False
    """Run the network through torch.compile; on the CPU it needs a C++ compiler."""


class Windows(Section):
    """Side of the window, in pixels, by mode.

    Attributes:
        region: what one purchase labels.
        pixel: the neighbourhood whose impurity counts, and that a bought pixel excludes.
    """

    region: Window = 3
    pixel: Window = 9


class StrategyConfig(Section):
    """What is bought, and how it is chosen."""

    budget: BudgetField = Budget(value=Decimal("2.2"), unit="percent")
    mode: Mode = "region"
    windows: Windows = Windows()
    shape: Shape = "sliding"
    """sliding: windows anywhere. grid: windows side by side, from the top left corner. superpixels: regions that follow
    the picture's edges, about as large as a window; they need scikit-image, the extra `superpixels`."""
    acquisition: AcquisitionName = "ripu"
    allocation: Allocation = "per_image"
    """per_image: each image has its own budget. pool: the same total goes to the best scores of the whole pool."""
    power: Annotated[float, Number, Field(gt=0, le=1000)] | None = None
    """Choose at random, with chances that grow as score ** power, instead of the best; None: the best."""
    balanced: bool = False
    """Serve the classes predicted in an image in turn, each with its best."""
    rounds: Annotated[int, Number] = Field(5, ge=1, le=1000)
    parity: bool = False
    """Follow the reference implementation where it departs from the paper: `ceil` counts, rescaled `px`, the
    order among pure windows."""

    @model_validator(mode="after")
    def _parity_has_a_reference(self) -> Self:
        if self.parity and self.allocation != "per_image":
            raise ValueError("strategy.parity: the reference implementation knows no allocation but per_image")
        if self.parity and self.shape != "sliding":
            raise ValueError("strategy.parity: the reference implementation knows no shape but sliding")
        return self

    @property
    def is_reference(self) -> bool:
        """Whether nothing is chosen: `source_only` and `full`."""
        return self.acquisition in REFERENCES

    @property
    def window(self) -> int:
        """Side of the window of the chosen mode, in pixels."""
        return self.windows.region if self.mode == "region" else self.windows.pixel

    @property
    def radius(self) -> int:
        """(window - 1) / 2, in pixels."""
        return self.window // 2


class StoppingConfig(Section):
    """When a trial ends before its last round."""

    rule: Annotated[str, AfterValidator(STOPPING_RULES.check)] | None = None
    """Name of a stopping rule, looked at after each round; None: all rounds are run."""
    min_gain: Annotated[float, Number] = Field(0.005, ge=0, le=1)
    """Of `small_gain`: mIoU, in [0, 1], that a round has to add."""


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
    noise: NoiseConfig = NoiseConfig()
    cost: CostConfig = CostConfig()

    @model_validator(mode="after")
    def _people_have_no_settings(self) -> Self:
        if self.kind == "human" and self.noise != NoiseConfig():
            raise ValueError("oracle.noise: errors of the simulated annotator, expected none with oracle.kind human")
        return self


class SweepConfig(Section):
    """The grid: each non-empty list replaces the strategy's value, or the seed, by a dimension."""

    budgets: tuple[BudgetField, ...] = ()
    modes: tuple[Mode, ...] = ()
    windows: tuple[Window, ...] = ()
    acquisitions: tuple[AcquisitionName, ...] = ()
    seeds: tuple[Seed, ...] = ()
    vary: Annotated[dict[str, Values], BeforeValidator(_varied)] = Field({})
    """Any other setting of data, model, training, strategy or oracle by its dotted key: its values."""

    @model_validator(mode="after")
    def _no_repetition(self) -> Self:
        lists = {name: getattr(self, name) for name in type(self).model_fields if name != "vary"}
        for name, listed in (lists | {f"vary {key}": values for key, values in self.vary.items()}).items():
            counts = Counter(map(str, listed))
            twice = sorted(value for value, count in counts.items() if count > 1)
            if twice:
                raise ValueError(f"sweep.{name}: {', '.join(twice)} is there more than once")
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
    project: WandbName = "ripu-ray"
    entity: WandbName | None = None
    images: int = Field(4, ge=0, le=64)
    """Pictures in W&B after each round, always of the same images, half of them of the pool; 0: none."""
