"""Questions and answers as label maps in PNG files, one for each image, named as the image.

An answer holds class ids, grey or with any palette, or the colours of the classes. Pixels of 255 are not answered. The
id after the last class means that a pixel has no class. It is necessary only in a region in which no pixel has a class,
because a region with 255 alone is not answered. In a region with other labels, pixels of 255 have no class, too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ripu_ray.annotation.catalogue import Drawing, Export, Names, Sheet
from ripu_ray.annotation.masks import whole
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.encodings import label_kind, read_label
from ripu_ray.data.labels import ClassTable
from ripu_ray.data.pictures import opened, png_header
from ripu_ray.errors import DataError
from ripu_ray.storage.files import replace_file


def write(folder: Path, exports: Sequence[Export], names: Names) -> None:
    """Write `predictions/<image id>.png`, the predicted classes in the regions, 255 elsewhere, with a palette."""
    palette = np.full((256, 3), 255, np.uint8)
    for label, (_, colour) in enumerate(names.drawn[:-1]):
        palette[label] = colour
    for export in exports:
        label_HW = np.full(export.size, IGNORE_LABEL, np.uint8)
        for _, drawing in export.predictions():
            label_HW[whole(drawing, export.size)] = drawing.label
        picture = Image.fromarray(label_HW)
        picture.putpalette(palette.ravel().tolist())
        replace_file(folder / "predictions" / export.file_name, partial(picture.save, format="PNG"))


def read(path: Path, name: str, names: Names) -> Iterator[Sheet]:
    """Read the answers of one label map.

    Args:
        path: of the file.
        name: of its image.
        names: of the labels.

    Raises:
        DataError: not a label map of these classes.
    """
    if png_header(path)[0] == 16:  # an encoding of a data set, which answers do not have
        raise DataError(f"{path}: 16 bits a channel: expected 8 bits, class ids or colours")
    label_HW = read_label(path, with_void(names))
    size = label_HW.shape[0], label_HW.shape[1]
    num_classes = names.classes.num_classes
    found = [label for label in np.unique(label_HW).tolist() if label != IGNORE_LABEL]
    if label_kind(path) == "palette":
        _check_palette(path, [label for label in found if label < num_classes], names.classes)
    yield Sheet(
        name,
        size,
        (Drawing(label if label < num_classes else IGNORE_LABEL, (0, 0), np.equal(label_HW, label)) for label in found),
    )


def _check_palette(path: Path, labels: Sequence[int], classes: ClassTable) -> None:
    """Raise DataError if a label has the colour of another class: image editors number colours as they like."""
    with opened(path) as picture:
        palette = np.array(picture.getpalette("RGB"), np.int64).reshape(-1, 3)
    ids = {colour: label for label, colour in enumerate(classes.colours)}
    for label in labels:
        red, green, blue = palette[label].tolist() if label < len(palette) else classes.colours[label]
        other = ids.get((red, green, blue), label)
        # A grey palette says nothing.
        if (red, green, blue) not in (classes.colours[label], (label, label, label)) and other != label:
            raise DataError(
                f"{path}: id {label} has in the palette the colour of {classes.names[other]}, whose id is {other}: "
                "expected grey class ids, or colours without a palette"
            )


def with_void(names: Names) -> ClassTable:
    """The classes and, if there is an id left, one more: no class. The encoding of the data set is not used."""
    classes = names.classes
    encoding = replace(classes.encoding, ids=None, stored=None, palette_colours=False)
    if classes.num_classes >= IGNORE_LABEL:
        return replace(classes, encoding=encoding)
    used = {*classes.colours, *encoding.void_colours}
    colour = next((0, 0, blue) for blue in range(256) if (0, 0, blue) not in used)
    return ClassTable((*classes.names, names.void), (*classes.colours, colour), encoding)
