"""A configuration as plain values, and as YAML."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from ripu_ray.config import safe_yaml
from ripu_ray.config.plugins import read_sources
from ripu_ray.errors import ConfigError, first_line

if TYPE_CHECKING:
    from ripu_ray.config.loading import Config


def dump_config(config: "Config", with_sources: bool = False) -> str:
    """The configuration as YAML that `load_config` reads back to an equal one.

    Args:
        config: to write.
        with_sources: adds the sources of plug-ins, for a reader at the other end of a pipe.

    Raises:
        ConfigError: not a configuration.
    """
    tree = to_tree(config)
    if with_sources and config.plugins:
        sources = read_sources(config.plugins)
        tree["plugins"] = [{**plugin, "source": sources.get(plugin["name"])} for plugin in tree["plugins"]]
    return safe_yaml.write(tree)


def setting(config: "Config", key: str, tree: Mapping[str, Any]) -> Any:
    """The plain value of a dotted key in `tree`, or in `config` if `to_tree` leaves it out; None for an unknown key."""
    in_tree: Any = tree
    value: Any = config
    for name in key.split("."):
        in_tree = in_tree.get(name) if isinstance(in_tree, Mapping) else None
        value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
    if in_tree is not None:
        return in_tree
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [*value] if isinstance(value, tuple) else value


def to_tree(config: "Config") -> dict[str, Any]:
    """The configuration as plain dicts, lists, numbers and texts. Raises ConfigError: not a configuration."""
    if not isinstance(config, BaseModel):
        raise ConfigError(f"config: expected a Config, as of load_config, found {config!r}")
    try:
        tree = config.model_dump(mode="json")
    except PydanticSerializationError as error:  # a data set of a user
        raise ConfigError(f"data.dataset {config.data.dataset}: {first_line(error)}") from None
    tree["strategy"]["budget"] = str(config.strategy.budget)
    tree["sweep"]["budgets"] = [str(budget) for budget in config.sweep.budgets]
    if not config.plugins:
        del tree["plugins"]
    return tree
