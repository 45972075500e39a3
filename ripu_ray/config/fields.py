"""The types of settings: texts, numbers within limits, paths, and the budget.

A limit excludes values that have no meaning or that no machine can process. It is not a recommendation. This module
imports nothing of ours but what a URL is.
"""

import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
)

from ripu_ray.storage.remote import RemotePath, check_nameable, locate

_BUDGET_DECIMALS = 6
"""Of a budget in per cent: a millionth of a per cent is less than a pixel of any image."""
_BUDGET_PIXELS_LIMIT = 10**9
_EXPONENT = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?[eE][+-]?[0-9]{1,3}")
_DECIMAL = re.compile(r"\s*[+-]?[0-9_]*\.?[0-9]*\s*")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
_POWER_LIMIT = 1000


class Section(BaseModel):
    """Base class of all parts of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    def __hash__(self) -> int:
        # The fields may be dicts, such as `options`, which have no hash.
        return hash(self.model_dump_json())


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
            f"budget {word!r}: expected per cent of an image's pixels, above 0 and up to 100, with a decimal point, "
            "such as 2.2, or a whole number of pixels, such as 40px"
        )
        try:
            value = Decimal(word.removesuffix("px") if word.isascii() else "")
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


class Power(Section):
    """Exponent of the score in a random choice; constant, or geometric over the rounds.

    Attributes:
        first, last: exponent of the first and of the last round, in (0, 1000].
    """

    first: float
    last: float

    @classmethod
    def parse(cls, value: object) -> "Power":
        """Read a number, or `1 -> 100`. Raises ValueError for anything else."""
        if isinstance(value, Power):
            return value
        expected = (
            f"power {value!r}: expected a number above 0 and up to {_POWER_LIMIT}, or two for a schedule over the "
            "rounds, such as 1 -> 100"
        )
        if not isinstance(value, int | float | str) or isinstance(value, bool):
            raise ValueError(expected)
        try:
            ends = [float(word if word.isascii() else "") for word in str(value).split("->")]
        except ValueError:
            raise ValueError(expected) from None
        # NaN fails the comparison, too.
        if len(ends) > 2 or not all(0 < end <= _POWER_LIMIT for end in ends):
            raise ValueError(expected)
        return cls(first=ends[0], last=ends[-1])

    def at(self, round_index: int, rounds: int) -> float:
        """The exponent of a round: first * (last / first) ** (round_index / (rounds - 1)); `first` for one round."""
        if self.first == self.last or rounds < 2:
            return self.first
        share = round_index / (rounds - 1)
        return float(self.first ** (1 - share) * self.last**share)

    def plain(self) -> float | str:
        """The value as written in a configuration: a number, or text for a schedule."""
        return self.first if self.first == self.last else str(self)

    def __str__(self) -> str:
        ends = [str(end).removesuffix(".0") for end in dict.fromkeys((self.first, self.last))]
        return " -> ".join(ends)


def _odd(window: int) -> int:
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window {window}: expected an odd number of pixels, 1 or more")
    return window


def _number(value: object) -> object:
    """Refuse what is not a number: pydantic takes `yes` and `true` for 1, and `0-4` for -4."""
    # YAML takes 1e3, without a point, for a text.
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        return float(value)
    if isinstance(value, bool) or (isinstance(value, str) and not _DECIMAL.fullmatch(value)):
        raise ValueError(f"expected a number, found {value!r}")
    return value


def _number_or_auto(most: int) -> BeforeValidator:
    def check(value: object) -> object:
        if value != "auto" and (type(value) is not int or not 0 <= value <= most):
            raise ValueError(f"expected a whole number from 0 to {most}, or auto, found {value!r}")
        return value

    return BeforeValidator(check)


def _located(value: object) -> object:
    return locate(value) if isinstance(value, str) else value


class HubId(str):
    """The id of a model of the Hugging Face Hub; also the name of a folder, until `anchor` has looked for one."""

    __slots__ = ()


def _local(path: Path) -> Path:
    if isinstance(path, RemotePath):
        raise ValueError(f"{path}: expected a folder of this machine")
    return path


def _checkpoint(value: object) -> HubId | Path:
    if not isinstance(value, str | Path):
        raise ValueError(f"expected a folder, or the id of a model of the Hugging Face Hub, found {value!r}")
    if isinstance(value, str) and _HUB_ID.fullmatch(value):
        return HubId(value)
    path = locate(value) if isinstance(value, str) else value
    return _local(check_nameable(path))


Number = BeforeValidator(_number)
BudgetField = Annotated[Budget, BeforeValidator(Budget.parse)]
PowerField = Annotated[Power, BeforeValidator(Power.parse), PlainSerializer(Power.plain)]
Window = Annotated[int, Number, Field(lt=2**16), AfterValidator(_odd)]


def _two_sides(value: object) -> object:
    if isinstance(value, list | tuple) and len(value) == 2:
        return value
    raise ValueError(f"expected [height, width], such as [180, 240], found {value!r}")


def _address(value: str) -> str:
    if value == "auto" or re.fullmatch(r"(ray|https?)://.+|[^/]+:\d{1,5}", value):
        return value
    raise ValueError(f"expected auto, HOST:PORT, ray://HOST:PORT or http://HEAD:8265, found {value!r}")


Address = Annotated[str, AfterValidator(_address)]
Url = Annotated[str, StringConstraints(pattern="^(https?|file)://", max_length=2000)]
FilePath = Annotated[Path, BeforeValidator(_located), AfterValidator(check_nameable)]
"""On this machine, or behind a URL such as s3://bucket/folder."""
LocalPath = Annotated[FilePath, AfterValidator(_local)]
Checkpoint = Annotated[HubId | Path, PlainValidator(_checkpoint), PlainSerializer(str)]
"""A folder of this machine, or `name` or `organisation/name` of the Hugging Face Hub."""
Seed = Annotated[int, Number, Field(ge=0, lt=2**63)]
NumScorers = Annotated[int | Literal["auto"], _number_or_auto(10**6)]
NumDecoders = Annotated[int | Literal["auto"], _number_or_auto(256)]
Count = Annotated[int, Number, Field(ge=1, le=10**6)]
"""Of images, cores, processes."""
Steps = Annotated[int, Number, Field(ge=1, le=10**9)]
Weight = Annotated[float, Number, Field(ge=0, le=10**6)]
"""A factor of a loss, a rate or a cost."""
Side = Annotated[int, Number, Field(ge=8, le=2**16)]
"""Of a picture, in pixels: a ledger writes rows and columns in 16 bits."""
Size = Annotated[tuple[Side, Side], BeforeValidator(_two_sides)]
Chance = Annotated[float, Number, Field(ge=0, le=1)]
WandbName = Annotated[str, StringConstraints(pattern=r"^[^/\\#?%:\x00-\x1f\x7f]{1,128}$")]
"""What W&B takes as the name of a project."""
