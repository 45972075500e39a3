"""Street-like scenes: a domain's layout statistics, and a street drawn from them.

Units: pixels for positions in the picture; `nearness` t in (0, 1]: 0 at the horizon, 1 at the picture's lower edge. By
perspective, a thing at nearness t stands in row horizon + t * (height - horizon) and its size grows with t.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.synthetic.scenes import (
    BUILDING,
    CAR,
    GROUND,
    PERSON,
    POLE,
    ROAD,
    SIDEWALK,
    SIGN,
    SKY,
    TERRAIN,
    VEGETATION,
    Scene,
    Thing,
)

# The picture of instances is 8-bit: things beyond this are left out (a street has about 60).
_MOST_THINGS = 250


@dataclass(frozen=True)
class StreetStatistics:
    """How a domain's streets are laid out. Counts are the means of Poisson numbers, chances are in [0, 1].

    Attributes:
        horizon: lowest and highest row of the horizon, as shares of the height.
        building_height: lowest and highest, as shares of the height at the picture's edge.
        gap_chance: of a gap between two buildings.
        verge_chance: of grass between sidewalk and buildings.
        sidewalk_width: lowest and highest, as shares of the width at the lower edge.
        trees, cars, people, poles, clutter: things per picture.
        sign_chance: of a sign on a pole.
        bonnet_chance: of the ego vehicle's bonnet (void) in the picture.
    """

    horizon: tuple[float, float]
    building_height: tuple[float, float]
    gap_chance: float
    verge_chance: float
    sidewalk_width: tuple[float, float]
    trees: float
    cars: float
    people: float
    poles: float
    clutter: float
    sign_chance: float
    bonnet_chance: float


def draw_scene(rng: np.random.Generator, statistics: StreetStatistics, size: tuple[int, int]) -> Scene:
    """Draw one street.

    Args:
        rng: all of the scene's randomness.
        statistics: the domain's layout.
        size: (height, width) in pixels.

    Returns:
        The scene; every pixel is covered.
    """
    street = _Street(rng, statistics, size)
    street.draw_ground()
    for side in (-1, 1):
        street.draw_buildings(side)
    counts = (
        (street.draw_tree, statistics.trees),
        (street.draw_car, statistics.cars),
        (street.draw_person, statistics.people),
        (street.draw_pole, statistics.poles),
        (street.draw_clutter, statistics.clutter),
    )
    # Far things first: near ones hide them.
    todo = [(rng.uniform(0.08, 0.85) ** 1.3, draw) for draw, mean in counts for _ in range(rng.poisson(mean))]
    for nearness, draw in sorted(todo, key=lambda pair: pair[0]):
        draw(nearness)
    if rng.random() < statistics.bonnet_chance:
        street.draw_bonnet()
    return Scene(np.array(street.picture), tuple(street.things), street.horizon)


class _Street:
    """The canvas, the street's perspective, and one method for each kind of thing."""

    def __init__(self, rng: np.random.Generator, statistics: StreetStatistics, size: tuple[int, int]) -> None:
        self.rng, self.statistics = rng, statistics
        self.height, self.width = size
        self.picture = Image.new("L", (self.width, self.height))
        self.canvas = ImageDraw.Draw(self.picture)
        self.things: list[Thing] = []
        self.num_owners = 0
        self.horizon = rng.uniform(*statistics.horizon) * self.height
        self.vanishing = rng.uniform(0.35, 0.65) * self.width
        # Left and right edge of the road, then of the sidewalk, at the lower edge of the picture.
        self.road = (rng.uniform(-0.15, 0.2) * self.width, rng.uniform(0.8, 1.15) * self.width)
        widths = rng.uniform(*statistics.sidewalk_width, 2) * self.width
        self.sidewalk = (self.road[0] - widths[0], self.road[1] + widths[1])
        verges = (rng.random(2) < statistics.verge_chance) * rng.uniform(0.2, 0.6, 2) * self.width
        self.wall = (self.sidewalk[0] - verges[0], self.sidewalk[1] + verges[1])

    def new_owner(self) -> int:
        self.num_owners += 1
        return self.num_owners

    def ink(self, class_id: int, material: str, nearness: float, owner: int | None = None) -> int:
        if len(self.things) < _MOST_THINGS:
            self.things.append(Thing(class_id, material, owner or self.new_owner(), nearness))
        return len(self.things) - 1

    def row(self, nearness: float) -> float:
        return self.horizon + nearness * (self.height - self.horizon)

    def column(self, at_lower_edge: float, nearness: float) -> float:
        return self.vanishing + (at_lower_edge - self.vanishing) * nearness

    def box(self, left: float, top: float, right: float, bottom: float, ink: int) -> None:
        """At least one pixel, whatever the rounding."""
        x, y = round(left), round(top)
        self.canvas.rectangle((x, y, max(x, round(right) - 1), max(y, round(bottom) - 1)), fill=ink)

    def draw_ground(self) -> None:
        self.canvas.rectangle((0, 0, self.width, self.height), fill=self.ink(SKY, "sky", 0.0))
        box = (0, self.horizon, self.width, self.height)
        self.canvas.rectangle(box, fill=self.ink(TERRAIN, "grass", GROUND))
        for edges, class_id, material in ((self.sidewalk, SIDEWALK, "paving"), (self.road, ROAD, "asphalt")):
            # Edges are given at the lower edge of the picture; the triangle ends below it, so that no corner shows.
            below = [(self.column(edge, 1.3), self.row(1.3)) for edge in edges]
            self.canvas.polygon([(self.vanishing, self.horizon), *below], fill=self.ink(class_id, material, GROUND))
        paint = self.ink(ROAD, "marking", GROUND)
        middle = (self.road[0] + self.road[1]) / 2
        for start in np.arange(self.rng.uniform(0.1, 0.3), 1.0, 0.3):
            corners = [(middle + offset * self.width, t) for t in (start, start * 1.35) for offset in (-0.012, 0.012)]
            points = [(self.column(x, t), self.row(t)) for x, t in corners]
            self.canvas.polygon([points[0], points[1], points[3], points[2]], fill=paint)

    def draw_buildings(self, side: int) -> None:
        """Facades from the picture's edge towards the vanishing point, feet on the line of the wall."""
        wall = self.wall[0] if side < 0 else self.wall[1]
        slope = (self.height - self.horizon) / (wall - self.vanishing)
        edge = -1.0 if side < 0 else self.width + 1.0
        end = self.vanishing + side * self.rng.uniform(0.02, 0.12) * self.width
        position = edge
        while (end - position) * side < 0:
            depth = abs(position - self.vanishing) / self.width
            step = self.rng.uniform(0.12, 0.4) * self.width * (0.3 + depth)
            inner = position - side * step
            if self.rng.random() >= self.statistics.gap_chance:
                self._draw_facade(position, inner, slope, self.rng.uniform(*self.statistics.building_height))
            position = inner

    def _draw_facade(self, outer: float, inner: float, slope: float, height: float) -> None:
        owner = self.new_owner()
        feet = [self.horizon + max(0.0, slope * (x - self.vanishing)) for x in (outer, inner)]
        tops = [
            self.horizon - height * self.height * abs(x - self.vanishing) / (0.6 * self.width) for x in (outer, inner)
        ]
        nearness = min(1.0, abs(outer - self.vanishing) / self.width + 0.05)
        wall = self.ink(BUILDING, "facade", nearness, owner)
        self.canvas.polygon([(outer, feet[0]), (outer, tops[0]), (inner, tops[1]), (inner, feet[1])], fill=wall)
        window = self.ink(BUILDING, "window", nearness, owner)
        rows, columns = self.rng.integers(2, 6), self.rng.integers(2, 5)
        share = self.rng.uniform(0.35, 0.6)
        for i in range(rows):
            for j in range(columns):
                a, b = (j + 0.25) / columns, (j + 0.25 + share) / columns
                x0, x1 = outer + (inner - outer) * a, outer + (inner - outer) * b
                top, foot = (ends[0] + (ends[1] - ends[0]) * (a + b) / 2 for ends in (tops, feet))
                y0 = top + (foot - top) * (i + 0.25) / rows
                y1 = top + (foot - top) * (i + 0.25 + share) / rows
                if y1 - y0 >= 1 and abs(x1 - x0) >= 1:
                    self.box(min(x0, x1), y0, max(x0, x1), y1, window)

    def _roadside(self, nearness: float) -> float:
        """A column between the road and the wall, on one side or the other."""
        side = int(self.rng.integers(2))
        share = self.rng.uniform(0.1, 0.9)
        return self.column(self.road[side] + share * (self.sidewalk[side] - self.road[side]), nearness)

    def draw_tree(self, nearness: float) -> None:
        side = int(self.rng.integers(2))
        at = self.sidewalk[side] + self.rng.uniform(-0.3, 1.0) * (self.wall[side] - self.sidewalk[side])
        x, foot, owner = self.column(at, nearness), self.row(nearness), self.new_owner()
        crown = self.height * nearness * self.rng.uniform(0.35, 0.7)
        trunk = crown * self.rng.uniform(0.0, 1.2)
        self.box(
            x - crown * 0.08, foot - trunk - crown, x + crown * 0.08, foot, self.ink(VEGETATION, "trunk", nearness)
        )
        leaves = self.ink(VEGETATION, "leaves", nearness, owner)
        for _ in range(6):
            cx = x + self.rng.normal(0, 0.35) * crown
            cy = foot - trunk - crown * self.rng.uniform(0.3, 1.1)
            radius = crown * self.rng.uniform(0.25, 0.5)
            self.canvas.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill=leaves)

    def draw_car(self, nearness: float) -> None:
        nearness = max(nearness, 0.18)
        at = self.road[0] + self.rng.choice((0.14, 0.3, 0.68, 0.86)) * (self.road[1] - self.road[0])
        x, foot, owner = self.column(at, nearness), self.row(nearness), self.new_owner()
        half = self.width * nearness * self.rng.uniform(0.1, 0.17)
        tall = half * self.rng.uniform(1.0, 1.5)
        self.box(x - half, foot - tall * 0.15, x + half, foot + tall * 0.1, self.ink(ROAD, "shade", nearness))
        body = self.ink(CAR, "body", nearness, owner)
        waist = foot - tall * 0.55
        if self.rng.random() < 0.3:  # annotators leave a border around some cars
            border = self.ink(IGNORE_LABEL, "body", nearness, owner)
            self.box(x - half - 1, waist - 1, x + half + 1, foot + 1, border)
        self.box(x - half, waist, x + half, foot - tall * 0.1, body)
        roof = [(x - half * 0.9, waist), (x - half * 0.65, foot - tall), (x + half * 0.65, foot - tall)]
        self.canvas.polygon([*roof, (x + half * 0.9, waist)], fill=body)
        glass = self.ink(CAR, "glass", nearness, owner)
        self.box(x - half * 0.6, foot - tall * 0.9, x + half * 0.6, waist, glass)
        tyre = self.ink(CAR, "tyre", nearness)
        for left in (-0.85, 0.5):
            self.box(x + half * left, foot - tall * 0.18, x + half * (left + 0.35), foot, tyre)

    def draw_person(self, nearness: float) -> None:
        nearness = max(nearness, 0.25)
        on_road = self.rng.random() < 0.25
        at = self.column(self.rng.uniform(*self.road), nearness) if on_road else self._roadside(nearness)
        foot, owner = self.row(nearness), self.new_owner()
        tall = self.height * nearness * self.rng.uniform(0.42, 0.58)
        half = tall * self.rng.uniform(0.13, 0.19)
        stride = half * self.rng.uniform(0.1, 0.9)
        legs = self.ink(PERSON, "trousers", nearness, owner)
        self.box(at - half * 0.5 - stride, foot - tall * 0.48, at - stride * 0.2, foot, legs)
        self.box(at + stride * 0.2, foot - tall * 0.48, at + half * 0.5 + stride, foot, legs)
        self.box(
            at - half, foot - tall * 0.85, at + half, foot - tall * 0.42, self.ink(PERSON, "coat", nearness, owner)
        )
        head = self.ink(PERSON, "skin", nearness, owner)
        self.box(at - half * 0.5, foot - tall, at + half * 0.5, foot - tall * 0.85, head)

    def draw_pole(self, nearness: float) -> None:
        nearness = max(nearness, 0.3)
        x, foot = self._roadside(nearness), self.row(nearness)
        tall = self.height * nearness * self.rng.uniform(0.8, 1.6)
        thick = max(1.0, self.height * nearness * 0.05)
        self.box(x, foot - tall, x + thick, foot, self.ink(POLE, "metal", nearness))
        if self.rng.random() < self.statistics.sign_chance:
            radius = max(1.5, tall * self.rng.uniform(0.07, 0.12))
            top = foot - tall * self.rng.uniform(0.85, 1.0)
            box = (x + thick / 2 - radius, top - radius, x + thick / 2 + radius, top + radius)
            face = self.ink(SIGN, "face", nearness)
            if self.rng.random() < 0.5:
                self.canvas.ellipse(box, fill=face)
            else:
                self.box(*box, face)

    def draw_clutter(self, nearness: float) -> None:
        """Bins, boxes, benches: things without a label."""
        x, foot = self._roadside(nearness), self.row(nearness)
        size = self.height * nearness * self.rng.uniform(0.1, 0.25)
        self.box(x - size / 2, foot - size, x + size / 2, foot, self.ink(IGNORE_LABEL, "clutter", nearness))

    def draw_bonnet(self) -> None:
        rise = self.rng.uniform(0.04, 0.1) * self.height
        box = (-0.1 * self.width, self.height - rise, 1.1 * self.width, self.height + 3 * rise)
        self.canvas.ellipse(box, fill=self.ink(IGNORE_LABEL, "bonnet", 1.0))
