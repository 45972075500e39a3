"""A YAML file as a tree of plain values, and what pydantic finds wrong in such a tree, in one line."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ripu_ray.config.fields import Section
from ripu_ray.config.safe_yaml import MAX_CHARACTERS, Plain, read_yaml
from ripu_ray.config.texts import Typed, nearest_keys
from ripu_ray.errors import ConfigError
from ripu_ray.storage.bounded import read_limited
from ripu_ray.storage.remote import path_text

_EXPECTED = {
    "int_parsing_size": "expected a smaller whole number",
    "string_pattern_mismatch": "expected text that matches {pattern}",
    "extra_forbidden": "unknown key",
    "path_type": "expected a path",
    "model_type": "expected keys and values",
    "dict_type": "expected keys and values",
    "tuple_type": "expected a list",
    "too_long": "expected at most {max_length} values",
    "too_short": "expected {min_length} or more values",
    "invalid_key": "unknown key",
    "missing": "expected a value, and there is none",
}


def read_yaml_file(file: Path) -> dict[str, Any]:
    """The keys and values of a YAML file; an empty file has none. Raises ConfigError: one line that names the file."""
    try:
        tree = read_yaml(read_limited(file, 4 * MAX_CHARACTERS).decode(), keep_texts=True)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: not valid YAML (not UTF-8)") from None
    except ValueError as error:
        raise ConfigError(f"{file}: {error}") from None
    tree = tree.value if isinstance(tree, Plain) else tree
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: expected keys and values, found {type(tree).__name__}")
    return tree


def put(tree: dict[str, Any], dotted: str, value: object, origin: str) -> None:
    """Set a value of a tree at a dotted key. Raises ConfigError, with `origin`: a part of the key is a value."""
    *path, last = dotted.split(".")
    for key in path:
        child = tree.get(key)
        child = child.parse() if isinstance(child, Typed) else child
        if child is None or (isinstance(child, Plain) and child.value is None):
            child = {}
        tree[key] = child
        if not isinstance(child, dict):
            raise ConfigError(f"{origin}: {key!r} is a value, not a section")
        tree = child
    tree[last] = value


def one_line(error: ValidationError, tree: Any, file: Path | None, section: type[Section]) -> str:
    """The first fault that pydantic found in a section's tree: the file, the key and what was expected."""
    found = error.errors(include_url=False)
    place = _place(found[0]["loc"], tree)
    # Of a setting with several types, such as a URL or a path, our own words say more than pydantic's.
    alike = (other for other in found if other["type"] == "value_error" and _place(other["loc"], tree) == place)
    first = next(alike, found[0])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] in _EXPECTED:
        message = _EXPECTED[first["type"]].format(**first.get("ctx", {}))
    message = message.replace("Input should be", "expected")
    if place and not (first["type"] == "value_error" and place in message):  # our own words may name it
        message = f"{place}: {message}"
    if first["type"] not in ("extra_forbidden", "invalid_key", "value_error", "missing"):
        message = f"{message} (found {first['input']!r})"
    if first["type"] == "extra_forbidden" and (keys := nearest_keys(section, first["loc"], tree)):
        message += f": expected {', '.join(keys)}"
    return f"{file}: {message}" if file else message


def _place(location: Sequence[int | str], tree: Any) -> str:
    """The dotted key of an error, without the names of pydantic's types of a union."""
    parts = []
    for name in location:
        if isinstance(tree, list | tuple) and isinstance(name, int):
            tree = tree[name] if name < len(tree) else None  # of too short a list, pydantic names what is missing
        elif isinstance(tree, dict):
            tree = tree.get(name)
        else:
            break
        parts.append(str(name))
    return ".".join(parts)


def as_texts(name: str, values: object) -> list[str]:
    """A list of texts from a text or path, or from several. Raises ConfigError, which names the argument."""
    if (single := path_text(values)) is not None:
        return [single]
    # Listed once, before the check: a generator is empty after it.
    is_list = isinstance(values, Iterable) and not isinstance(values, Mapping) and not is_single(values)
    found = [*map(path_text, values)] if is_list else [None]  # type: ignore[call-overload]
    texts = [text for text in found if text is not None]
    if len(texts) < len(found):
        raise ConfigError(f"{name}: expected texts, found {values!r}")
    return texts


def is_single(value: object) -> bool:
    """Whether a value is an array of numpy, or a tensor, without dimensions: it is iterable, but cannot be iterated."""
    return getattr(value, "ndim", None) == 0


def as_keyed(name: str, values: object) -> Mapping[str, Any]:
    """Values by dotted key, of plain types. Raises ConfigError, which names the argument, if it is something else."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{name}: expected dotted keys and values, found {values!r}")
    if wrong := [key for key in values if not isinstance(key, str)]:
        raise ConfigError(f"{name}: expected dotted keys, found {wrong[0]!r}")
    return {key: _plain(value) for key, value in values.items()}


def _plain(value: Any) -> Any:
    """A value with numbers and arrays of numpy, pandas and torch as Python's, and paths of foreign classes as texts."""
    if isinstance(value, os.PathLike):
        return value if isinstance(value, Path) else path_text(value)
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [*map(_plain, value)]
    return value.tolist() if hasattr(value, "tolist") else value
