"""Plug-ins: modules that register parts of a user's own, named by the setting `plugins`.

A plug-in is one file beside the configuration or in the working directory, or a module of an installed package. A file
is loaded by its path, so that nothing else in its folder becomes importable, and its source travels with the
configuration to every process of Ray. An installed module is imported by its name in each process.
"""

import hashlib
import inspect
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import chdir, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from traceback import walk_tb
from types import ModuleType
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from ripu_ray.config.fields import Section
from ripu_ray.config.registry import REGISTRIES, module_of, registering, wrapped
from ripu_ray.errors import ConfigError, check_torch, first_line, named, torch_state
from ripu_ray.storage.remote import locate

MAX_BYTES = 1_000_000
"""Of the file of a plug-in."""
PROGRAM = "__main__"
"""Name of the plug-in that stands for the parts that the running program registered itself."""
ModuleName = Annotated[str, StringConstraints(pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)*$", max_length=200)]


class Plugin(Section):
    """A plug-in as a run folder records it.

    Attributes:
        name: of the module.
        sha256: of its source.
        file: where it was found.
        installed: whether it belongs to an installed package, which every node has to have.
        provides: kind of part -> the names that it registered.
    """

    name: ModuleName
    sha256: str
    file: str
    installed: bool = False
    provides: dict[str, tuple[str, ...]] = Field({})


@dataclass(frozen=True)
class _Loaded:
    sha256: str
    source: str
    module: ModuleType


_loaded: dict[str, _Loaded] = {}


def resolve_plugins(entries: object, folders: Sequence[Path], is_piped: bool) -> list[dict[str, Any]]:
    """Find and run the plug-ins that a configuration names.

    Args:
        entries: names, or descriptions as a run folder has them; a list of them, or a single one.
        folders: see `find_plugin`.
        is_piped: whether the configuration comes through a pipe, from another `ripu` process. Only then an entry may
            hold the source itself.

    Returns:
        A description (`Plugin`) of each as plain values.

    Raises:
        ConfigError: see `find_plugin`.
    """
    plugins: dict[str, Plugin] = {}
    for entry in entries if isinstance(entries, list | tuple) else [entries]:
        if isinstance(entry, dict) and entry.get("name") == PROGRAM:
            continue  # of a run folder; what this program registers is found without it
        if isinstance(entry, dict):
            source = entry.get("source") if is_piped else None
            try:
                known = Plugin.model_validate({key: value for key, value in entry.items() if key != "source"})
            except ValueError:
                raise ConfigError(f"plugins: expected names of modules, found {entry!r}") from None
            if isinstance(source, str):
                run_plugin(known, source)
                plugin = known
            else:
                is_there = not known.installed and Path(known.file).is_file()
                plugin = find_plugin(known.file if is_there else known.name, folders)
        elif isinstance(entry, str):
            plugin = find_plugin(entry, folders)
        else:
            raise ConfigError(f"plugins: expected names of modules, found {entry!r}")
        plugins[plugin.name] = plugin
    return [plugin.model_dump(mode="json") for plugin in plugins.values()]


def find_plugin(name: str, folders: Sequence[Path]) -> Plugin:
    """Find and run a plug-in.

    Args:
        name: of a module; or the path of a file, which ends in `.py`.
        folders: where the file is looked up, in this order, before the installed packages.

    Raises:
        ConfigError: there is none, or it fails.
    """
    is_path, text = name.endswith(".py"), name
    name = Path(name).stem if is_path else name
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"plug-in {name!r}: expected the name of a module or of a file, such as my_scores.py")
    relative = locate(text) if is_path else Path(*name.split(".")).with_suffix(".py")
    beside = find_file(relative, folders)
    found = beside or (None if is_path else _installed(name))
    if not found:
        if not is_path and any((folder / relative.with_suffix("")).is_dir() for folder in folders):
            raise ConfigError(f"plug-in {name}: found a folder, expected one file, or an installed package")
        looked = ", ".join(str(folder.absolute()) for folder in dict.fromkeys(folders))
        also = "" if is_path else ", and no installed module of this name"
        raise ConfigError(f"plug-in {name}: no file {relative} in {looked}{also}")
    source = _read(name, found)
    return _described(Plugin(name=name, sha256=_digest(source), file=str(found), installed=not beside), source)


def run_plugin(plugin: Plugin, source: str) -> ModuleType:
    """Run a plug-in in this process, unless it is loaded.

    Args:
        plugin, source: its name, and the source of the module, not used for an installed one.

    Raises:
        ConfigError: it fails, or the installed module has another source than `plugin.sha256` says.
    """
    known = _loaded.get(plugin.name)
    if known and known.sha256 == plugin.sha256:
        return known.module
    for registry in REGISTRIES.values():
        registry.names()  # the package's own parts are registered first
        registry.withdraw(plugin.name)
    if plugin.installed:
        file = _installed(plugin.name)
        source = _read(plugin.name, file) if file else ""
    if _digest(source) != plugin.sha256:
        raise ConfigError(f"plug-in {plugin.name}: another source than that with which the run was started")
    module = ModuleType(f"ripu_plugins.{plugin.name}")
    before = torch_state()
    try:
        with registering(plugin.name), chdir("."):
            if plugin.installed:
                module = import_module(plugin.name)
            else:
                module.__file__, module.__package__ = plugin.file, ""
                # Classes look their module up, and pickle its parent, too.
                sys.modules.setdefault("ripu_plugins", ModuleType("ripu_plugins"))
                sys.modules[module.__name__] = module
                exec(compile(source, plugin.file, "exec"), module.__dict__)
        check_torch("afterwards", before)
    except BaseException as error:  # whatever the code of a user raises
        sys.modules.pop(module.__name__, None)
        for registry in REGISTRIES.values():
            registry.withdraw(plugin.name)
        if isinstance(error, KeyboardInterrupt):
            raise
        what = str(error) if isinstance(error, ConfigError) else named(error) + _hint(error, plugin)
        raise ConfigError(f"plug-in {plugin.name}: {_place(error, plugin.file)}: {what}") from None
    _loaded[plugin.name] = _Loaded(plugin.sha256, source, module)
    return module


