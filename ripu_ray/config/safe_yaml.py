"""Read YAML from untrusted sources: plain values only, a limited number, and each key once. Write plain values.

This module imports nothing of ours.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 32
"""Lists and sections inside each other."""
MAX_VALUES = 100_000
"""With every alias written out: a few lines of aliases can stand for more values than memory holds."""
MAX_DIGITS = 100
"""Of a whole number."""
_OLD_NUMBERS = re.compile(r"[-+]?(0_*[0-9][0-9_]*|[0-9][0-9_]*(:[0-9_]+)+(\.[0-9_]*)?)")
"""YAML takes 010 for 8 and 1:30 for 90, which is not what people mean."""
_CREDENTIALS = re.compile(
    r"[a-z][a-z0-9+.-]*://[^/?#\s]*@|[?&;][^=&;\s]*(token|secret|signature|password|passwd|credential|key|auth|sig)=",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Plain:
    """A scalar without quotes that YAML does not take for a text.

    Attributes:
        value: number, truth value, date or None.
        text: as it was written, such as `no` or `2016`.
    """

    value: Any
    text: str


class _CountingLoader(yaml.SafeLoader):
    """Stops at too many values before it has read them all: each takes 1 KB."""

    num_values = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.num_values += 1
        if self.num_values > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values")
        return super().compose_node(parent, index)


class _KeepingLoader(_CountingLoader):
    """Constructs a `Plain` for each value that is not a text; keys are as in `SafeLoader`. Old numbers are texts."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        value = super().construct_object(node, deep)
        if isinstance(node, yaml.ScalarNode) and node.style is None and not isinstance(value, str):
            return node.value if _OLD_NUMBERS.fullmatch(node.value) else Plain(value, node.value)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep)
        return {key.value if isinstance(key, Plain) else key: value for key, value in mapping.items()}


def read_yaml(text: str, keep_texts: bool = False) -> Any:
    """The value that a YAML text stands for.

    Args:
        text: one document, or nothing.
        keep_texts: whether values that are not texts are wrapped in `Plain`.

    Returns:
        Texts, numbers, truth values, dates, None, and lists and dicts of them. The lists and dicts that an alias
        repeats are one object, as in PyYAML.

    Raises:
        ValueError: one line that says what is wrong, with the line's number where that helps.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"more than {MAX_CHARACTERS} characters")
    try:
        loader = _KeepingLoader(text) if keep_texts else _CountingLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _measure(node, {}, 0)
            tree = loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError("not valid YAML" + (f" at line {mark.line + 1}" if mark else "")) from None
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} deep") from None
    except (TypeError, AttributeError, ArithmeticError):
        # PyYAML's own, of a value that does not look like its tag: `!!timestamp soon`.
        raise ValueError("not valid YAML") from None
    for place, value in walk(tree):
        if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
            raise ValueError(f"{place}: a number of more than {MAX_DIGITS} digits")
    return tree


def walk(tree: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a tree that is neither list nor dict, keys of dicts included, with its dotted place."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield place, key
            yield from walk(value, f"{place}.{key}" if place else str(key))
    elif isinstance(tree, list | tuple | set):
        for value in tree:
            yield from walk(value, place)
    else:
        yield place, tree.value if isinstance(tree, Plain) else tree


def find_credentials(tree: Any) -> str | None:
    """The dotted place of a text that holds a URL with a password, a token or a signature, or None."""
    return next((place for place, value in walk(tree) if isinstance(value, str) and _CREDENTIALS.search(value)), None)


def _measure(node: yaml.Node, sizes: dict[int, int], depth: int) -> int:
    """Values below a node, aliases written out. Raises ValueError: too many, too deep, without end, a key twice."""
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep, or an alias inside of what it stands for")
    if id(node) in sizes:
        return sizes[id(node)]
    size = 1
    if isinstance(node, yaml.MappingNode):
        keys = set()
        for key, value in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if name in keys:
                raise ValueError(f"line {key.start_mark.line + 1}: the key {key.value!r} is there twice")
            keys.add(name or (key.tag, id(key)))
            size += _measure(key, sizes, depth + 1) + _measure(value, sizes, depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_measure(value, sizes, depth + 1) for value in node.value)
    if size > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES} values")
    sizes[id(node)] = size
    return size


class _Writer(yaml.SafeDumper):
    """Writes text with an unusual line break in double quotes: PyYAML's single quotes would turn it into a space."""


def _represent_text(writer: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if set("\x85\u2028\u2029") & set(text) else None
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style)


_Writer.add_representer(str, _represent_text)


def write(tree: Any, **layout: Any) -> str:
    """Plain values as YAML, with keys in their order. Args: layout: further options of `yaml.dump`."""
    text: str = yaml.dump(tree, Dumper=_Writer, sort_keys=False, allow_unicode=True, **layout)
    return text
