"""Layout and look of the embedded task's two domains, interpolated and extrapolated."""

import math
from dataclasses import replace
from typing import Any, Literal

from ripu_ray.data.synthetic.appearance import Colour, Look
from ripu_ray.data.synthetic.streets import StreetStatistics

Domain = Literal["source", "target"]


def shifted(domain: Domain, shift: float) -> tuple[StreetStatistics, Look]:
    """Layout and look of a domain.

    Args:
        domain: the source is always itself.
        shift: distance of the target from the source: 0 is the source's layout and appearance, 1 the target below.
            Larger values extrapolate, until chances, counts and colours reach their limits.

    Returns:
        Both on the straight line from the source to the target. At exactly 0 and 1 they are those below.
    """
    if domain == "source" or shift in (0, 1):
        name: Domain = "source" if shift == 0 else domain
        return STREETS[name], LOOKS[name]
    streets, look = (_between(table["source"], table["target"], shift) for table in (STREETS, LOOKS))
    chances = {name: min(value, 1.0) for name, value in vars(streets).items() if name.endswith("_chance")}
    return replace(streets, **chances), look


def _between(source: Any, target: Any, shift: float) -> Any:
    """`source + shift * (target - source)`, not below 0, for each number of two equal structures."""
    if isinstance(source, StreetStatistics | Look):
        ends = vars(target)
        return replace(source, **{name: _between(value, ends[name], shift) for name, value in vars(source).items()})
    if isinstance(source, dict):
        return {name: _palette(colours, target[name], shift) for name, colours in source.items()}
    if isinstance(source, tuple):
        return tuple(_between(one, other, shift) for one, other in zip(source, target, strict=True))
    return max(source + shift * (target - source), 0.0)


def _palette(source: tuple[Colour, ...], target: tuple[Colour, ...], shift: float) -> tuple[Colour, ...]:
    """Colours between two palettes; each colour of one meets each of the other equally often."""
    pairs = ((source[i % len(source)], target[i % len(target)]) for i in range(math.lcm(len(source), len(target))))
    return tuple(_colour(*pair, shift) for pair in pairs)


def _colour(source: Colour, target: Colour, shift: float) -> Colour:
    red, green, blue = (min(round(_between(one, other, shift)), 255) for one, other in zip(source, target, strict=True))
    return red, green, blue


STREETS: dict[Domain, StreetStatistics] = {
    "source": StreetStatistics(
        horizon=(0.38, 0.48),
        building_height=(0.35, 0.8),
        gap_chance=0.25,
        verge_chance=0.35,
        sidewalk_width=(0.2, 0.6),
        trees=3.0,
        cars=3.5,
        people=2.5,
        poles=3.0,
        clutter=0.6,
        sign_chance=0.5,
        bonnet_chance=0.2,
    ),
    "target": StreetStatistics(
        horizon=(0.42, 0.54),
        building_height=(0.25, 1.0),
        gap_chance=0.35,
        verge_chance=0.5,
        sidewalk_width=(0.1, 0.4),
        trees=5.0,
        cars=2.5,
        people=1.6,
        poles=2.2,
        clutter=1.0,
        sign_chance=0.45,
        bonnet_chance=0.9,
    ),
}

LOOKS: dict[Domain, Look] = {
    "source": Look(
        palettes={
            "sky": ((95, 165, 240),),
            "grass": ((110, 190, 70),),
            "asphalt": ((90, 90, 95),),
            "marking": ((235, 235, 235),),
            "paving": ((190, 170, 160),),
            "shade": ((45, 45, 50),),
            "facade": ((180, 90, 70), (205, 180, 130), (150, 110, 90)),
            "window": ((60, 80, 110), (90, 130, 170)),
            "leaves": ((40, 140, 40), (60, 120, 40)),
            "trunk": ((110, 75, 45),),
            "body": ((210, 40, 40), (40, 70, 200), (240, 210, 50), (235, 235, 235)),
            "glass": ((50, 60, 75),),
            "tyre": ((25, 25, 28),),
            "coat": ((220, 80, 50), (60, 90, 200), (240, 200, 60), (150, 60, 160)),
            "trousers": ((50, 60, 120), (70, 70, 80)),
            "skin": ((230, 180, 150),),
            "metal": ((150, 155, 160),),
            "face": ((220, 40, 40), (40, 80, 210), (245, 215, 40)),
            "clutter": ((120, 100, 60), (40, 100, 80)),
            "bonnet": ((35, 35, 45),),
        },
        variety=8.0,
        texture=3.0,
        cast=0.02,
        exposure=0.04,
        light_slope=0.03,
        shadows=0.3,
        haze=0.0,
        vignette=0.0,
        blur=0.25,
        noise=1.0,
    ),
    "target": Look(
        palettes={
            "sky": ((150, 185, 220), (170, 190, 210), (205, 210, 214)),
            "grass": ((105, 135, 75), (125, 125, 80)),
            "asphalt": ((112, 108, 106), (135, 132, 128)),
            "marking": ((190, 188, 182),),
            "paving": ((140, 134, 128), (118, 110, 106), (155, 140, 128)),
            "shade": ((50, 50, 52),),
            "facade": ((150, 130, 112), (120, 118, 116), (185, 178, 165), (110, 80, 68)),
            "window": ((70, 76, 82), (135, 142, 148)),
            "leaves": ((52, 92, 48), (78, 104, 56), (112, 92, 58)),
            "trunk": ((74, 64, 56),),
            "body": ((60, 62, 66), (150, 152, 155), (205, 205, 205), (110, 40, 38), (45, 60, 95)),
            "glass": ((58, 64, 70), (120, 128, 134)),
            "tyre": ((38, 38, 38),),
            "coat": ((48, 48, 54), (126, 64, 56), (70, 82, 124), (170, 150, 80)),
            "trousers": ((46, 48, 58), (80, 76, 72)),
            "skin": ((190, 148, 122),),
            "metal": ((88, 88, 86), (124, 124, 120)),
            "face": ((170, 50, 46), (48, 74, 150), (190, 170, 60)),
            "clutter": ((92, 84, 70), (60, 78, 70)),
            "bonnet": ((48, 50, 54),),
        },
        variety=12.0,
        texture=6.0,
        cast=0.03,
        exposure=0.08,
        light_slope=0.1,
        shadows=1.2,
        haze=0.4,
        vignette=0.15,
        blur=0.5,
        noise=4.0,
    ),
}
