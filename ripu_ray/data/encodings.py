"""Read class ids from a label file, which holds class ids, other ids, indices of a palette, or colours."""

from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.labels import ClassTable
from ripu_ray.data.pictures import (
    MAX_MEGAPIXELS,
    PNG_COLOUR,
    PNG_COLOUR_ALPHA,
    PNG_GREY,
    PNG_PALETTE,
    check_upright,
    opened,
    png_header,
)
from ripu_ray.errors import DataError, counted

_STORED: dict[str, tuple[str, dict[int, tuple[int, ...]]]] = {
    "ids": ("a PNG of one 8-bit channel", {8: (PNG_GREY,)}),
    "colours": (
        "a PNG of colours, 8 bits a channel, or with a palette",
        {8: (PNG_COLOUR, PNG_COLOUR_ALPHA, PNG_PALETTE), **dict.fromkeys((1, 2, 4), (PNG_PALETTE,))},
    ),
    "palette": ("a PNG with a palette", dict.fromkeys((1, 2, 4, 8), (PNG_PALETTE,))),
    "uint16_channel0": ("a PNG of one or three 16-bit channels", {16: (PNG_COLOUR, PNG_GREY)}),
}
"""Encoding -> what is expected, and the colour types of each bit depth."""
_COLOUR_TYPES = {0: "grey", 2: "colours", 4: "grey with transparency", 6: "colours with transparency"}
"""Of a PNG header, in words."""
_HIGH_BYTE, _LOW_BYTE = "RGB;16B", "RGB;16L"
"""Pillow's names for 16-bit colour of which it keeps one byte: the first of each two, or the second."""

_AT_ONCE = 2**22
"""Pixels."""


def read_label(path: Path, classes: ClassTable, max_megapixels: int = MAX_MEGAPIXELS) -> NDArray[np.uint8]:
    """The class ids of a label file.

    Args:
        path: PNG: one 8-bit channel of ids, a palette, 8-bit colours without transparency, or, where `encoding` says
            so, 16 bits a channel.
        classes: their `encoding` says what ids and colours mean.
        max_megapixels: of the picture.

    Returns:
        (H, W) uint8 class ids, 255 = void.

    Raises:
        DataError: the file is damaged or stored otherwise, or holds an id or a colour that no class has.
    """
    encoding = classes.encoding
    in_colours = _check_stored(path, classes)
    if in_colours and not encoding.has_colours:
        raise DataError(f"{path}: a label in colours, but {encoding.origin} gives its classes no 'color'")
    with opened(path, max_megapixels) as picture:
        check_upright(picture, path)
        if in_colours:
            return _from_colours(np.array(picture.convert("RGBA")), classes, path)
        ids_HW = np.array(picture)
    if encoding.stored == "uint16_channel0":
        ids_HW = _channel_0(path, ids_HW, max_megapixels)
        if ids_HW.max(initial=0) > IGNORE_LABEL:
            raise DataError(f"{path}: label id {ids_HW.max()} is {_foreign(classes)}")
    class_HW = _id_table(classes)[ids_HW]
    if (class_HW < 0).any():
        raise DataError(f"{path}: label id {ids_HW[class_HW < 0].min()} is {_foreign(classes)}")
    return np.asarray(class_HW, np.uint8)


def _check_stored(path: Path, classes: ClassTable) -> bool:
    """Whether the label is in colours. Raises DataError: it is stored otherwise than `classes` says."""
    encoding = classes.encoding
    depth, colour_type = png_header(path)
    if encoding.stored is not None:
        expected, types = _STORED[encoding.stored]
        if colour_type not in types.get(depth, ()):
            raise DataError(f"{path}: expected {expected}: its encoding is {encoding.stored} in {encoding.origin}")
        return encoding.stored == "colours"
    kind = label_kind(path)
    return kind == "colours" or (kind == "palette" and encoding.palette_colours)


def _foreign(classes: ClassTable) -> str:
    """Describe an id that the classes do not have."""
    encoding = classes.encoding
    if encoding.stored and encoding.ids is not None:
        return f"none of this data set's: not in the id_map of {encoding.origin}"
    if encoding.ids is not None:
        return f"not in the id_map of {encoding.origin}"
    return f"outside the classes 0..{classes.num_classes - 1} and 255"


def _channel_0(path: Path, read: NDArray[np.generic], max_megapixels: int) -> NDArray[np.integer]:
    """(H, W) 16-bit values of the first channel. `read`: what Pillow makes of the file.

    Pillow reads one 16-bit channel as it is. Of three channels it keeps the high byte, in which every id
    is 0. We set its decoder to read the other byte, too; a decoder in Python takes up to a hundred times as long.
    """
    if read.ndim == 2:
        return read.astype(np.int32)
    high_HW, low_HW = (_one_byte(path, byte, max_megapixels).astype(np.int32) for byte in (_HIGH_BYTE, _LOW_BYTE))
    return high_HW * 256 + low_HW


