"""The embedded task: a "rendered" source and a "photographed" target, drawn from a seed and held in memory."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ripu_ray.config import DatasetSection, Size
from ripu_ray.config.fields import Count, Number, Seed
from ripu_ray.config.registry import DATASETS
from ripu_ray.data.loading import Domains, NoImages
from ripu_ray.data.synthetic.appearance import render
from ripu_ray.data.synthetic.palettes import Domain, shifted
from ripu_ray.data.synthetic.scenes import CLASSES
from ripu_ray.data.synthetic.streets import draw_scene

Split = Literal["train", "val"]
_SPLIT_CODES = {"train": 0, "val": 1}
_DOMAIN_CODES = {"source": 0, "target": 1}


@DATASETS.register("synthetic")
class SyntheticData(DatasetSection):
    """The embedded task: street-like scenes drawn from a seed, nothing to download."""

    is_drawn: ClassVar[bool] = True

    dataset: Literal["synthetic"] = "synthetic"
    """Name of the data set."""
    num_source: Count = 80
    """Labelled images of the source."""
    num_pool: Count = 40
    """Images of the target whose labels can be bought."""
    num_validation: Count = 24
    """Images of the target for evaluation."""
    size: Size = (96, 128)
    """Height and width of the images, in pixels."""
    seed: Seed = 0
    """Seed of the images."""
    shift: Annotated[float, Number] = Field(1.0, ge=0, le=3)
    """Distance of the target from the source, in [0, 3]. 0: none. 1: the documented task. 2: very large."""

    def open(self, with_source: bool = True) -> Domains:
        """See `DatasetSection`."""
        source = SyntheticImages("source", "train", self.num_source, self.size, self.seed)
        return Domains(
            classes=CLASSES,
            source=source if with_source else NoImages(),
            pool=SyntheticImages("target", "train", self.num_pool, self.size, self.seed, self.shift),
            validation=SyntheticImages("target", "val", self.num_validation, self.size, self.seed, self.shift),
        )


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
