"""Every image and label of a data set, read once: what is wrong with it, and what it holds."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import DatasetSection
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.contents import NOTHING, Contents, Marks, digest_classes, line, mark_array, mark_file
from ripu_ray.data.foreign import is_foreign
from ripu_ray.data.images import FileImageSet, ImageSet
from ripu_ray.data.loading import Domains, Unlabelled
from ripu_ray.data.pairs import SAME_ASPECT
from ripu_ray.data.pictures import noted_warnings, picture_size, shown_size
from ripu_ray.errors import DataError, counted, first_of
from ripu_ray.storage.remote import RemotePath

MAX_SIDE = 2**16
"""A ledger writes rows and columns in 16 bits."""
Size = tuple[int, ...]
T = TypeVar("T")
Result = TypeVar("Result")
Watch = Callable[[str, Iterable[T], int], Iterable[T]]
"""Goes over items as they are done, to show progress: what they are, such as the name of a split; items; how many."""


@dataclass(frozen=True)
class SplitReport:
    """What one split holds, at the sizes that the configuration gives it.

    Attributes:
        name: "source", "pool" or "validation".
        num_images: unreadable ones included.
        image_sizes, label_sizes: (height, width) -> number of images, most frequent first.
        stored_sizes: likewise, of the images' files; empty where images are not files.
        pixels_C: (C,) int64, label pixels by class.
        images_C: (C,) int64, images that have the class.
        void_pixels: label pixels without class.
        faults: one line for each, in the order of the images.
        notes: lines on what is accepted, but may be a mistake.
        marks: image id -> digests of image and label (`contents.line`); empty if nothing was hashed.
    """

    name: str
    num_images: int
    image_sizes: dict[Size, int]
    label_sizes: dict[Size, int]
    stored_sizes: dict[Size, int]
    pixels_C: NDArray[np.int64]
    images_C: NDArray[np.int64]
    void_pixels: int
    faults: tuple[str, ...]
    notes: tuple[str, ...]
    marks: dict[str, str]


def check_domains(
    domains: Domains,
    data: DatasetSection,
    earlier: Contents = NOTHING,
    notify: Callable[[str], object] = lambda line: None,
) -> Contents:
    """Read every image and label once, so that a fault is found before any actor starts.

    Args:
        domains: what `open_domains` gave for `data`.
        data: the configuration's `data` section.
        earlier: an earlier result, whose files are not hashed again if their sizes and times are the same.
        notify: receives lines on what is accepted, but may be a mistake.

    Returns:
        Digests of all that was read; `NOTHING` for drawn images. Of a plug-in's drawn images, the first ones are read.

    Raises:
        DataError: one line that names the first file at fault and counts the others: damaged, of another size than
            its partner or than its split's first (batches are stacked), a label id outside the classes.
    """
    if data.is_drawn:
        for images in (domains.source, domains.pool, domains.validation) if is_foreign(data) else ():
            for image_id in images.image_ids[:1]:
                images.image(image_id)
                images.label(image_id)
        return NOTHING
    reports = inspect_domains(domains, data, earlier=earlier)
    faults = [fault for report in reports for fault in report.faults]
    if faults:
        raise DataError(first_of(faults), faults)
    for note in (note for report in reports for note in report.notes):
        notify(note)
    return Contents(digest_classes(domains.classes, *domains.stored), {report.name: report.marks for report in reports})


def inspect_domains(
    domains: Domains,
    data: DatasetSection,
    watch: Watch[str] = lambda name, image_ids, total: image_ids,
    earlier: Contents | None = None,
) -> tuple[SplitReport, ...]:
    """Read every image and label of source, pool and validation, in threads.

    Args:
        domains: what `open_domains` gave for `data`.
        data: the configuration's `data` section.
        watch: shows progress.
        earlier: hash the files, except those that it contains; None: hash nothing.

    Returns:
        A report for each; faults are in it, not raised.
    """
    num_classes = domains.classes.num_classes
    splits = (
        ("source", domains.source, data.source_prefix),
        ("pool", domains.pool, "data."),
        ("validation", domains.validation, "data."),
    )
    reports: list[SplitReport] = []
    files: dict[str, set[str]] = {}
    for name, images, prefix in splits:
        report = _with_classes(_inspect(name, images, num_classes, prefix, watch, earlier), images)
        mine = set(map(_real, images.files.values())) if isinstance(images, FileImageSet) else set()
        shared = {other: len(mine & theirs) for other, theirs in files.items()}
        same = (
            f"{other} and {name} have {counted(count, 'image')} in common" for other, count in shared.items() if count
        )
        unused = data.without_effect() if not reports else ()
        reports.append(replace(report, notes=(*unused, *report.notes, *same)))
        files[name] = mine
    return tuple(reports)


def read_all(what: str, items: Sequence[T], read: Callable[[T], Result], watch: Watch[T]) -> list[Result]:
    """What `read` returns for each item, in order. It is called in threads: Pillow decodes without Python's lock."""
    results: list[Result] = []
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:

        def done() -> Iterable[T]:
            for item, result in zip(items, threads.map(read, items), strict=True):
                results.append(result)
                yield item

        try:
            for _ in watch(what, done(), len(items)):
                pass
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    return results


