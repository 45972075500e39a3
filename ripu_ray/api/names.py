"""Names that a configuration may use: for completion and help."""

from collections.abc import Iterator
from typing import Any

from ripu_ray.config.registry import ACQUISITIONS, DATASETS


def acquisition_names(with_references: bool = False) -> tuple[str, ...]:
    """The names of all registered acquisition functions. `with_references`: then "source_only" and "full"."""
    if not with_references:
        return ACQUISITIONS.names()
    from ripu_ray.config import REFERENCES

    return (*ACQUISITIONS.names(), *REFERENCES)


def setting_keys() -> tuple[str, ...]:
    """The dotted keys of all settings, with those of all registered data sets."""
    from ripu_ray.config import Config, to_tree

    keys = list(_keys(to_tree(Config())))
    keys += [f"data.{name}" for dataset in DATASETS.names() for name in DATASETS[dataset].model_fields]
    return tuple(dict.fromkeys(keys))


def _keys(tree: dict[str, Any], place: str = "") -> Iterator[str]:
    for name, value in tree.items():
        key = f"{place}{name}"
        if isinstance(value, dict) and key != "sweep.vary":
            yield from _keys(value, f"{key}.")
        else:
            yield key
