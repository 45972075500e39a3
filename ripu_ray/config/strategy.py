"""The sections `strategy` and `stopping`: what is bought, how it is chosen, and when a trial ends."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from ripu_ray.config.fields import Budget, BudgetField, Count, Number, Power, PowerField, Section, Window
from ripu_ray.config.registry import ACQUISITIONS, STOPPING_RULES

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


class Windows(Section):
    """Side of the window, in pixels, by mode.

    Attributes:
        region: what one purchase labels.
        pixel: the neighbourhood whose impurity counts, and that a bought pixel excludes.
    """

    region: Window = 3
    pixel: Window = 9


@dataclass(frozen=True)
class Spread:
    """How purchases are spread over scores and classes. Attributes: see the settings of `StrategyConfig`."""

    power: Power | None
    balanced: bool
    class_share: float


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
    power: PowerField | None = None
    """Choose at random, with chances that grow as score ** power, instead of the best; None: the best. `1 -> 100` rises
    from 1 in the first round to 100 in the last, geometrically."""
    balanced: bool = False
    """Serve the classes predicted in an image in turn, each with its best."""
    class_share: Annotated[float, Number, Field(ge=0, le=1)] | None = None
    """Share of a round's budget that is split equally over all classes, each with its best by p of the class times the
    score; the rest is bought by the score alone. None: 0, or the share of the acquisition's preset."""
    diversity: Annotated[int, Number, Field(ge=2, le=1000)] | None = None
    """Take this many times the regions of a round as candidates, the best by the score, and of these the regions whose
    features differ most, by greedy k-centre. None: the best by the score."""
    avoid_void: Literal["learned", "none"] = "none"
    """learned: lower the score where purchases of earlier rounds, of the same predicted class and distance to an
    outline, had no label."""
    rounds: Annotated[int, Number] = Field(5, ge=1, le=1000)
    parity: bool = False
    """Follow the reference implementation where it departs from the paper: `ceil` counts, rescaled `px`, the
    order among pure windows."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        self.check()
        return self

    def check(self) -> None:
        """Raise ValueError if two settings exclude each other. A copy with other values is not validated by itself."""
        spread = self.spread
        if self.parity and self.allocation != "per_image":
            raise ValueError("strategy.parity: the reference implementation knows no allocation but per_image")
        if self.parity and self.shape != "sliding":
            raise ValueError("strategy.parity: the reference implementation knows no shape but sliding")
        if self.parity and self.avoid_void != "none":
            raise ValueError("strategy.parity: the reference implementation knows no strategy.avoid_void")
        if self.parity and spread.class_share:
            raise ValueError(f"strategy.parity: the reference implementation knows no {self._of('class_share')}")
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
    """Name of a stopping rule, looked at after each round; None: all rounds are run."""
    min_gain: Annotated[float, Number] = Field(0.005, ge=0, le=1)
    """Of `small_gain`: mIoU, in [0, 1], that a round has to add."""
    min_kappa: Annotated[float, Number] = Field(0.99, ge=-1, le=1)
    """Of `kappa_average`: mean agreement with the round before, over the last `window` rounds, that ends a trial."""
    window: Count = 3
    """Of `kappa_average`: number of rounds."""
    max_uncertainty: Annotated[float, Number] = Field(0.05, ge=0, le=1)
    """Of `overall_uncertainty`: mean entropy over log C below which a trial ends."""
    max_change: Annotated[float, Number] = Field(0.01, ge=0, le=1)
    """Of `classification_change`: share of pixels that a round may change at most to end a trial."""
    monitor: bool = False
    """Record what the rules without labels look at, whatever `rule` says."""
    images: Count = 32
    """Images of the pool, evenly spaced, in which the rules without labels look at a fixed sample of pixels."""
