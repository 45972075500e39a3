"""From the configuration to source, pool and validation images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import DatasetSection
from ripu_ray.data.images import ImageSet
from ripu_ray.data.labels import MIN_CLASSES, ClassTable
from ripu_ray.errors import DataError


@dataclass(frozen=True)
class Domains:
    """What a simulation works on.

    Attributes:
        classes: the classes of all label maps.
        source: labelled images of the source domain.
        pool: images of the target domain whose labels can be bought.
        validation: images of the target domain for evaluation alone.
    """

    classes: ClassTable
    source: ImageSet
    pool: ImageSet
    validation: ImageSet


class NoImages:
    """An `ImageSet` without images, in place of a source that is not used and need not be there."""

    image_ids: tuple[str, ...] = ()

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """There is none."""
        raise KeyError(image_id)

    label = image

    def label_size(self, image_id: str) -> tuple[int, int]:
        """There is none."""
        raise KeyError(image_id)


def open_domains(data: DatasetSection, with_source: bool = True) -> Domains:
    """Open the data set that the configuration names: see `DatasetSection.open`. Raises DataError, too: one class."""
    domains: Domains = data.open(with_source)
    if domains.classes.num_classes < MIN_CLASSES:
        names = ", ".join(domains.classes.names)
        raise DataError(
            f"data.dataset {data.dataset}: expected at least {MIN_CLASSES} classes, found {names or 'none'}"
        )
    return domains
