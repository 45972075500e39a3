"""What a scene is: which thing covers each pixel, what it is made of, and how near it is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ripu_ray.data.labels import ClassTable

CLASSES = ClassTable(
    names=("road", "sidewalk", "building", "vegetation", "terrain", "sky", "car", "pole", "sign", "person"),
    colours=(
        (96, 80, 104),
        (214, 120, 200),
        (110, 72, 60),
        (70, 130, 50),
        (160, 200, 110),
        (90, 160, 220),
        (30, 50, 170),
        (170, 170, 170),
        (235, 205, 40),
        (215, 40, 60),
    ),
)
ROAD, SIDEWALK, BUILDING, VEGETATION, TERRAIN, SKY, CAR, POLE, SIGN, PERSON = range(CLASSES.num_classes)
GROUND = -1.0
"""`nearness` of what reaches from the picture's lower edge to the horizon."""


@dataclass(frozen=True)
class Thing:
    """One surface of one object.

    Attributes:
        class_id: 0..9, or 255 for what is not labelled.
        material: a key of the appearance's palettes.
        owner: things of one owner and material share a colour.
        nearness: in (0, 1]; 0 for the sky, GROUND for the ground.
    """

    class_id: int
    material: str
    owner: int
    nearness: float


@dataclass(frozen=True)
class Scene:
    """A street.

    Attributes:
        instances: (H, W) uint8, index into `things`.
        things: at most 250.
        horizon: row of the horizon.
    """

    instances: NDArray[np.uint8]
    things: tuple[Thing, ...]
    horizon: float

    def label(self) -> NDArray[np.uint8]:
        """(H, W) uint8 class ids, 255 = void."""
        class_ids = np.array([thing.class_id for thing in self.things], dtype=np.uint8)
        return class_ids[self.instances]
