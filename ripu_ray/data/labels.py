"""The classes of a data set, in the order of their ids, and how its labels are stored: `classes.json`."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.class_shapes import entry_parts, one_shape, shown
from ripu_ray.errors import DataError
from ripu_ray.storage.bounded import read_limited

Colour = tuple[int, int, int]
EXPECTED = 'expected ["road", "sky"] or [{"name": "road", "color": [128, 64, 128]}, ...] (docs/data.md)'
MIN_CLASSES = 2
"""With one class, no prediction is uncertain; the background has to be a class, too."""
STORED = ("ids", "colours", "palette", "uint16_channel0")
"""Names of encodings."""
_OTHER = "*"
"""In `id_map`: every id that is not listed."""


@dataclass(frozen=True)
class Encoding:
    """How label files are read, beside class ids.

    Attributes:
        has_colours: the classes' colours were given, so that labels may be pictures in these colours.
        void_colours: further colours, of pixels without class.
        palette_colours: of a label with a palette the colours count, not the indices.
        ids: pairs of an id in the files and a class id or 255; None: the files hold class ids.
        stored: one of `STORED`, which `LabelFormat` describes; None: each file says it.
        origin: where all this is written, for messages.
    """

    has_colours: bool = True
    void_colours: tuple[Colour, ...] = ()
    palette_colours: bool = False
    ids: tuple[tuple[int, int], ...] | None = None
    stored: str | None = None
    origin: str = field(default="classes.json", compare=False, repr=False)


@dataclass(frozen=True)
class ClassTable:
    """The classes; a class's id is its position.

    Attributes:
        names: distinct, not empty.
        colours: (red, green, blue) of each class, 0..255, for pictures of label maps.
        encoding: how label files are read.
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...]
    encoding: Encoding = Encoding()

    @property
    def num_classes(self) -> int:
        """Classes without void, 2..255."""
        return len(self.names)

    @property
    def palette_2563(self) -> NDArray[np.uint8]:
        """(256, 3) uint8, the colour of each id of a label map; void is black."""
        return np.pad(np.array(self.colours, np.uint8), ((0, IGNORE_LABEL + 1 - self.num_classes), (0, 0)))


def read_class_table(path: Path) -> ClassTable:
    """Read a `classes.json`, in one of the shapes of docs/data.md.

    Args:
        path: the file, in UTF-8.

    Returns:
        The class table. Where the file gives no colours, the classes have those of Pascal VOC's colour map.

    Raises:
        DataError: one line that names the file and the first thing at fault, and shows what is expected.
    """
    try:
        text = read_limited(path).decode("utf-8-sig")
        tree = json.loads(text, object_pairs_hook=_once)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {EXPECTED}") from None
    except _TwiceError as error:
        raise DataError(f"{path}: {error}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not valid JSON (not UTF-8); {EXPECTED}") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: not valid JSON at line {error.lineno}; {EXPECTED}") from None
    except (ValueError, RecursionError):
        raise DataError(f"{path}: not valid JSON; {EXPECTED}") from None
    try:
        return _parse(tree)
    except (ValueError, RecursionError) as error:  # RecursionError: of the words for what is nested too deep
        raise DataError(f"{path}: {str(error).removeprefix('classes.json: ')}; {EXPECTED}") from None


def class_file(tree: dict[str, Any]) -> str:
    """The text of a `classes.json`, with one class a line."""
    lines = []
    for key, value in tree.items():
        text = json.dumps(value, ensure_ascii=False)
        if key == "classes":
            entries = (f"    {json.dumps(entry, ensure_ascii=False)}" for entry in value)
            text = "[\n" + ",\n".join(entries) + "\n  ]"
        lines.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


