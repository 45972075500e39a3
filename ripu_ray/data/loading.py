"""From the configuration to source, pool and validation images."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import DatasetSection
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.foreign import CheckedImages, checked_classes, is_foreign
from ripu_ray.data.images import ImageSet
from ripu_ray.data.labels import MIN_CLASSES, ClassTable
from ripu_ray.errors import DataError, blamed


@dataclass(frozen=True)
class Domains:
    """What a simulation works on.

    Attributes:
        classes: the classes of all label maps.
        source: labelled images of the source domain.
        pool: images of the target domain whose labels can be bought.
        validation: images of the target domain for evaluation alone.
        stored: the class tables of their files, with the encodings of labels, where they differ from `classes`.
    """

    classes: ClassTable
    source: ImageSet
    pool: ImageSet
    validation: ImageSet
    stored: tuple[ClassTable, ...] = ()


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


class Unlabelled:
    """An `ImageSet` whose labels are not read: every pixel is void.

    Args:
        images: their labels may be missing, but not the labels' size.
    """

    def __init__(self, images: ImageSet) -> None:
        self.images = images
        self.image_ids, self.image, self.label_size = images.image_ids, images.image, images.label_size

    def label(self, image_id: str) -> NDArray[np.uint8]:
        """(H, W) uint8, IGNORE_LABEL everywhere. Raises DataError: the image cannot be read."""
        return np.full(self.label_size(image_id), IGNORE_LABEL, np.uint8)


def open_domains(data: DatasetSection, with_source: bool = True) -> Domains:
    """Open the data set that the configuration names: see `DatasetSection.open`. Raises DataError, too: one class.

    With `oracle.kind: human` the pool is `Unlabelled`, and validation may have no images.
    """
    domains = _open_foreign(data, with_source) if is_foreign(data) else data.open(with_source)
    if domains.classes.num_classes < MIN_CLASSES:
        names = ", ".join(domains.classes.names)
        raise DataError(
            f"data.dataset {data.dataset}: expected at least {MIN_CLASSES} classes, found {names or 'none'}"
        )
    return replace(domains, pool=Unlabelled(domains.pool)) if data.asks_people else domains


def _open_foreign(data: DatasetSection, with_source: bool) -> Domains:
    """The data set of a plug-in or program, with images that are checked. Raises DataError."""
    place = f"data.dataset {data.dataset}"
    with blamed(place, DataError):
        domains = data.open(with_source)
    if not isinstance(domains, Domains) or not isinstance(domains.classes, ClassTable):
        raise DataError(f"{place}: open returned {type(domains).__name__}: expected Domains with a ClassTable")
    classes = checked_classes(domains.classes, place)
    number = classes.num_classes
    source, pool, validation = (
        CheckedImages(images, f"{place}: {name}", number)
        for name, images in (("source", domains.source), ("pool", domains.pool), ("validation", domains.validation))
    )
    if not pool.image_ids:
        raise DataError(f"{place}: pool: there are no images")
    return Domains(classes, source, pool, validation)
