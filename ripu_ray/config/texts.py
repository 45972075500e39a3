"""Values as they were typed: where a setting is a text or a path, `no`, `2016` and `[a]` are texts, too.

YAML takes an unquoted `no` for a truth value and `2016` for a number. Only the type of a setting says which was meant.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from ripu_ray.config.data_section import DatasetSection
from ripu_ray.config.fields import Budget, Section
from ripu_ray.config.registry import DATASETS
from ripu_ray.config.safe_yaml import Plain, read_yaml
from ripu_ray.errors import ConfigError

_NULLS = ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True)
class Typed:
    """The value of one `--set`.

    Attributes:
        text: what follows the equals sign, without spaces around it.
        origin: for messages, such as `--set seed=1`.
    """

    text: str
    origin: str

    def parse(self) -> Any:
        """The text as YAML, with `Plain` values. Raises ConfigError."""
        try:
            return read_yaml(self.text, keep_texts=True)
        except ValueError as error:
            raise ConfigError(f"{self.origin}: {self.text!r} is not a YAML value ({error})") from None


def settle(value: Any, kind: Any = None) -> Any:
    """A value of a configuration's tree without `Typed` and `Plain`.

    Args:
        value: dicts, lists, texts, numbers, `Typed` and `Plain`.
        kind: type of the setting or section; None if it is unknown, and YAML's value is taken.

    Returns:
        Plain values. A section or list of settings without a value is left out of its section, which means its default.

    Raises:
        ConfigError: a value of `--set` that is not a text is not valid YAML.
    """
    members = _members(kind)
    if isinstance(value, Typed):
        value = _from_typed(value, members)
    if isinstance(value, Plain):
        return _from_plain(value, members)
    if isinstance(value, dict):
        fields = _fields(members, value)
        settled = {key: settle(part, fields.get(key)) for key, part in value.items()}
        empty = {key for key, part in settled.items() if part is None and _has_default(fields.get(key))}
        return {key: part for key, part in settled.items() if key not in empty}
    if isinstance(value, list):
        return [settle(part, kind) for part, kind in zip(value, _elements(members, len(value)), strict=True)]
    return value


def kind_of(section: type[Section], key: str, tree: Any) -> Any:
    """The type of the setting with a dotted key; None if there is none.

    Args:
        section: that the key starts from.
        key: dotted.
        tree: values of the section; `dataset` in it says which settings the section `data` has.
    """
    *parents, name = key.split(".")
    return _fields_at(section, parents, tree).get(name)


def nearest_keys(section: type[Section], location: Sequence[Any], tree: Any) -> tuple[str, ...]:
    """The key that an unknown one at `location` was meant to be; all keys of its section if none is like it."""
    *parents, unknown = location
    names = tuple(_fields_at(section, parents, tree))
    return tuple(get_close_matches(str(unknown), names, 1)) or names


def _fields_at(section: type[Section], names: Sequence[Any], tree: Any) -> dict[Any, Any]:
    """The types of the settings of the section that is reached from `section` by these names. `tree`: its values."""
    kind: Any = section
    for name in names:
        kind = _fields(_members(kind), tree).get(name)
        tree = tree.get(name) if isinstance(tree, dict) else None
    return _fields(_members(kind), tree)


def read_varied(vary: Any) -> Any:
    """`{key: [values]}` from texts `key=value,value`; anything else as it is.

    Raises:
        ConfigError: a text is something else, or a key is there twice.
    """
    if isinstance(vary, Typed):
        vary = vary.parse()
    if not isinstance(vary, list):
        return vary
    varied: dict[str, Any] = {}
    for text in (part.text if isinstance(part, Plain) else str(part) for part in vary):
        key, sign, listed = text.partition("=")
        try:
            values = read_yaml(f"[{listed}]", keep_texts=True)
        except ValueError:
            values = []
        if not (sign and key.strip() and values) or key.strip() in varied:
            raise ConfigError(
                f"sweep.vary: vary {text!r}: expected key=value,value, each key once, such as data.shift=0,1"
            )
        varied[key.strip()] = values
    return varied


def _members(kind: Any) -> tuple[Any, ...]:
    """The types of a union, without what pydantic adds to them; of another type, the type itself."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, UnionType):
        return tuple(member for part in get_args(kind) for member in _members(part))
    return (kind,)


def _is_text(member: Any) -> bool:
    if get_origin(member) is Literal:
        return all(isinstance(name, str) for name in get_args(member))
    return isinstance(member, type) and issubclass(member, str | Path | Budget)


def _from_typed(typed: Typed, members: tuple[Any, ...]) -> Any:
    if not any(map(_is_text, members)):
        return typed.parse()
    try:
        value = typed.parse()
    except ConfigError:
        return typed.text
    is_quoted = isinstance(value, str) and typed.text[0] in "\"'"
    is_other = isinstance(value, dict | list) and any(map(_holds_values, members))
    if is_quoted or is_other or (isinstance(value, Plain) and value.text == typed.text):
        return value
    return Plain(None, "") if not typed.text else typed.text


def _from_plain(plain: Plain, members: tuple[Any, ...]) -> Any:
    is_null = plain.value is None and plain.text in _NULLS
    if not any(map(_is_text, members)) or type(plain.value) in members or (is_null and not plain.text):
        return plain.value
    return plain.text


def _holds_values(member: Any) -> bool:
    return get_origin(member) in (tuple, dict) or (isinstance(member, type) and issubclass(member, Section))


def _has_default(kind: Any) -> bool:
    members = _members(kind)
    return NoneType not in members and any(map(_holds_values, members))


def _fields(members: tuple[Any, ...], tree: Any) -> dict[Any, Any]:
    """The types of the settings of a section, by name. `tree`: its values."""
    section = next((one for one in members if isinstance(one, type) and issubclass(one, Section)), None)
    if section is DatasetSection:
        named = settle(tree.get("dataset", "synthetic") if isinstance(tree, dict) else "synthetic", str)
        try:
            section = DATASETS[named]
        except ValueError:  # it is named when the section is validated
            return {}
    return {name: field.annotation for name, field in section.model_fields.items()} if section else {}


def _elements(members: tuple[Any, ...], count: int) -> list[Any]:
    """The types of the values of a list."""
    listed = next((get_args(member) for member in members if get_origin(member) is tuple), ())
    if len(listed) == 2 and listed[1] is Ellipsis:
        return [listed[0]] * count
    return list(listed) if len(listed) == count else [None] * count
