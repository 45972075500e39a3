"""Arguments of Python callers, which no option parser has checked."""

from collections.abc import Iterable, Mapping
from typing import Any

from ripu_ray.config.reading import as_keyed, as_texts
from ripu_ray.errors import ConfigError

Values = str | float | Iterable[str | float]
"""One value, several values, or a text of values with commas between them."""
Settings = Mapping[str, Any] | Iterable[str]
"""Dotted key -> value, or texts `key=value`."""


def as_list(values: Values | None) -> list[str | float] | None:
    """A list from one value, from several, or from a text of values with commas; None stays None."""
    if isinstance(values, str):
        return [part.strip() for part in values.split(",")]
    if values is None:
        return None
    return [*values] if isinstance(values, Iterable) else [values]


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
