"""The embedded task: a "rendered" source and a "photographed" target, drawn from a seed and held in memory."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ripu_ray.data.appearance import Look, render
from ripu_ray.data.scenes import CLASSES
from ripu_ray.data.streets import StreetStatistics, draw_scene

__all__ = ["CLASSES", "SyntheticImages"]

Domain = Literal["source", "target"]
Split = Literal["train", "val"]
_SPLIT_CODES = {"train": 0, "val": 1}
_DOMAIN_CODES = {"source": 0, "target": 1}


class SyntheticImages:
    """The images of one domain and split; the `ImageSet` of the embedded task.

    An image depends on (seed, domain, split, its number) and the size alone, not on the number of images.

    Args:
        domain: "source" (rendered) or "target" (photographed).
        split: "train" or "val".
        num_images: at least 1.
        size: (height, width) in pixels of images and labels.
        seed: at least 0.
    """

    image_ids: tuple[str, ...]
    """`<domain>/<split>/<number>`, in the order of the numbers."""

    def __init__(self, domain: Domain, split: Split, num_images: int, size: tuple[int, int], seed: int) -> None:
        self._domain, self._split, self._size, self._seed = domain, split, size, seed
        self.image_ids = tuple(f"{domain}/{split}/{number:05d}" for number in range(num_images))
        self._numbers = {image_id: number for number, image_id in enumerate(self.image_ids)}
        self._drawn: dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 RGB of one of `image_ids`; the caller's own copy."""
        return self._draw(image_id)[0].copy()

    def label(self, image_id: str) -> NDArray[np.uint8]:
        """(height, width) uint8 class ids, 255 = void, of one of `image_ids`; the caller's own copy."""
        return self._draw(image_id)[1].copy()

    def label_size(self, image_id: str) -> tuple[int, int]:
        """(height, width) of the label map, without drawing it."""
        return self._size

    def _draw(self, image_id: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        if image_id not in self._drawn:
            key = (self._seed, _DOMAIN_CODES[self._domain], _SPLIT_CODES[self._split], self._numbers[image_id])
            rng = np.random.default_rng(key)
            scene = draw_scene(rng, STREETS[self._domain], self._size)
            self._drawn[image_id] = render(rng, scene, LOOKS[self._domain]), scene.label()
        return self._drawn[image_id]


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
