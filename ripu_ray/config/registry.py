"""The names that a configuration may use for parts that can be added: one registry for each kind of part."""

import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, cast

from ripu_ray.errors import ConfigError, named

T = TypeVar("T")
_NAME = re.compile("[a-z][a-z0-9_]*")
PACKAGE = "-"
"""Owner of the parts of this package; no plug-in has this name."""
_owner = ""


class Registry:
    """Names of one kind of part, and the part for each name.

    A part comes from this package, from a plug-in or a program that calls `register`, or from an entry point of an
    installed package, in the group `ripu_ray.KEY`. An entry point is imported when its name is looked up.

    Args:
        kind: what the parts are, for messages, such as "acquisition function".
        key: names the kind in `Plugin.provides` and in groups of entry points.
        module: registers the parts of this package; it is imported at the first look-up, so that defining a registry
            costs nothing. It may set `adapt`, `absent`, `check_part` and `reserved`.

    Attributes:
        adapt: makes a part of what an entry point names.
        check_part: raises ValueError, without the name, if a part cannot be one of this kind.
        reserved: names with a meaning of their own, which no part may have.
        absent: makes a part for a name whose plug-in is not run, so that the configuration can still be read.
    """

    def __init__(self, kind: str, key: str, module: str) -> None:
        self.key = key
        self.adapt: Callable[[Any], Any] = lambda part: part
        self.absent: Callable[[str], Any] = lambda name: partial(_refuse, f"{kind} {name}")
        self.check_part: Callable[[Any], object] = _check_callable
        self.reserved: tuple[str, ...] = ()
        self._kind, self._module, self._is_closed = kind, module, False
        self._parts: dict[str, Any] = {}
        self._owners: dict[str, str] = {}
        self._entry_points: dict[str, EntryPoint] | None = None

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that adds a part under `name`. The same definition may be run again, as in a notebook.

        Raises:
            ValueError: the name is taken, or is not made of lower-case letters, digits and underscores; or the part
                cannot be one of this kind.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"{self._kind} {name!r}: expected lower-case letters, digits and underscores as its name")
        if name in self.reserved:
            raise ValueError(f"{self._kind} {name}: the name has a meaning of its own")

        def add(part: T) -> T:
            try:
                self.check_part(part)
            except ValueError as error:
                raise ValueError(f"{self._kind} {name}: {error}") from None
            is_again = bool(_owner) and self._owners.get(name) == _owner  # a plug-in starts from nothing
            if name in self._parts and (is_again or self._is_another(name, part)):
                raise ValueError(f"{self._kind} {name}: the name is taken by {_described(self._parts[name])}")
            self._parts[name] = part
            is_ours = not self._is_closed and module_of(part).startswith("ripu_ray.")
            self._owners[name] = _owner or (PACKAGE if is_ours else "")
            return part

        return add

    def _is_another(self, name: str, part: object) -> bool:
        """Whether a part differs from the one of this name. Presets of this package do not change."""
        known = self._parts[name]
        is_preset = self._owners[name] == PACKAGE and getattr(known, "preset", "") != getattr(part, "preset", "")
        return is_preset or _identity(known) != _identity(part)

    def close(self) -> None:
        """State that this package has registered all its parts: one that follows is of others, whatever its module."""
        self._is_closed = True

    def names(self) -> tuple[str, ...]:
        """All names, in the order of registration, then those of entry points."""
        import_module(self._module)
        if self._entry_points is None:
            self._entry_points = {point.name: point for point in entry_points(group=f"ripu_ray.{self.key}")}
        return tuple(self._parts | self._entry_points)

    def check(self, name: str) -> str:
        """The name itself. Raises ValueError, with all names, if no part has it."""
        if name not in self.names():
            raise ValueError(f"unknown {self._kind} {name!r}: expected {', '.join(self.names())}")
        if name not in self._parts and self._entry_points:
            self._load(self._entry_points[name])
        return name

    def __getitem__(self, name: str) -> Any:
        """The part of this name. Raises ValueError like `check`."""
        return self._parts[self.check(name)]

    def usable(self) -> dict[str, Any]:
        """All parts by name, without the entry points that cannot be loaded."""
        for name in self.names():
            with suppress(ValueError):
                self.check(name)
        return dict(self._parts)

    def owned(self, owner: str) -> dict[str, Any]:
        """The parts that a plug-in registered. The owner of the program is "", that of this package `PACKAGE`."""
        return {name: part for name, part in self._parts.items() if self._owners[name] == owner}

    def declare(self, name: str, owner: str) -> None:
        """Make a name known whose plug-in is not run, unless it is known already."""
        if name not in self.names():
            self._parts[name], self._owners[name] = self.absent(name), owner

    def withdraw(self, owner: str) -> None:
        """Remove the parts of a plug-in."""
        for name in self.owned(owner):
            del self._parts[name], self._owners[name]

    def _load(self, point: EntryPoint) -> None:
        try:
            part = point.load()
            if point.name not in self._parts:
                self.register(point.name)(self.adapt(part))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 (whatever an import of another package raises)
            package = point.dist.name if point.dist else "an installed package"
            raise ValueError(
                f"{self._kind} {point.name}: {point.value} of {package} cannot be loaded ({named(error)})"
            ) from None


