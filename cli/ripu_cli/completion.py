"""Shell completion of keys and names, by Typer's own mechanism: `ripu --install-completion`."""

from collections.abc import Iterator
from typing import Any

from ripu_ray.config.registry import ACQUISITIONS


def complete_setting(incomplete: str) -> list[str]:
    """Keys of `--set`, each with its equals sign."""
    from ripu_ray.config import Config, to_tree
    from ripu_ray.config.registry import DATASETS

    keys = list(_keys(to_tree(Config())))
    keys += [f"data.{name}" for dataset in DATASETS.names() for name in DATASETS[dataset].model_fields]
    return [f"{key}=" for key in dict.fromkeys(keys) if key.startswith(incomplete)]


def complete_acquisitions(incomplete: str) -> list[str]:
    """Names of strategies, after those that are typed already."""
    from ripu_ray.config import REFERENCES

    before, comma, begun = incomplete.rpartition(",")
    names = (*ACQUISITIONS.names(), *REFERENCES)
    return [f"{before}{comma}{name}" for name in names if name.startswith(begun) and name not in before.split(",")]


def complete_modes(incomplete: str) -> list[str]:
    """Modes."""
    return [mode for mode in ("region", "pixel", "region,pixel") if mode.startswith(incomplete)]


def _keys(tree: dict[str, Any], place: str = "") -> Iterator[str]:
    for name, value in tree.items():
        key = f"{place}{name}"
        if isinstance(value, dict) and key != "sweep.vary":
            yield from _keys(value, f"{key}.")
        else:
            yield key
