"""Names that a configuration may use: for completion and help."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ripu_ray.config.registry import ACQUISITIONS, DATASETS

if TYPE_CHECKING:
    from ripu_ray.config.fields import Section


def acquisition_names(with_references: bool = False) -> tuple[str, ...]:
    """The names of all registered acquisition functions. `with_references`: then "source_only" and "full"."""
    if not with_references:
        return ACQUISITIONS.names()
    from ripu_ray.config import REFERENCES

    return (*ACQUISITIONS.names(), *REFERENCES)


def setting_keys() -> tuple[str, ...]:
    """The dotted keys of all settings, with those of all registered data sets."""
    from ripu_ray.config import Config

    keys = list(_keys(Config()))
    keys += [f"data.{name}" for section in DATASETS.usable().values() for name in section.model_fields]
    return tuple(dict.fromkeys(keys))


def _keys(section: "Section", place: str = "") -> Iterator[str]:
    from ripu_ray.config.fields import Budget, Section

    for name, value in section:
        if isinstance(value, Section) and not isinstance(value, Budget):
            yield from _keys(value, f"{place}{name}.")
        else:
            yield f"{place}{name}"