def declare_plugin(plugin: Plugin) -> None:
    """Make the names known that a plug-in registers, without running it."""
    for key, names in plugin.provides.items():
        for name in names:
            if key in REGISTRIES:
                REGISTRIES[key].declare(name, plugin.name)


def find_file(relative: Path, folders: Sequence[Path]) -> Path | None:
    """The file at a relative path in the first of these folders that has one."""
    return next((file for folder in folders if (file := folder.absolute() / relative).is_file()), None)


def read_sources(plugins: Iterable[Plugin]) -> dict[str, str]:
    """The sources of loaded plug-ins by name, for another process; an installed one is left out."""
    return {
        plugin.name: _loaded[plugin.name].source
        for plugin in plugins
        if not plugin.installed and plugin.name in _loaded
    }


def run_plugins(plugins: Iterable[Plugin], sources: Mapping[str, str]) -> None:
    """Run plug-ins with the sources that `read_sources` gave. Raises ConfigError as `run_plugin` does."""
    for plugin in plugins:
        if plugin.installed or plugin.name in sources:
            run_plugin(plugin, sources.get(plugin.name, ""))


def has_changed(plugin: Plugin) -> bool:
    """Whether the source of a plug-in is there and is another one than when the run was started."""
    if plugin.name == PROGRAM:
        now = program_plugin({name for names in plugin.provides.values() for name in names})
        return now is not None and now.sha256 != plugin.sha256
    file = _installed(plugin.name) if plugin.installed else Path(plugin.file)
    return bool(file and file.is_file()) and _digest(_read(plugin.name, Path(str(file)))) != plugin.sha256


def find_module(name: str) -> ModuleType:
    """The module of a loaded plug-in, or else an installed one. Raises ImportError."""
    return _loaded[name].module if name in _loaded else import_module(name)


def program_parts() -> list[tuple[str, str, Any]]:
    """(kind, name, part) of all parts that the program registered itself, neither this package nor a plug-in."""
    return [
        (key, name, part)
        for key, registry in REGISTRIES.items()
        for name, part in registry.owned("").items()
        if not module_of(part).startswith("ripu_plugins.")
    ]


def program_plugin(used: Collection[str]) -> Plugin | None:
    """The parts with these names that the program registered itself, as a plug-in without a file to load; or None."""
    provides: dict[str, tuple[str, ...]] = {}
    sources = []
    for key, name, part in program_parts():
        if name in used:
            provides[key] = (*provides.get(key, ()), name)
            with suppress(OSError, TypeError):  # typed at a prompt, say
                sources.append(inspect.getsource(wrapped(part)))
            if module_of(part).startswith("ripu_ray."):  # its source does not contain the registration
                sources.append(getattr(part, "preset", ""))
    file = str(getattr(sys.modules["__main__"], "__file__", None) or "an interactive session")
    plugin = Plugin(name=PROGRAM, sha256=_digest("".join(sources)), file=file, provides=provides)
    return plugin if provides else None


def add_program_parts(parts: Iterable[tuple[str, str, Any]]) -> None:
    """Register parts of the program that started this process, unless their names are known."""
    for key, name, part in parts:
        if name not in REGISTRIES[key].names():
            REGISTRIES[key].register(name)(part)


def _described(plugin: Plugin, source: str) -> Plugin:
    """Run a plug-in, and add the names that it registered."""
    module = run_plugin(plugin, source)
    provides = {}
    for key, registry in REGISTRIES.items():
        names = [name for name, part in registry.owned("").items() if module_of(part) == module.__name__]
        if own := (*registry.owned(plugin.name), *names):
            provides[key] = own
    return plugin.model_copy(update={"provides": provides})


def _installed(name: str) -> Path | None:
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.has_location else None


def _read(name: str, file: Path) -> str:
    try:
        data = file.read_bytes()
        if len(data) > MAX_BYTES:
            raise ConfigError(f"plug-in {name}: {file}: expected at most {MAX_BYTES} bytes, found {len(data)}")
        return data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"plug-in {name}: {file}: cannot be read ({first_line(error)})") from None


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()


def _hint(error: BaseException, plugin: Plugin) -> str:
    """Advice for a plug-in that imports a module of its own folder."""
    folders = Path(plugin.file).parents[: plugin.name.count(".") + 2]  # also of the package that holds it
    name = (getattr(error, "name", None) or "").partition(".")[0]
    is_beside = bool(name) and any((folder / f"{name}.py").is_file() or (folder / name).is_dir() for folder in folders)
    if plugin.installed or not isinstance(error, ImportError) or not (is_beside or "relative import" in str(error)):
        return ""
    return "; a plug-in is one file, and imports installed packages alone: put all into the file, or install a package"


def _place(error: BaseException, file: str) -> str:
    """File and line of an error in a plug-in."""
    lines = [line for frame, line in walk_tb(error.__traceback__) if frame.f_code.co_filename == file]
    line = lines[-1] if lines else getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    return f"{file}, line {line}" if line else file
