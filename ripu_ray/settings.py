"""The sections of the configuration: frozen pydantic models, unknown keys refused.

This module imports nothing of ours; everybody takes the sections from `config`.
"""

from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

Mode = Literal["region", "pixel"]
AcquisitionName = Literal["ripu", "entropy", "random"]
WandbMode = Literal["auto", "offline", "online", "disabled"]

_BUDGET_DECIMALS = 6
"""Of a budget in per cent: a millionth of a per cent is less than a pixel of any image."""
_BUDGET_PIXELS_LIMIT = 10**9


class Section(BaseModel):
    """What every part of the configuration is."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Budget(Section):
    """What may be bought of each target image over all rounds.

    Attributes:
        value: per cent of the image's pixels in (0, 100], or pixels per image, > 0.
        unit: which of the two.
    """

    value: Decimal
    unit: Literal["percent", "pixels"]

    @classmethod
    def parse(cls, text: object) -> "Budget":
        """Read `2.2` (per cent) or `40px` (pixels per image). Raises ValueError for anything else."""
        if isinstance(text, Budget):
            return text
        word = str(text).strip()
        unit: Literal["percent", "pixels"] = "pixels" if word.endswith("px") else "percent"
        expected = (
            f"budget {word!r}: expected per cent of an image's pixels, above 0 and up to 100, such as 2.2, "
            "or a whole number of pixels, such as 40px"
        )
        try:
            value = Decimal(word.removesuffix("px"))
        except InvalidOperation:
            raise ValueError(expected) from None
        if not value.is_finite() or not 0 < value <= (100 if unit == "percent" else _BUDGET_PIXELS_LIMIT):
            raise ValueError(expected)
        if value != round(value, 0 if unit == "pixels" else _BUDGET_DECIMALS):
            raise ValueError(expected)
        return cls(value=value.normalize(), unit=unit)

    def pixels(self, num_pixels: int) -> Fraction:
        """The budget in pixels, exact, of an image of `num_pixels` pixels."""
        if self.unit == "percent":
            return Fraction(self.value) * num_pixels / 100
        return Fraction(self.value)

    def __str__(self) -> str:
        return f"{self.value:f}" + ("px" if self.unit == "pixels" else "")


def _odd(window: int) -> int:
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window {window}: expected an odd number of pixels, 1 or more")
    return window


BudgetField = Annotated[Budget, BeforeValidator(Budget.parse)]
Window = Annotated[int, AfterValidator(_odd)]
Url = Annotated[str, StringConstraints(pattern="^(https?|file)://")]
Size = tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]]


class SyntheticData(Section):
    """The embedded task: street-like scenes drawn from a seed, nothing to download."""

    dataset: Literal["synthetic"] = "synthetic"
    num_source: int = Field(80, ge=1)
    num_pool: int = Field(40, ge=1)
    num_validation: int = Field(24, ge=1)
    size: Size = (96, 128)
    seed: int = Field(0, ge=0)


class FolderData(Section):
    """Images and labels in `<root>/<domain>/<split>/{images,labels}/` with `<root>/classes.json`."""

    dataset: Literal["folder"] = "folder"
    root: Path
    source: str = "source"
    target: str = "target"
    train_split: str = "train"
    validation_split: str = "val"
    input_size: Size | None = None
    """(height, width) the network sees; images are resized bilinearly. None: as stored."""
    label_size: Size | None = None
    """(height, width) at which labels are bought and evaluated; resized to nearest. None: as stored."""
    cache: Path | None = None
    """Folder for decoded and resized images and labels, on a local disk; many processes may share it. None: decode
    at every use."""


class CityscapesData(Section):
    """GTAV or SYNTHIA as the source and Cityscapes as the target, each in the folders it is published in.

    With GTAV there are 19 classes, with SYNTHIA 16. Sizes are (height, width), as in `FolderData`.
    """

    dataset: Literal["cityscapes"]
    source: Literal["gtav", "synthia"]
    source_root: Path | None = None
    """Holds `images` and `labels` (GTAV), or `RGB` and `GT/LABELS` (SYNTHIA, the folder RAND_CITYSCAPES).
    May be left out where the source is not opened."""
    target_root: Path
    """Holds `leftImg8bit` and `gtFine`."""
    source_list: Path | None = None
    """Text file, one image file name a line: the images to use. None: all."""
    train_list: Path | None = None
    validation_list: Path | None = None
    source_input_size: Size | None = None
    source_label_size: Size | None = None
    input_size: Size | None = None
    label_size: Size | None = None
    cache: Path | None = None
    """See `FolderData`."""


class ModelConfig(Section):
    """The network."""

    name: Literal["compact", "deeplabv2", "deeplabv3plus"] = "compact"
    width: int = Field(32, ge=8, multiple_of=8)
    """Channels of `compact`; the others' are given."""
    backbone_weights: Url | Path | None = Field(None, union_mode="left_to_right")
    """ImageNet weights of ResNet-101 with torchvision's names, for a fresh `deeplabv2` or `deeplabv3plus`: a file, or
    where to fetch it."""
    init_from: Path | None = None
    """Checkpoint whose weights a fresh network takes: one of ours, or one that the reference published."""

    @model_validator(mode="after")
    def _weights_have_a_use(self) -> Self:
        if self.backbone_weights and self.name == "compact":
            raise ValueError("backbone_weights: `compact` has no ResNet-101; choose name deeplabv2 or deeplabv3plus")
        if self.backbone_weights and self.init_from:
            raise ValueError("backbone_weights and init_from: init_from replaces every weight; name one of them")
        return self


