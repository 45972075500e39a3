"""The sections `strategy` and `stopping`: what is bought, how it is chosen, and when a trial ends."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, JsonValue, model_validator

from ripu_ray.config.fields import Budget, BudgetField, Count, Number, Power, PowerField, Section, Window
from ripu_ray.config.registry import ACQUISITIONS, STOPPING_RULES

Mode = Literal["region", "pixel"]
Reference = Literal["source_only", "full"]
"""References for the strategies: trained for as many steps, with nothing or with everything bought."""
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


class Windows(Section):
    """Side of the window by mode, in pixels."""

    region: Window = 3
    """Side of the region that one purchase labels in mode region, in pixels, odd."""
    pixel: Window = 9
    """Side of the window of the impurity in mode pixel, in pixels, odd. A bought pixel excludes the others in its
    window."""


@dataclass(frozen=True)
class Spread:
    """How purchases are spread over scores and classes. Attributes: see the settings of `StrategyConfig`."""

    power: Power | None
    balanced: bool
    class_share: float


class StrategyConfig(Section):
    """The purchases of one trial. The lists under `sweep` replace these values."""

    budget: BudgetField = Budget(value=Decimal("2.2"), unit="percent")
    """Budget per target image over all rounds: per cent of its pixels (2.2), or a number of pixels (40px)."""
    mode: Mode = "region"
    """What is bought: whole regions, or single pixels."""
    windows: Windows = Windows()
    shape: Shape = "sliding"
    """Shape of regions. sliding: windows at any position. grid: non-overlapping windows from the top left corner.
    superpixels: segments along image edges, about as large as a window; they need the extra `superpixels`."""
    acquisition: AcquisitionName = "ripu"
    """Name of an acquisition function, or of a reference: source_only or full. docs/strategies.md lists them."""
    options: dict[str, JsonValue] = Field({})
    """Further arguments of an acquisition function of your own, called as function(maps, query, **options). The
    functions of this package have none."""
    allocation: Allocation = "per_image"
    """Scope of the budget. per_image: each image has its own budget. pool: the same total is spent on the best scores
    of the whole pool."""
    power: PowerField | None = None
    """Exponent p of random selection with probabilities proportional to score ** p. `1 -> 100`: p increases
    geometrically from the first to the last round. None: the preset of the acquisition function, or select the best
    scores."""
    balanced: bool = False
    """Alternate between the classes predicted in an image, and select the best region of each."""
    class_share: Annotated[float, Number, Field(ge=0, le=1)] | None = None
    """Share of a round's budget that is split equally over all classes. For each class, regions with the largest
    product of its probability and the score are selected. The rest is selected by score. None: the preset of the
    acquisition function, or 0."""
    diversity: Annotated[int, Number, Field(ge=2, le=1000)] | None = None
    """Factor m of diverse selection: among the m * n best candidates, select the n whose features differ most. The
    method is greedy k-centre. None: select by score only."""
    avoid_void: Literal["learned", "none"] = "none"
    """Avoid regions without label. learned: lower the score of regions that are like earlier purchases without label.
    Regions are alike if their predicted class and their distance to an outline are the same."""
    rounds: Annotated[int, Number] = Field(5, ge=1, le=1000)
    """Number of rounds. Each spends an equal part of the budget."""
    parity: bool = False
    """Follow the reference implementation where it differs from the paper: rounding of counts, scaled `px` budgets, the
    order of regions without impurity."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        self.check()
        return self

    def check(self) -> None:
        """Raise ValueError if two settings exclude each other. A copy with other values is not validated by itself."""
        spread = self.spread
        if self.parity and self.allocation != "per_image":
            raise ValueError("strategy.parity: the reference implementation has no allocation but per_image")
        if self.parity and self.shape != "sliding":
            raise ValueError("strategy.parity: the reference implementation has no shape but sliding")
        if self.parity and self.avoid_void != "none":
            raise ValueError("strategy.parity: the reference implementation has no strategy.avoid_void")
        if self.parity and spread.class_share:
            raise ValueError(f"strategy.parity: the reference implementation has no {self._of('class_share')}")
        others = [name for name in ("balanced", "class_share") if getattr(spread, name)]
        if self.diversity and (others or self.parity or self.allocation == "pool"):
            what = [self._of(name) for name in others] or ["parity" if self.parity else "allocation pool"]
            raise ValueError(f"strategy.diversity: chooses among the candidates of one image, and excludes {what[0]}")
        if spread.balanced and spread.class_share:
            raise ValueError(
                f"strategy: {self._of('balanced')} and {self._of('class_share')} exclude each other: both say which "
                "class is served"
            )

    def _of(self, name: str) -> str:
        """Name a setting, and its acquisition if it comes from the preset."""
        return f"strategy.{name}" if getattr(self, name) else f"{name} of {self.acquisition}"

    @property
    def needs(self) -> frozenset[str]:
        """What the strategy needs beside logits: see `core.acquisition.Acquisition`."""
        if self.is_reference:
            return frozenset()
        needs: frozenset[str] = ACQUISITIONS[self.acquisition].needs
        return needs | {"features"} if self.diversity else needs

    @property
    def spread(self) -> Spread:
        """How purchases are spread, with the acquisition's preset where the strategy has no setting of its own."""
        preset = None if self.is_reference else ACQUISITIONS[self.acquisition]
        share = self.class_share if self.class_share is not None or not preset else preset.class_share
        return Spread(
            self.power or (preset and preset.power), self.balanced or bool(preset and preset.balanced), share or 0.0
        )

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
    """Name of a stopping rule, such as small_gain, which is checked after each round. docs/strategies.md lists them.
    None: all rounds are run."""
    min_gain: Annotated[float, Number] = Field(0.005, ge=0, le=1)
    """For `small_gain`: minimum increase of the mIoU per round, in [0, 1]."""
    min_kappa: Annotated[float, Number] = Field(0.99, ge=-1, le=1)
    """For `kappa_average`: mean agreement with the previous round, over the last `window` rounds, at which a trial
    ends."""
    window: Count = 3
    """For `kappa_average`: number of rounds over which kappa is averaged."""
    max_uncertainty: Annotated[float, Number] = Field(0.05, ge=0, le=1)
    """For `overall_uncertainty`: normalised mean entropy, in [0, 1], below which a trial ends."""
    max_change: Annotated[float, Number] = Field(0.01, ge=0, le=1)
    """For `classification_change`: share of pixels with a changed prediction at which a trial ends."""
    monitor: bool = False
    """Record kappa, change and uncertainty of the predictions with any rule, and without one."""
    images: Count = 32
    """Number of images, evenly spaced over the pool, in which kappa, change and uncertainty are measured."""
    options: dict[str, JsonValue] = Field({})
    """Settings of a rule of your own, which reads them from this section. The rules of this package have none."""
