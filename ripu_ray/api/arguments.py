"""Arguments of Python callers, which no option parser has checked."""

from collections.abc import Iterable, Mapping
from operator import index
from typing import Any

from ripu_ray.config.reading import as_keyed, as_texts, is_single
from ripu_ray.errors import ConfigError

Values = str | float | Iterable[str | float]
"""One value, several values, or a text of values with commas between them."""
Settings = Mapping[str, Any] | Iterable[str]
"""Dotted key -> value, or texts `key=value`."""


def as_list(values: Values | None, as_text: bool = False) -> list[str | float] | None:
    """A list from one value, from several, or from a text of values with commas; None stays None.

    Args:
        values: of an argument.
        as_text: write each value as a text, which rounds numbers of 16 and 32 bits as they are shown: 2.2.
    """
    if isinstance(values, str):
        return [part.strip() for part in values.split(",")]
    if values is None:
        return None
    several = isinstance(values, Iterable) and not is_single(values)
    listed: list[str | float] = [*values] if several else [values]  # type: ignore[list-item,misc]
    return [*map(str, listed)] if as_text else listed


def as_round(round_index: object) -> int | None:
    """The number of a round, of Python or numpy, or None. Raises ConfigError: something else."""
    try:
        if not isinstance(round_index, bool):
            return None if round_index is None else index(round_index)  # type: ignore[arg-type]
    except TypeError:
        pass
    raise ConfigError(f"round_index: expected a whole number, found {round_index!r}")


def as_settings(settings: Settings | None) -> tuple[list[str], dict[str, Any]]:
    """Texts `key=value`, and values by key. Raises ConfigError."""
    if not isinstance(settings, Mapping):
        return as_texts("settings", () if settings is None else settings), {}
    return [], dict(as_keyed("settings", settings))


def check_config(config: object) -> None:
    """Raise ConfigError unless it is a `Config`, for functions that take no file."""
    from ripu_ray.config import Config

    if not isinstance(config, Config):
        raise ConfigError(f"config: expected a Config, as of load_config, found {config!r}")