def _real(pair: tuple[Path, Path]) -> str:
    """The image's file, through links."""
    return str(pair[0]) if isinstance(pair[0], RemotePath) else os.path.realpath(pair[0])


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
    stored_size: Size | None = None
    pixels_256: NDArray[np.int64] | None = None
    faults: tuple[str, ...] = ()
    marks: Marks = ()


def _read(images: ImageSet, image_id: str, earlier: Marks | None) -> _Reading:
    """`earlier`: marks of an earlier reading; None: hash nothing."""
    image_size, label_size, stored_size, pixels_256 = None, None, None, None
    marks: Marks = ()
    faults: dict[str, None] = {}  # in order, and once: a label's reader looks at its image, too
    arrays = []
    try:
        arrays.append(images.image(image_id))
        image_size = arrays[0].shape[:2]
        if isinstance(images, FileImageSet):
            path = images.files[image_id][0]
            # Of a PNG, the orientation may stand behind the pixels: reading it takes as long as reading them.
            size_of = picture_size if path.suffix.lower() == ".png" else shown_size
            stored_size = size_of(path, max_megapixels=2**32)
    except DataError as error:
        faults[str(error)] = None
    try:
        arrays.append(label := images.label(image_id))
        label_size = label.shape
        pixels_256 = np.bincount(label.ravel(), minlength=IGNORE_LABEL + 1)
        if earlier is not None:
            marks = _mark(images, image_id, arrays, earlier)
    except DataError as error:
        faults[str(error)] = None
    return _Reading(image_id, image_size, label_size, stored_size, pixels_256, tuple(faults), marks)


def _mark(images: ImageSet, image_id: str, arrays: list[NDArray[np.uint8]], earlier: Marks) -> Marks:
    files: Mapping[str, tuple[Path, Path]] | None = getattr(images, "files", None)
    if files is None:
        return tuple(map(mark_array, arrays))
    padded = (*earlier, None, None)
    return tuple(mark_file(path, padded[index]) for index, path in enumerate(files[image_id]))


def _inspect(
    name: str, images: ImageSet, num_classes: int, prefix: str, watch: Watch[str], earlier: Contents | None
) -> SplitReport:
    """`prefix`: of the settings that give these images their sizes."""

    def read(image_id: str) -> _Reading:
        return _read(images, image_id, None if earlier is None else earlier.known(name, image_id))

    with noted_warnings() as warned:
        readings = read_all(name, images.image_ids, read, watch)
    pixels_256 = np.zeros(IGNORE_LABEL + 1, np.int64)
    images_256 = np.zeros(IGNORE_LABEL + 1, np.int64)
    for reading in readings:
        if reading.pixels_256 is not None:
            pixels_256 += reading.pixels_256
            images_256 += reading.pixels_256 > 0
    return SplitReport(
        name,
        len(readings),
        _counted_sizes(reading.image_size for reading in readings),
        _counted_sizes(reading.label_size for reading in readings),
        _counted_sizes(reading.stored_size for reading in readings),
        pixels_256[:num_classes],
        images_256[:num_classes],
        int(pixels_256[IGNORE_LABEL]),
        tuple(_faults(readings, prefix)),
        (
            *_squeezed(name, readings, prefix),
            *(first_of([f"{path}: {line}" for path in paths]) for line, paths in warned.items()),
        ),
        {reading.image_id: line(reading.marks) for reading in readings if reading.marks},
    )


def _counted_sizes(sizes: Iterable[Size | None]) -> dict[Size, int]:
    """Most frequent first."""
    return dict(Counter(size for size in sizes if size).most_common())


def _squeezed(name: str, readings: list[_Reading], prefix: str) -> Iterable[str]:
    """A line if resizing changes the shape of what is in the pictures."""
    told: Counter[tuple[Size, Size]] = Counter()
    for key, what in (("input_size", "image_size"), ("label_size", "label_size")):
        changes = Counter(
            (reading.stored_size, size)
            for reading in readings
            if reading.stored_size and (size := getattr(reading, what))
        )
        if changes == told:
            continue
        told = changes
        changed = {pair: count for pair, count in changes.items() if abs(_aspect(*pair) - 1) > SAME_ASPECT}
        for ((height, width), (new_height, new_width)), count in list(changed.items())[:1]:
            yield (
                f"{name}: {prefix}{key} changes the aspect of {counted(sum(changed.values()), 'image')}, such as from "
                f"{height}x{width} to {new_height}x{new_width} (height x width; {count} of them)"
            )


def _aspect(before: Size, after: Size) -> float:
    """How much wider the content becomes."""
    return after[1] * before[0] / (before[1] * after[0])


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