class _TwiceError(ValueError):
    """A key that an object has twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry = dict(pairs)
    if len(entry) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise _TwiceError(f"the key {counts.most_common(1)[0][0]!r} is there twice")
    return entry


def _parse(tree: Any) -> ClassTable:
    tree = one_shape(tree)
    if tree.get("ignore_index", IGNORE_LABEL) != IGNORE_LABEL:
        raise ValueError(f"ignore_index is {shown(tree['ignore_index'])}: expected {IGNORE_LABEL}")
    stored = tree.get("encoding")
    stored = "colours" if stored == "colors" else stored
    if "encoding" in tree and stored not in STORED:
        raise ValueError(f"encoding is {shown(stored)}: expected {', '.join(STORED)}")
    return class_table(tree["classes"], tree, stored)


def class_table(
    entries: list[Any], settings: dict[str, Any], stored: str | None = None, origin: str = "classes.json"
) -> ClassTable:
    """The class table of plain values.

    Args:
        entries: of each class its name, or `{"name": ..., "color": [r, g, b] or "#rrggbb"}`.
        settings: the other keys of a `classes.json`: `void_colors`, `palette`, `id_map`.
        stored, origin: see `Encoding`.

    Raises:
        ValueError: names the key and what was expected.
    """
    if not MIN_CLASSES <= len(entries) <= IGNORE_LABEL:
        raise ValueError(f"classes: expected {MIN_CLASSES} to {IGNORE_LABEL} of them, found {len(entries)}")
    names, colours = _names_and_colours(entries)
    void = settings.get("void_colors", [])
    if not isinstance(void, list):
        raise ValueError(f"void_colors is {shown(void)}: expected a list of colours")
    palette = settings.get("palette", "ids")
    palette = "colors" if palette == "colours" else palette
    if palette not in ("ids", "colors"):
        raise ValueError(f"palette is {shown(palette)}: expected 'ids' or 'colors'")
    if stored == "colours" and settings.get("id_map") is not None:
        raise ValueError("id_map: labels in colours hold no ids: leave it out")
    if stored == "colours" and not colours:
        raise ValueError("classes: labels in colours need the 'color' of each class")
    if palette == "colors" and stored not in (None, "colours"):
        raise ValueError(f"palette is 'colors', but encoding is {stored!r}: leave one of them out")
    encoding = Encoding(
        has_colours=bool(colours),
        void_colours=tuple(_colour(colour, f"void_colors[{index}]") for index, colour in enumerate(void)),
        palette_colours=palette == "colors" or stored == "colours",
        ids=_id_map(settings["id_map"], names) if "id_map" in settings else None,
        stored=stored,
        origin=origin,
    )
    return ClassTable(tuple(names), tuple(colours) or tuple(map(_voc_colour, range(len(names)))), encoding)


def _names_and_colours(entries: list[Any]) -> tuple[list[str], list[Colour]]:
    """The name and colour of each class; no colours if no class has one."""
    names: list[str] = []
    colours: list[Colour] = []
    for index, entry in enumerate(entries):
        place = f"classes[{index}]"
        name, colour = entry_parts(entry, index)
        if colour is not None:
            colours.append(_colour(colour, f"{place}.color"))
        if not name or name != name.strip() or not name.isprintable() or name in names:
            raise ValueError(f"{place}.name is {shown(name)}: expected a printable name that no other class has")
        names.append(name)
    if colours and len(colours) < len(names):
        raise ValueError(f"{len(colours)} of {len(names)} classes have a 'color': expected all of them, or none")
    return names, colours


def _id_map(tree: Any, names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    if not isinstance(tree, dict):
        raise ValueError(f'id_map is {shown(tree)}: expected {{"7": "road", "8": 1, "*": 255}}')
    ids: dict[int, int] = {}
    for key, value in tree.items():
        label_id = int(key) if re.fullmatch(r"\d{1,3}", key) else -1
        if key != _OTHER and not 0 <= label_id <= IGNORE_LABEL:
            raise ValueError(f"id_map: {key!r}: expected an id of the label files, 0 to 255, or {_OTHER!r}")
        if label_id in ids:
            raise ValueError(f"id_map: {key!r}: is there twice")
        class_id = names.index(value) if value in names else value
        if type(class_id) is not int or not (0 <= class_id < len(names) or class_id == IGNORE_LABEL):
            raise ValueError(f"id_map[{key!r}] is {shown(value)}: expected the name or id of a class, or 255")
        ids[label_id] = class_id
    if (other := ids.pop(-1, None)) is not None:
        ids = dict.fromkeys(range(IGNORE_LABEL + 1), other) | ids
    return tuple(sorted(ids.items()))


def _colour(value: Any, place: str) -> Colour:
    if isinstance(value, str) and re.fullmatch("#[0-9a-fA-F]{6}", value):
        value = [*bytes.fromhex(value[1:])]
    if type(value) is not list or len(value) != 3 or any(type(v) is not int or not 0 <= v <= 255 for v in value):
        raise ValueError(f"{place} is {shown(value)}: expected red, green and blue, 0 to 255 each")
    red, green, blue = value
    return red, green, blue


def _voc_colour(class_id: int) -> Colour:
    """Source: Everingham et al., the development kit of Pascal VOC (VOClabelcolormap)."""
    number, colour = class_id + 1, [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            colour[channel] |= ((number >> (3 * bit + channel)) & 1) << (7 - bit)
    return colour[0], colour[1], colour[2]
