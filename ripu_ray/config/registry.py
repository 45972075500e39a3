"""The names that a configuration may use for parts that can be added: one registry for each kind of part."""

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

T = TypeVar("T")
_NAME = re.compile("[a-z][a-z0-9_]*")


class Registry:
    """Names of one kind of part, and the part for each name.

    Args:
        kind: what the parts are, for messages, such as "acquisition function".
        module: registers the parts of this package; it is imported at the first look-up, so that defining a registry
            costs nothing.
    """

    def __init__(self, kind: str, module: str) -> None:
        self._kind, self._module = kind, module
        self._parts: dict[str, Any] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that adds a part under `name`.

        Raises:
            ValueError: the name is taken, or is not made of lower-case letters, digits and underscores.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"{self._kind} {name!r}: expected lower-case letters, digits and underscores")

        def add(part: T) -> T:
            if name in self._parts:
                raise ValueError(f"{self._kind} {name}: the name is taken by {self._parts[name]!r}")
            self._parts[name] = part
            return part

        return add

    def names(self) -> tuple[str, ...]:
        """All names, in the order of registration."""
        import_module(self._module)
        return tuple(self._parts)

    def check(self, name: str) -> str:
        """The name itself. Raises ValueError, with all names, if no part has it."""
        if name not in self.names():
            raise ValueError(f"unknown {self._kind} {name!r}: expected {', '.join(self.names())}")
        return name

    def __getitem__(self, name: str) -> Any:
        """The part of this name. Raises ValueError like `check`."""
        return self._parts[self.check(name)]


ACQUISITIONS = Registry("acquisition function", "ripu_ray.core.acquisition")
NETWORKS = Registry("network", "ripu_ray.models.networks")
DATASETS = Registry("data set", "ripu_ray.data.datasets")
STOPPING_RULES = Registry("stopping rule", "ripu_ray.simulation.stopping")
