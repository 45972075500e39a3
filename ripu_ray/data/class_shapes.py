"""Convert the shapes in which people write classes into one shape: a list of entries, and settings beside it."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

_LISTS = ("classes", "names", "id2label", "label2id", "categories", "labels")
"""Keys of the classes, of which a file has one: ours, and those of YOLO, Hugging Face, COCO and Mapillary."""
_OF_A_MODEL = ("id2label", "label2id")
"""The `config.json` of a network has both, among many keys that do not concern the classes."""
_COUNTS = ("num_classes", "nc", "num_labels")
_COLOURS = ("colors", "colours", "palette")
_SETTINGS = ("ignore_index", "void_colors", "palette", "encoding", "id_map")
_COLOUR = ("color", "colour", "rgb")
_ENTRY = ("name", "id", *_COLOUR)
_OF_OBJECTS = ("isthing", "instances", "hasInstances", "catId")
"""Keys of entries that tell objects apart, and mean nothing here."""
_SHIFTED = re.compile("reduce_(zero_)?labels?|^ignore", re.IGNORECASE)
"""In the `config.json` of a network, where other unknown keys do not concern labels."""
_FIRST = 7
"""So many keys are named where an unknown one is refused."""
_MEANT = re.compile("colou?r|rgb|hex|palette|void|ignore|map|train_?id", re.IGNORECASE)
"""Keys that would change what a label means."""
_IDS = "expected 0, 1, 2, ... in this order, without 255, which is void; id_map is for other ids in label files"


def one_shape(tree: Any) -> dict[str, Any]:
    """The tree of a `classes.json`, with the classes as a list under `classes`, and its settings.

    Args:
        tree: of the file, in one of the shapes of docs/data.md.

    Returns:
        `classes`: a list of names or of entries with `name` and perhaps `color`; and the settings of `class_table`.

    Raises:
        ValueError: names the key and what was expected.
    """
    if isinstance(tree, list):
        return {"classes": tree}
    if not isinstance(tree, dict):
        raise ValueError(f"classes.json: expected keys and values, found {type(tree).__name__}")
    tree = {key: value for key, value in tree.items() if not key.startswith(("_", "$", "/"))}
    given = [key for key in _LISTS if key in tree]
    if not given and tree and _is_table(tree):
        return {"classes": listed(tree)}
    known = ("classes", "colors", *_SETTINGS, *_LISTS, *_COUNTS, *_COLOURS)
    of_a_model = bool(set(given) & set(_OF_A_MODEL))
    check_keys({key: part for key, part in tree.items() if not of_a_model or _SHIFTED.search(key)}, known)
    if not given:
        raise ValueError("classes.json: the key 'classes' is missing")
    lists = [listed(tree[key]) if isinstance(tree[key], dict) else tree[key] for key in given]
    for key, entries in zip(given, lists, strict=True):
        if not isinstance(entries, list):
            raise ValueError(f"classes.json: {key} is {shown(entries)}: expected a list")
    if len(given) > 1 and (set(given) != set(_OF_A_MODEL) or lists[0] != lists[1]):
        raise ValueError(f"{given[0]} and {given[1]} both list the classes: leave one of them out")
    for key in _COUNTS:
        if key in tree and (type(tree[key]) is not int or tree[key] != len(lists[0])):
            raise ValueError(f"{key} is {shown(tree[key])}, but {given[0]} lists {len(lists[0])}")
    colours = [key for key in _COLOURS if isinstance(tree.get(key), list | dict)]
    entries = _coloured(lists[0], tree[colours[0]], colours[0]) if colours else lists[0]
    left = {key: tree[key] for key in _SETTINGS if key in tree and key not in colours}
    return {**left, "classes": entries}


def entry_parts(entry: Any, index: int) -> tuple[str, Any]:
    """The name and colour of a class, as they are written; None: it has no colour.

    Raises:
        ValueError: the entry is no text and has no such keys, keys with no meaning, or another id than its position.
    """
    place = f"classes[{index}]"
    if isinstance(entry, str):
        return entry, None
    if not isinstance(entry, dict):
        raise ValueError(f"{place}: expected keys and values, found {type(entry).__name__}")
    if "name" not in entry:
        raise ValueError(f"{place}: the key 'name' is missing")
    if type(entry["name"]) is not str:
        raise ValueError(f"{place}: name is {shown(entry['name'])}: expected str")
    check_keys(entry, _ENTRY, place)
    if "id" in entry and _number(entry["id"]) != index:
        raise ValueError(f"{place}.id is {shown(entry['id'])}: {_IDS}")
    colours = [entry[key] for key in _COLOUR if key in entry]
    if len(colours) > 1:
        raise ValueError(f"{place}: expected one 'color', found {len(colours)}")
    return entry["name"], colours[0] if colours else None


def check_keys(entry: dict[str, Any], known: Sequence[str], place: str = "classes.json") -> None:
    """Refuse keys that would have no effect, except remarks (texts), and keys that concern objects only."""
    for key, value in entry.items():
        if key in known or key in _OF_OBJECTS:
            continue
        near = get_close_matches(key.lower(), known, 1, 0.75)
        if near or _MEANT.search(key) or not isinstance(value, str):
            expected = repr(near[0]) if near else ", ".join(known[:_FIRST])
            raise ValueError(f"{place}: the key {key!r} is not known: expected {expected}")


def shown(value: Any) -> str:
    """A value for a message, which may be long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _number(key: Any) -> int:
    """An id that is written as a number or its digits; -1: it is none."""
    text = "" if isinstance(key, bool) else str(key)
    return int(text) if re.fullmatch(r"[0-9]{1,3}", text) else -1


