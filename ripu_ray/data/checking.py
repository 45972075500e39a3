"""Every image and label of a data set, read once: what is wrong with it, and what it holds."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ripu_ray.config import DatasetSection
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.images import ImageSet
from ripu_ray.data.labels import ClassTable
from ripu_ray.data.listing import counted
from ripu_ray.data.loading import Domains, Unlabelled
from ripu_ray.errors import DataError

MAX_SIDE = 2**16
"""A ledger writes rows and columns in 16 bits."""
Size = tuple[int, ...]
Watch = Callable[[str, Iterable[str], int], Iterable[str]]
"""Goes between what is read and who counts it: name of the split, image ids as they are done, how many there are."""


@dataclass(frozen=True)
class SplitReport:
    """What one split holds, at the sizes that the configuration gives it.

    Attributes:
        name: "source", "pool" or "validation".
        num_images: with unreadable ones.
        image_sizes, label_sizes: (height, width) -> number of images, most frequent first.
        pixels_C: (C,) int64, label pixels by class.
        images_C: (C,) int64, images that have the class.
        void_pixels: label pixels without class.
        faults: one line for each, in the order of the images.
    """

    name: str
    num_images: int
    image_sizes: dict[Size, int]
    label_sizes: dict[Size, int]
    pixels_C: NDArray[np.int64]
    images_C: NDArray[np.int64]
    void_pixels: int
    faults: tuple[str, ...]


def check_domains(domains: Domains, data: DatasetSection) -> None:
    """Read every image and label once, so that a fault is found before any actor starts.

    Args:
        domains: what `open_domains` gave for `data`.
        data: the configuration's `data` section.

    Raises:
        DataError: one line that names the first file at fault and counts the others: damaged, of another size than
            its partner or than its split's first (batches are stacked), a label id outside the classes.
    """
    if data.is_drawn:
        return
    faults = [fault for report in inspect_domains(domains, data) for fault in report.faults]
    if faults:
        raise DataError(counted(faults), faults)


def inspect_domains(
    domains: Domains, data: DatasetSection, watch: Watch = lambda name, image_ids, total: image_ids
) -> tuple[SplitReport, ...]:
    """Read every image and label of source, pool and validation, in threads.

    Args:
        domains: what `open_domains` gave for `data`.
        data: the configuration's `data` section.
        watch: shows progress.

    Returns:
        A report for each; faults are in it, not raised.
    """
    num_classes = domains.classes.num_classes
    splits = (("source", domains.source, data.source_prefix), ("pool", domains.pool, "data."))
    return tuple(
        _with_classes(_inspect(name, images, num_classes, prefix, watch), images)
        for name, images, prefix in (*splits, ("validation", domains.validation, "data."))
    )


def _with_classes(report: SplitReport, images: ImageSet) -> SplitReport:
    """The same, and a fault if nothing in it has a class: there is nothing to learn, or to measure."""
    if report.faults or not report.num_images or report.pixels_C.any() or isinstance(images, Unlabelled):
        return report
    return replace(report, faults=(f"{report.name}: no label of its {report.num_images} images has a class",))


@dataclass(frozen=True)
class _Reading:
    image_id: str
    image_size: Size | None = None
    label_size: Size | None = None
    pixels_256: NDArray[np.int64] | None = None
    faults: tuple[str, ...] = ()


def _read(images: ImageSet, image_id: str) -> _Reading:
    image_size, label_size, pixels_256 = None, None, None
    faults: dict[str, None] = {}  # in order, and once: a label's reader looks at its image, too
    try:
        image_size = images.image(image_id).shape[:2]
    except DataError as error:
        faults[str(error)] = None
    try:
        label = images.label(image_id)
        label_size = label.shape
        pixels_256 = np.bincount(label.ravel(), minlength=IGNORE_LABEL + 1)
    except DataError as error:
        faults[str(error)] = None
    return _Reading(image_id, image_size, label_size, pixels_256, tuple(faults))


def _inspect(name: str, images: ImageSet, num_classes: int, prefix: str, watch: Watch) -> SplitReport:
    """`prefix`: of the settings that give these images their sizes."""
    # Pillow decodes without holding the interpreter's lock.
    readings: list[_Reading] = []
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:

        def done() -> Iterable[str]:
            for reading in threads.map(lambda image_id: _read(images, image_id), images.image_ids):
                readings.append(reading)
                yield reading.image_id

        for _ in watch(name, done(), len(images.image_ids)):
            pass
    pixels_256 = np.zeros(IGNORE_LABEL + 1, np.int64)
    images_256 = np.zeros(IGNORE_LABEL + 1, np.int64)
    for reading in readings:
        if reading.pixels_256 is not None:
            pixels_256 += reading.pixels_256
            images_256 += reading.pixels_256 > 0
    return SplitReport(
        name,
        len(readings),
        dict(Counter(reading.image_size for reading in readings if reading.image_size).most_common()),
        dict(Counter(reading.label_size for reading in readings if reading.label_size).most_common()),
        pixels_256[:num_classes],
        images_256[:num_classes],
        int(pixels_256[IGNORE_LABEL]),
        tuple(_faults(readings, prefix)),
    )


def _faults(readings: list[_Reading], prefix: str) -> Iterable[str]:
    first: _Reading | None = None
    for reading in readings:
        yield from reading.faults
        if reading.faults:
            continue
        first = first or reading
        assert reading.label_size
        if max(reading.label_size) > MAX_SIDE:
            yield f"{reading.image_id}: a label of more than {MAX_SIDE} pixels a side: give it a {prefix}label_size"
            continue
        for key, size, usual in (
            ("input_size", reading.image_size, first.image_size),
            ("label_size", reading.label_size, first.label_size),
        ):
            assert size and usual
            if size != usual:
                other = f"{first.image_id} is {usual[0]}x{usual[1]} (height x width)"
                yield f"{reading.image_id}: {size[0]}x{size[1]}, but {other}: give them one size with {prefix}{key}"


def draw_overlays(domains: Domains, count: int = 8, width: int = 480) -> NDArray[np.uint8]:
    """Labels over images, to be looked at: whether they belong together, and whether the classes are right.

    Args:
        domains: some readable images of each split are shown, in turn, from all over it.
        count: pictures at most.
        width: of one picture, in pixels; two stand side by side.

    Returns:
        (h, 2 * width, 3) uint8 RGB; void shows the image alone, darker.

    Raises:
        DataError: no image can be read.
    """
    pictures = []
    splits = [images for images in (domains.source, domains.pool, domains.validation) if images.image_ids]
    for number in range(count):
        images = splits[number % len(splits)]
        step = len(images.image_ids) * (number // len(splits)) * len(splits) // count
        image_id = images.image_ids[min(step, len(images.image_ids) - 1)]
        try:
            pictures.append(_overlay(images.image(image_id), images.label(image_id), domains.classes, width))
        except DataError:
            continue  # among the faults
    if not pictures:
        raise DataError("no image can be read together with its label: there is nothing to draw")
    height = max(picture.height for picture in pictures)
    sheet = Image.new("RGB", (2 * width, height * -(-len(pictures) // 2)))
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (width * (number % 2), height * (number // 2)))
    return np.array(sheet)


def _overlay(image_HW3: NDArray[np.uint8], label_HW: NDArray[np.uint8], classes: ClassTable, width: int) -> Image.Image:
    colours_2563 = np.zeros((IGNORE_LABEL + 1, 3), np.uint8)
    colours_2563[: classes.num_classes] = classes.colours
    size = width, max(1, round(width * label_HW.shape[0] / label_HW.shape[1]))
    image = Image.fromarray(image_HW3).resize(size, Image.Resampling.BILINEAR)
    label = Image.fromarray(colours_2563[label_HW]).resize(size, Image.Resampling.NEAREST)
    return Image.blend(image, label, 0.5)