class TrainingConfig(Section):
    """The recipe. Steps are optimiser updates; the learning rate falls as (1 - step / schedule_steps) ** power."""

    warmup_steps: int = Field(300, ge=0)
    round_steps: int = Field(60, ge=1)
    last_round_steps: int | None = Field(None, ge=1)
    """Of the last round, after which training goes on; None: as many as of the others."""
    schedule_steps: int | None = Field(None, ge=1)
    """Horizon of the polynomial schedule; None: the warm-up, all rounds, and round_steps more."""
    source_free: bool = False
    """Train on bought target pixels alone, without the source's losses; the source's images are never opened."""
    source_sampling: Literal["uniform", "rarity"] = "uniform"
    """rarity: the rarer a class among the source images drawn so far, the more often an image that has it."""
    label_resolution: Literal["label", "input"] = "label"
    """Where the losses are taken. label: logits are brought to the labels' size, and every bought pixel counts.
    input: labels are resized to nearest to the images' size, as the reference does, and most bought pixels are lost."""
    source_batch: int = Field(4, ge=1)
    target_batch: int = Field(4, ge=1)
    optimiser: Literal["sgd", "adamw"] = "adamw"
    """sgd is the paper's; adamw learns the embedded task from scratch, where sgd is unsteady (docs/log.md)."""
    learning_rate: float = Field(0.003, gt=0)
    head_rate_factor: float = Field(1.0, gt=0)
    power: float = Field(0.9, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    """Of sgd."""
    weight_decay: float = Field(0.01, ge=0)
    consistency_weight: float = Field(0.1, ge=0)
    negative_weight: float = Field(1.0, ge=0)
    negative_threshold: float = Field(0.05, gt=0, lt=1)
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: the network's pass runs under autocast; weights, optimiser and losses stay in float32."""
    channels_last: bool = False
    """Weights and images with the channels innermost in memory, which GPUs' convolutions like."""
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
    acquisition: AcquisitionName = "ripu"
    rounds: int = Field(5, ge=1)
    parity: bool = False
    """Follow the reference implementation where it departs from the paper: `ceil` counts, rescaled `px`, the
    order among pure windows."""

    @property
    def window(self) -> int:
        """Side of the window of the chosen mode, in pixels."""
        return self.windows.region if self.mode == "region" else self.windows.pixel

    @property
    def radius(self) -> int:
        """(window - 1) / 2, in pixels."""
        return self.window // 2


class SweepConfig(Section):
    """The grid: each non-empty list replaces the strategy's value, or the seed, by a dimension."""

    budgets: tuple[BudgetField, ...] = ()
    modes: tuple[Mode, ...] = ()
    windows: tuple[Window, ...] = ()
    acquisitions: tuple[AcquisitionName, ...] = ()
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = ()

    @model_validator(mode="after")
    def _no_repetition(self) -> Self:
        for name in type(self).model_fields:
            values = [str(value) for value in getattr(self, name)]
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"sweep.{name}: {', '.join(twice)} is there more than once")
        return self


class ClusterConfig(Section):
    """Where the work runs. 0 scorers or 0 train workers: in the trial's own process."""

    address: str | None = None
    """A running Ray cluster; None: a Ray of its own on this machine."""
    cpus: int | None = Field(None, ge=1)
    """Cores that a Ray of its own is told of; None: those that this process may use."""
    scorers: int = Field(1, ge=0)
    train_workers: int = Field(0, ge=0)
    concurrent_trials: int | None = Field(None, ge=1)
    """Trials at the same time, at most; None: as many as the cores allow."""
    gpu: bool = False
    """Each scorer and each train worker takes a whole GPU."""
    threads: int = Field(1, ge=1)
    """Torch threads per process. Results may differ in the last bit between values, so it is part of the recipe."""
    max_failures: int = Field(3, ge=0)
    """How often a dead actor or worker is replaced within one phase."""
    start_timeout_s: float = Field(300.0, gt=0)


class TrackingConfig(Section):
    """Where results are sent, beside the run folder."""

    wandb: WandbMode = "auto"
    project: str = "ripu-ray"
    entity: str | None = None


Data = SyntheticData | FolderData | CityscapesData
