"""From the configuration to source, pool and validation images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import CityscapesData, Data, SyntheticData
from ripu_ray.data.cityscapes import CLASSES_16, CLASSES_19, open_cityscapes
from ripu_ray.data.folder import FolderImages
from ripu_ray.data.gtav import open_gtav
from ripu_ray.data.labels import ClassTable, read_class_table
from ripu_ray.data.synthetic import CLASSES, SyntheticImages
from ripu_ray.data.synthia import open_synthia
from ripu_ray.errors import DataError


class ImageSet(Protocol):
    """The images of one domain and split, with their labels."""

    image_ids: tuple[str, ...]
    """In an order that depends on the data alone."""

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 RGB at the network's input size. Raises DataError that names the file."""

    def label(self, image_id: str) -> NDArray[np.uint8]:
        """(H, W) uint8 class ids, 255 = void, at label size. Raises DataError that names the file."""

    def label_size(self, image_id: str) -> tuple[int, int]:
        """(H, W) of the label map, without decoding it. Raises DataError that names the file."""


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


def open_domains(data: Data, with_source: bool = True) -> Domains:
    """Open the data sets that the configuration names. Cheap: lists folders, opens no image.

    Args:
        data: the configuration's `data` section.
        with_source: False leaves the source's files alone; `source` then has no images.

    Returns:
        The domains.

    Raises:
        DataError: a folder, a file of a pair or `classes.json` is missing or wrong.
    """
    if isinstance(data, SyntheticData):
        return Domains(
            classes=CLASSES,
            source=SyntheticImages("source", "train", data.num_source, data.size, data.seed)
            if with_source
            else NoImages(),
            pool=SyntheticImages("target", "train", data.num_pool, data.size, data.seed),
            validation=SyntheticImages("target", "val", data.num_validation, data.size, data.seed),
        )
    if isinstance(data, CityscapesData):
        return _open_cityscapes_pair(data, with_source)
    if not data.root.is_dir():
        raise DataError(f"{data.root}: data.root is not a folder")
    classes = read_class_table(data.root / "classes.json")

    def open_folder(domain: str, split: str) -> FolderImages:
        return FolderImages(data.root, domain, split, classes.num_classes, data.input_size, data.label_size)

    return Domains(
        classes=classes,
        source=open_folder(data.source, data.train_split) if with_source else NoImages(),
        pool=open_folder(data.target, data.train_split),
        validation=open_folder(data.target, data.validation_split),
    )


def _open_cityscapes_pair(data: CityscapesData, with_source: bool) -> Domains:
    classes = CLASSES_19 if data.source == "gtav" else CLASSES_16
    source: ImageSet = NoImages()
    if with_source:
        if data.source_root is None:
            raise DataError(f"data.source_root: expected the folder of {data.source}")
        open_source = open_gtav if data.source == "gtav" else open_synthia
        source = open_source(data.source_root, data.source_list, data.source_input_size, data.source_label_size)

    def open_target(split: str, names: Path | None) -> ImageSet:
        return open_cityscapes(data.target_root, split, classes, names, data.input_size, data.label_size)

    return Domains(
        classes=classes,
        source=source,
        pool=open_target("train", data.train_list),
        validation=open_target("val", data.validation_list),
    )
