"""The classes of a data set: names and colours in the order of their ids."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.errors import DataError


@dataclass(frozen=True)
class ClassTable:
    """The classes; a class's id is its position.

    Attributes:
        names: distinct, not empty.
        colours: (red, green, blue) of each class, 0..255, for pictures of label maps.
    """

    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]

    @property
    def num_classes(self) -> int:
        """Classes without void, 1..255."""
        return len(self.names)


def read_class_table(path: Path) -> ClassTable:
    """Read a `classes.json`.

    The file holds `num_classes`, `ignore_index` (255) and `classes`: a list of `id`, `name`, `color` (red, green,
    blue), ids 0, 1, 2, ... in this order.

    Args:
        path: the file.

    Returns:
        The class table.

    Raises:
        DataError: one line that names the file and the key at fault.
    """
    try:
        if path.exists() and not path.is_file():
            raise DataError(f"{path}: not a file")
        tree = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except _TwiceError as error:
        raise DataError(f"{path}: {error}") from None
    except (ValueError, RecursionError):
        raise DataError(f"{path}: not valid JSON") from None
    try:
        return _parse(tree)
    except (ValueError, RecursionError) as error:  # RecursionError: of the words for what is nested too deep
        raise DataError(f"{path}: {error}") from None


class _TwiceError(ValueError):
    """A key that an object has twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry = dict(pairs)
    if len(entry) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise _TwiceError(f"the key {counts.most_common(1)[0][0]!r} is there twice")
    return entry


def _parse(tree: Any) -> ClassTable:
    entries = _get(tree, "classes", list, "classes.json")
    num_classes = _get(tree, "num_classes", int, "classes.json")
    ignore_index = _get(tree, "ignore_index", int, "classes.json")
    if ignore_index != IGNORE_LABEL:
        raise ValueError(f"ignore_index is {ignore_index}: expected {IGNORE_LABEL}")
    if not 1 <= len(entries) <= IGNORE_LABEL:
        raise ValueError(f"classes: expected 1 to {IGNORE_LABEL} of them, found {len(entries)}")
    if num_classes != len(entries):
        raise ValueError(f"num_classes is {num_classes}, but classes lists {len(entries)}")
    names: list[str] = []
    colours: list[tuple[int, int, int]] = []
    for index, entry in enumerate(entries):
        place = f"classes[{index}]"
        class_id = _get(entry, "id", int, place)
        if class_id != index:
            raise ValueError(f"{place}.id is {class_id}: expected ids 0, 1, 2, ... in this order")
        name = _get(entry, "name", str, place)
        if not name.strip() or not name.isprintable() or name in names:
            raise ValueError(f"{place}.name is {name!r}: expected a printable name that no other class has")
        names.append(name)
        colours.append(_parse_colour(_get(entry, "color", list, place), f"{place}.color"))
    return ClassTable(tuple(names), tuple(colours))


def _get(entry: Any, key: str, kind: type, place: str) -> Any:
    if not isinstance(entry, dict):
        raise ValueError(f"{place}: expected keys and values, found {type(entry).__name__}")
    if key not in entry:
        raise ValueError(f"{place}: the key {key!r} is missing")
    value = entry[key]
    # `type`, not `isinstance`: True is no number of classes
    if type(value) is not kind:
        raise ValueError(f"{place}: {key} is {value!r}: expected {kind.__name__}")
    return value


def _parse_colour(value: list[Any], place: str) -> tuple[int, int, int]:
    if len(value) != 3 or any(type(part) is not int or not 0 <= part <= 255 for part in value):
        raise ValueError(f"{place} is {value!r}: expected red, green and blue, 0 to 255 each")
    red, green, blue = value
    return red, green, blue