@contextmanager
def registering(owner: str) -> Iterator[None]:
    """Within the block, parts are registered for the plug-in of this name."""
    global _owner
    before, _owner = _owner, owner
    try:
        yield
    finally:
        _owner = before


def _refuse(what: str, *arguments: object) -> None:
    raise ConfigError(f"{what}: commands that only read a run folder do not run its plug-ins")


def check_words(place: str, words: object, known: Collection[str]) -> None:
    """Raise ValueError, which begins with `place`, unless `words` is a list of known words."""
    is_list = isinstance(words, list | tuple | set | frozenset)
    if not is_list or any(word not in known for word in cast(Iterable[object], words)):
        raise ValueError(f"{place}: expected a list of {', '.join(known)}, found {words!r}")


def wrapped(part: Any) -> Any:
    """The function that a part was made from, of those that hold one."""
    return getattr(part, "build", getattr(part, "function", part))


def module_of(part: Any) -> str:
    """Name of the module of the function that a part was made from."""
    return str(getattr(wrapped(part), "__module__", ""))


def _check_callable(part: Any) -> None:
    if not callable(wrapped(part)):
        raise ValueError(f"expected a function, found {wrapped(part)!r}")


def _described(part: Any) -> str:
    """Module and name, of plug-ins without the package that they are loaded into."""
    part = wrapped(part)
    name = f"{getattr(part, '__module__', '')}.{getattr(part, '__qualname__', type(part).__name__)}"
    return name.removeprefix("ripu_plugins.")


def _identity(part: Any) -> object:
    """Module and name of a function or a class, or of what it was wrapped from; else the part itself."""
    part = wrapped(part)
    name = getattr(part, "__qualname__", "<locals>")
    # At a prompt, the same lambda may be registered again; two of a file are different.
    is_unnamed = "<locals>" in name or ("<lambda>" in name and hasattr(sys.modules["__main__"], "__file__"))
    return part if is_unnamed else (part.__module__, name)


ACQUISITIONS = Registry("acquisition function", "acquisitions", "ripu_ray.core.acquisition")
NETWORKS = Registry("network", "networks", "ripu_ray.models.networks")
DATASETS = Registry("data set", "datasets", "ripu_ray.data.datasets")
STOPPING_RULES = Registry("stopping rule", "stopping_rules", "ripu_ray.simulation.stopping")
REGISTRIES = {registry.key: registry for registry in (ACQUISITIONS, NETWORKS, DATASETS, STOPPING_RULES)}