def _is_table(tree: dict[str, Any]) -> bool:
    """Whether it is {id: ...} or {name: ...} rather than a file with settings."""
    if all(_number(key) >= 0 for key in tree):
        return True
    return all(map(_is_id_or_colour, tree.values()))


def _is_id_or_colour(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value.keys() & {"id", *_COLOUR})
    return type(value) is int or (isinstance(value, list) and all(type(part) is int for part in value))


def listed(tree: dict[Any, Any]) -> list[Any]:
    """The entries of {id: entry}, {name: id}, {name: colour} or {name: entry}, in the order of the ids.

    Raises:
        ValueError: the ids are not 0, 1, 2, ...
    """
    if all(_number(key) >= 0 for key in tree):
        return _in_order({_number(key): entry for key, entry in tree.items()}, len(tree), tree)
    ids = [value.get("id") if isinstance(value, dict) else value for value in tree.values()]
    entries: list[Any] = []
    for name, value in tree.items():
        if isinstance(value, dict):
            entries.append({"name": name, **{key: part for key, part in value.items() if key != "id"}})
        else:
            entries.append(
                name if type(value) in (int, str) and _number(value) >= 0 else {"name": name, "color": value}
            )
    if any(_number(class_id) >= 0 for class_id in ids):
        return _in_order(dict(zip(map(_number, ids), entries, strict=True)), len(ids), ids)
    return entries


def _in_order(by_id: dict[int, Any], count: int, ids: Any) -> list[Any]:
    if sorted(by_id) != list(range(count)):
        first = ", ".join(str(class_id) for class_id in list(ids)[:8])
        raise ValueError(f"the ids are {first}{', ...' if count > 8 else ''}: {_IDS}")
    return [by_id[class_id] for class_id in range(count)]


def _coloured(entries: list[Any], colours: Any, key: str) -> list[Any]:
    """The entries, each with its colour of a list, of {id: colour} or of {name: colour}."""
    names = [entry_parts(entry, index)[0] for index, entry in enumerate(entries)]
    if isinstance(colours, dict) and colours.keys() == set(names):
        colours = [colours[name] for name in names]
    elif isinstance(colours, dict):
        colours = listed(colours)
    if len(colours) != len(names):
        raise ValueError(f"{key} has {len(colours)} colours, but there are {len(names)} classes")
    if any(entry_parts(entry, index)[1] is not None for index, entry in enumerate(entries)):
        raise ValueError(f"{key}: the classes have colours, too: leave one of them out")
    return [{"name": name, "color": colour} for name, colour in zip(names, colours, strict=True)]
