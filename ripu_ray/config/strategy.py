"""The sections `strategy` and `stopping`: what is bought, how it is chosen, and when a trial ends."""

from decimal import Decimal
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from ripu_ray.config.fields import Budget, BudgetField, Number, PowerField, Section, Window
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
