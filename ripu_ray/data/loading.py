"""From the configuration to source, pool and validation images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import CityscapesData, Data, SyntheticData
from ripu_ray.data.caching import CachedImages
from ripu_ray.data.cityscapes import CLASSES_16, CLASSES_19, open_cityscapes
from ripu_ray.data.folder import FolderImages
from ripu_ray.data.gtav import open_gtav
from ripu_ray.data.images import FileImageSet, ImageSet
from ripu_ray.data.labels import ClassTable, read_class_table
from ripu_ray.data.synthetic.images import CLASSES, SyntheticImages
from ripu_ray.data.synthia import open_synthia
from ripu_ray.errors import DataError
from ripu_ray.storage.remote import check_readable


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
        InputError: a folder is behind a URL, and cannot be read.
    """
    if isinstance(data, SyntheticData):
        return Domains(
            classes=CLASSES,
            source=SyntheticImages("source", "train", data.num_source, data.size, data.seed)
            if with_source
            else NoImages(),
            pool=SyntheticImages("target", "train", data.num_pool, data.size, data.seed, data.shift),
            validation=SyntheticImages("target", "val", data.num_validation, data.size, data.seed, data.shift),
        )
    if isinstance(data, CityscapesData):
        return _open_cityscapes_pair(data, with_source)
    check_readable(data.root)
    if not data.root.is_dir():
        raise DataError(f"{data.root}: data.root is not a folder")
    classes = read_class_table(data.root / "classes.json")

    def open_folder(domain: str, split: str) -> ImageSet:
        images = FolderImages(data.root, domain, split, classes.num_classes, data.input_size, data.label_size)
        return _cached(images, data.cache, "folder", classes, data.input_size, data.label_size)

    return Domains(
        classes=classes,
        source=open_folder(data.source, data.train_split) if with_source else NoImages(),
        pool=open_folder(data.target, data.train_split),
        validation=open_folder(data.target, data.validation_split),
    )


def _open_cityscapes_pair(data: CityscapesData, with_source: bool) -> Domains:
    classes = CLASSES_19 if data.source == "gtav" else CLASSES_16
    check_readable(data.target_root)
    source: ImageSet = NoImages()
    if with_source:
        if data.source_root is None:
            raise DataError(f"data.source_root: expected the folder of {data.source}")
        check_readable(data.source_root)
        open_source = open_gtav if data.source == "gtav" else open_synthia
        sizes = data.source_input_size, data.source_label_size
        source = open_source(data.source_root, data.source_list, *sizes)
        source = _cached(source, data.cache, data.source, classes, *sizes)

    def open_target(split: str, names: Path | None) -> ImageSet:
        images = open_cityscapes(data.target_root, split, classes, names, data.input_size, data.label_size)
        return _cached(images, data.cache, "cityscapes", classes, data.input_size, data.label_size)

    return Domains(
        classes=classes,
        source=source,
        pool=open_target("train", data.train_list),
        validation=open_target("val", data.validation_list),
    )


def _cached(
    images: FileImageSet,
    folder: Path | None,
    reader: str,
    classes: ClassTable,
    input_size: tuple[int, int] | None,
    label_size: tuple[int, int] | None,
) -> ImageSet:
    """`images`, by way of the cache if there is one. The other arguments say what its entries were read with."""
    if folder is None:
        return images
    reading = {"reader": reader, "classes": classes.names, "input_size": input_size, "label_size": label_size}
    return CachedImages(images, folder, reading)