def _one_byte(path: Path, byte: str, max_megapixels: int) -> NDArray[np.uint8]:
    """The first channel's high or low bytes; PNG stores the high one first."""
    with opened(path, max_megapixels) as picture:
        (tile,) = picture.tile  # type: ignore[attr-defined]
        picture.tile = [(*tile[:3], byte)]  # type: ignore[attr-defined]
        return np.array(picture)[..., 0]


def label_kind(path: Path) -> Literal["ids", "palette", "colours"]:
    """How a label file is stored. Raises DataError: it cannot be read, or in a way that is refused."""
    depth, colour_type = png_header(path)
    if colour_type == PNG_PALETTE:
        return "palette"
    # Pillow reads other depths without complaint, but spreads grey of 1, 2 or 4 bits over 0..255 and cuts 16 bits to 8.
    if depth != 8 or colour_type not in (PNG_GREY, PNG_COLOUR, PNG_COLOUR_ALPHA):
        found = f"{depth}-bit {_COLOUR_TYPES.get(colour_type, 'picture')}"
        more = ', or "encoding": "uint16_channel0" in classes.json' if depth == 16 else ""
        raise DataError(
            f"{path}: {found}: expected a PNG of one 8-bit channel (class ids), with a palette, or of colours, "
            f"8 bits a channel{more}"
        )
    return "ids" if colour_type == PNG_GREY else "colours"


@lru_cache(maxsize=8)
def _id_table(classes: ClassTable) -> NDArray[np.int16]:
    """(256,) class id, 255 or below 0 of each possible id."""
    ids = classes.encoding.ids
    known = {class_id: class_id for class_id in range(classes.num_classes)} if ids is None else dict(ids)
    table_256 = np.full(IGNORE_LABEL + 1, -1, np.int16)
    if ids is None:
        table_256[IGNORE_LABEL] = IGNORE_LABEL
    table_256[list(known)] = list(known.values())
    return table_256


@lru_cache(maxsize=8)
def colour_table(classes: ClassTable) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """The colours as numbers, sorted, and the class id of each. Raises DataError: two classes have one colour."""
    ids: dict[int, int] = {}
    origin = classes.encoding.origin
    names = (*classes.names, *("void" for _ in classes.encoding.void_colours))
    for index, (red, green, blue) in enumerate((*classes.colours, *classes.encoding.void_colours)):
        number = (red << 16) | (green << 8) | blue
        if number in ids:
            first = classes.names[ids[number]] if ids[number] < classes.num_classes else "void"
            raise DataError(f"{origin}: {first} and {names[index]} have one colour, {red},{green},{blue}")
        ids[number] = index if index < classes.num_classes else IGNORE_LABEL
    numbers = sorted(ids)
    return np.array(numbers, np.int32), np.array([ids[number] for number in numbers], np.uint8)


def _from_colours(rgba_HW4: NDArray[np.uint8], classes: ClassTable, path: Path) -> NDArray[np.uint8]:
    if (rgba_HW4[..., 3] != 255).any():
        raise DataError(f"{path}: {(rgba_HW4[..., 3] != 255).sum()} pixels of the label are transparent")
    try:
        colours_N, ids_N = colour_table(classes)
    except DataError as error:
        raise DataError(f"{path}: a label in colours, but in {error}") from None
    class_HW = np.empty(rgba_HW4.shape[:2], np.uint8)
    unknown: Counter[int] = Counter()
    rows = max(1, _AT_ONCE // rgba_HW4.shape[1])
    for top in range(0, len(rgba_HW4), rows):  # as whole numbers, all pixels of a large picture would fill the memory
        red_HW, green_HW, blue_HW = (rgba_HW4[top : top + rows, :, channel].astype(np.int32) for channel in range(3))
        colour_HW = (red_HW << 16) | (green_HW << 8) | blue_HW
        place_HW = np.searchsorted(colours_N, colour_HW).clip(max=len(colours_N) - 1)
        class_HW[top : top + rows] = ids_N[place_HW]
        values, counts = np.unique(colour_HW[colours_N[place_HW] != colour_HW], return_counts=True)
        unknown.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    if unknown:
        value, count = max(unknown.items(), key=lambda item: (item[1], -item[0]))
        more = f", and {counted(len(unknown) - 1, 'more colour')}" if len(unknown) > 1 else ""
        colour = f"{value >> 16},{value >> 8 & 255},{value & 255}"
        raise DataError(
            f"{path}: no class in {classes.encoding.origin} has the colour {colour} ({counted(count, 'pixel')}{more})"
        )
    return class_HW
