"""The embedded task: a "rendered" source and a "photographed" target, drawn from a seed and held in memory."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ripu_ray.data.synthetic.appearance import render
from ripu_ray.data.synthetic.palettes import Domain, shifted
from ripu_ray.data.synthetic.scenes import CLASSES
from ripu_ray.data.synthetic.streets import draw_scene

__all__ = ["CLASSES", "SyntheticImages"]

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
        shift: of the target from the source, at least 0; 1 is the task as it is documented.
    """

    image_ids: tuple[str, ...]
    """`<domain>/<split>/<number>`, in the order of the numbers."""

    def __init__(
        self, domain: Domain, split: Split, num_images: int, size: tuple[int, int], seed: int, shift: float = 1.0
    ) -> None:
        self._domain, self._split, self._size, self._seed = domain, split, size, seed
        self._streets, self._look = shifted(domain, shift)
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
            scene = draw_scene(rng, self._streets, self._size)
            self._drawn[image_id] = render(rng, scene, self._look), scene.label()
        return self._drawn[image_id]
