"""Write docs/reference/configuration.md and configs/demo.yaml from the models of the configuration.

Run `python docs/make_reference.py`. The meaning of a key is the docstring below its field in `ripu_ray/config` or
`ripu_ray/data`; of a section, the first line of its class's docstring.
"""

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path, PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from ripu_ray.config import Config, DatasetSection
from ripu_ray.config.demo import demo_tree
from ripu_ray.config.fields import Budget, HubId, Power, Section
from ripu_ray.config.registry import DATASETS

ROOT = Path(__file__).resolve().parent.parent
PAGE, DEMO = ROOT / "docs/reference/configuration.md", ROOT / "configs/demo.yaml"
_WIDTH = 120
_KINDS = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    NoneType: "null",
    Budget: "per cent, or pixels such as 40px",
    Power: "number, or a schedule such as 1 -> 100",
    HubId: "id of the Hugging Face Hub",
}
_HUGE = 10**9
"""Limits from here on are left out: they bound memory, not sense."""
_SIGNS = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}
_INTRODUCTION = """# Configuration

Every key, with its type, default and meaning. A YAML file overrides the defaults, `--set key=value` overrides the file,
and flags override both. [demo.yaml](../../configs/demo.yaml) has all keys, with the
defaults except in three of them.

`python docs/make_reference.py` writes this page and `configs/demo.yaml` from the models of the configuration.
"""


def fields_of(section: type[Section]) -> Iterator[tuple[str, FieldInfo, type[Section] | None]]:
    """Key, field, and the section below the key if it is one."""
    for key, field in section.model_fields.items():
        kind = field.annotation
        is_section = isinstance(kind, type) and issubclass(kind, Section) and kind not in (Budget, Power)
        yield key, field, kind if is_section else None


def meaning(field: FieldInfo, section: type[Section] | None) -> str:
    """The description of a key in one line; empty if it has none."""
    text = field.description or (section and (section.__doc__ or "").partition("\n")[0]) or ""
    return " ".join(text.split()).replace("None:", "null:")


def default_of(field: FieldInfo) -> Any:
    """The default as YAML shows it; `...` if a value is required."""
    if field.is_required():
        return ...
    return _plain(field.get_default(call_default_factory=True))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Budget | Power | PurePath) else value


def kind_of(annotation: Any, limits: tuple[Any, ...] = ()) -> str:
    """The type in words, with its limits."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        found = [each for extra in parts[1:] for each in (extra.metadata if isinstance(extra, FieldInfo) else [extra])]
        return kind_of(parts[0], (*found, *limits))
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in parts)
    if origin in (Union, UnionType):
        return ", or ".join(dict.fromkeys(kind_of(part, limits) for part in parts))
    if origin is dict:
        return f"mapping from {kind_of(parts[0])} to {kind_of(parts[1])}"
    if origin in (tuple, list):
        if len(parts) == 2 and parts[1] is not Ellipsis:
            return f"list of 2: {kind_of(parts[0])}"
        return f"list of {kind_of(parts[0])}"
    if isinstance(annotation, type) and issubclass(annotation, PurePath):
        return "path"
    if isinstance(annotation, type) and issubclass(annotation, Section) and annotation not in _KINDS:
        return annotation.__name__
    bounds = [
        f"{sign}\N{NO-BREAK SPACE}{getattr(limit, kind.__name__.lower()):,}"
        for kind, sign in _SIGNS.items()
        for limit in limits
        if isinstance(limit, kind) and getattr(limit, kind.__name__.lower()) < _HUGE
    ]
    return " ".join([_KINDS.get(annotation, "value"), " and ".join(bounds)]).strip()


def reference_page() -> str:
    """The text of docs/reference/configuration.md."""
    parts = [_INTRODUCTION, *_tables("", Config)]
    for name in DATASETS.names():
        section = DATASETS[name]
        parts += [f"\n## data: {name}\n", f"{' '.join((section.__doc__ or '').split())}\n", *_tables("data.", section)]
    parts += ["\n## LabelFormat\n", "The labels of a data set of Hugging Face.\n", *_tables("", _label_format())]
    return "\n".join(parts).rstrip() + "\n"


def demo() -> str:
    """The text of configs/demo.yaml."""
    lines = [
        "# All settings: `ripu sweep` without --config runs this configuration. The values are the defaults, which",
        "# another file overrides, except three. These say their default: docs/results.md, table embedded-spread.",
        "# The images are drawn from data.seed; nothing is downloaded. Written by `python docs/make_reference.py`.",
        *_yaml(Config, "", demo_tree()),
    ]
    return "\n".join(lines) + "\n"


def _label_format() -> type[Section]:
    kind: type[Section] = DATASETS["huggingface"].model_fields["labels"].annotation
    return kind


def _tables(prefix: str, section: type[Section]) -> Iterator[str]:
    inner = [(key, below) for key, _, below in fields_of(section) if below and below is not _label_format()]
    rows = []
    for key, field, below in fields_of(section):
        if (key, below) in inner:
            continue
        default = default_of(field)
        shown = "required" if default is ... else f"`{json.dumps(default, ensure_ascii=False)}`"
        kind = kind_of(field.annotation, tuple(field.metadata))
        rows.append(" | ".join(("", f"`{prefix}{key}`", kind, shown, meaning(field, None), "")).strip())
    if rows:
        yield "\n".join(("\n| key | type | default | meaning |", "|---|---|---|---|", *rows))
    for key, below in inner:
        if below is DatasetSection:
            continue
        assert below is not None
        yield f"\n## {prefix}{key}\n\n{meaning(section.model_fields[key], below)}"
        yield from _tables(f"{prefix}{key}.", below)


def _yaml(section: type[Section], indent: str, own: dict[str, Any]) -> Iterator[str]:
    for key, field, below in fields_of(section):
        comment = _short(meaning(field, below), field.annotation)
        if below:
            yield from _commented(f"{indent}{key}:", comment, indent)
            inner = DATASETS["synthetic"] if below is DatasetSection else below
            yield from _yaml(inner, f"{indent}  ", own.get(key, {}))
            continue
        value = yaml.safe_dump(own.get(key, default_of(field)), default_flow_style=True).partition("\n")[0]
        comment += f". Default: {json.dumps(default_of(field))}" if key in own else ""
        yield from _commented(f"{indent}{key}: {value}", comment, indent)


def _short(text: str, annotation: Any) -> str:
    """The first sentence, the one about null, and the values of a choice."""
    first, *others = text.removesuffix(".").split(". ")
    null = [each for each in others if each.startswith("null:")]
    choice = ", ".join(map(str, get_args(annotation))) if get_origin(annotation) is Literal else ""
    is_told = not choice or choice == "synthetic"
    return ". ".join([first + ("" if is_told else f" ({choice})"), *null])


def _commented(line: str, comment: str, indent: str) -> Iterator[str]:
    if len(line) + len(comment) + 3 <= _WIDTH:
        yield f"{line} # {comment}"
        return
    for part in textwrap.wrap(comment, _WIDTH - len(indent) - 2):
        yield f"{indent}# {part}"
    yield line


if __name__ == "__main__":
    PAGE.write_text(reference_page(), encoding="utf-8")
    DEMO.write_text(demo(), encoding="utf-8")
