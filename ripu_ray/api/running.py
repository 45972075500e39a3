"""Sweeps and single trials: from arguments to a configuration, and from a configuration to results.

Torch, Ray and pandas are imported when a function needs them.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ripu_ray.api.arguments import Settings, Values, as_list, as_settings, check_config
from ripu_ray.api.results import Results
from ripu_ray.api.starting import AS_SEALED, SILENT, DataOptions, Observer, execute, open_run, read_run
from ripu_ray.config import Config, load_config, override
from ripu_ray.config.reading import as_texts
from ripu_ray.errors import ConfigError
from ripu_ray.runs.claims import check_name
from ripu_ray.runs.event_log import OnProgress
from ripu_ray.storage.remote import locate


def sweep(
    config: Config | str | Path | None = None,
    *,
    budgets: Values | None = None,
    mode: Values | None = None,
    windows: Values | None = None,
    acquisitions: Values | None = None,
    seeds: Values | None = None,
    vary: Mapping[str, Sequence[Any]] | Sequence[str] | None = None,
    name: str | None = None,
    output: str | Path = "runs",
    settings: Settings | None = None,
    plugins: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> Results:
    """Run a grid of trials: every list is one of its dimensions. See `ripu sweep`.

    Args:
        config: a configuration, the path of its YAML file, or None for configs/demo.yaml.
        budgets: per cent of each target image's pixels, in (0, 100], or pixels per image such as "40px".
        mode: "region", "pixel", or both.
        windows, seeds: sides of the window in pixels, odd; seeds, at least 0.
        acquisitions: names of acquisition functions, "source_only" and "full".
        vary: dotted key of any other setting -> its values.
        name: of the run folder; None: date and time. A folder of this name with the same configuration is resumed.
        output: folder that holds run folders, or a URL.
        settings: dotted key -> value, such as {"training.round_steps": 20}, or texts "training.round_steps=20".
        plugins: modules or files that register parts (docs/extending.md).
        on_progress: called with every report of a warm-up or trial.

    Returns:
        The results; `failures` names the trials that failed.

    Raises:
        ConfigError, DataError, RunFolderError: wrong input, before anything starts.
        ClusterError, StoppedError: Ray does not start or cannot hold a trial; a stop was requested.
    """
    configured = sweep_config(
        config,
        budgets=budgets,
        mode=mode,
        windows=windows,
        acquisitions=acquisitions,
        seeds=seeds,
        vary=vary,
        settings=settings,
        plugins=plugins,
    )
    return start(configured, name_folder("sweep", name, output), shown(on_progress))


def run(
    config: Config | str | Path | None = None,
    *,
    budget: str | float | None = None,
    mode: str | None = None,
    window: int | None = None,
    acquisition: str | None = None,
    seed: int | None = None,
    name: str | None = None,
    output: str | Path = "runs",
    settings: Settings | None = None,
    plugins: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> Results:
    """Run one trial. Arguments, results and errors are those of `sweep`, with one value in place of each list."""
    configured = run_config(
        config,
        budget=budget,
        mode=mode,
        window=window,
        acquisition=acquisition,
        seed=seed,
        settings=settings,
        plugins=plugins,
    )
    return start(configured, name_folder("run", name, output), shown(on_progress))


def resume(folder: str | Path, on_progress: OnProgress | None = None) -> Results:
    """Resume the run of a folder as it was started; a finished one is not run again. Errors are those of `sweep`."""
    return start(read_run(folder), folder, shown(on_progress))


def start(config: Config, folder: str | Path, observer: Observer = SILENT, data: DataOptions = AS_SEALED) -> Results:
    """Run a configuration into a run folder, or resume it there. `sweep`, `run` and `resume` call this function.

    Args:
        config: of `sweep_config`, `run_config`, `read_run` or `load_config`.
        folder: run folder, or a URL.
        observer: receives the events of the run.
        data: what is done if the data changed since an earlier start.

    Returns, raises:
        See `sweep`.
    """
    check_config(config)
    with open_run(config, locate(folder), observer, data) as (opened, on_death):
        return execute(opened, observer, on_death)


def shown(on_progress: OnProgress | None) -> Observer:
    """An observer that calls a function with each report. Raises ConfigError: it is not a function."""
    if on_progress is not None and not callable(on_progress):
        raise ConfigError(f"on_progress: expected a function, found {on_progress!r}")
    return SILENT if on_progress is None else Observer(show=lambda run, needs_ray: nullcontext(on_progress))


def sweep_config(
    config: Config | str | Path | None = None,
    *,
    budgets: Values | None = None,
    mode: Values | None = None,
    windows: Values | None = None,
    acquisitions: Values | None = None,
    seeds: Values | None = None,
    vary: Mapping[str, Sequence[Any]] | Sequence[str] | None = None,
    settings: Settings | None = None,
    plugins: Sequence[str] = (),
) -> Config:
    """The configuration that `sweep` runs for the same arguments. Raises ConfigError."""
    flags = {
        "sweep.budgets": as_list(budgets, as_text=True),
        "sweep.modes": as_list(mode),
        "sweep.windows": as_list(windows),
        "sweep.acquisitions": as_list(acquisitions),
        "sweep.seeds": as_list(seeds),
        "sweep.vary": vary if vary is None or isinstance(vary, Mapping) else as_texts("vary", vary),
    }
    return resolve(config, settings, flags, plugins)


def run_config(
    config: Config | str | Path | None = None,
    *,
    budget: str | float | None = None,
    mode: str | None = None,
    window: str | int | None = None,
    acquisition: str | None = None,
    seed: str | int | None = None,
    settings: Settings | None = None,
    plugins: Sequence[str] = (),
) -> Config:
    """The configuration that `run` runs for the same arguments: one trial. Raises ConfigError."""
    flags: dict[str, Any] = {
        "sweep": {},
        "strategy.budget": None if budget is None else str(budget),
        "strategy.mode": mode,
        "strategy.windows.region": window,
        "strategy.windows.pixel": window,
        "strategy.acquisition": acquisition,
        "seed": seed,
    }
    return resolve(config, settings, flags, plugins)


def resolve(
    config: Config | str | Path | None,
    settings: Settings | None,
    flags: Mapping[str, Any] = MappingProxyType({}),
    plugins: Sequence[str] = (),
) -> Config:
    """A checked configuration: of a file or of an object, with settings and then flags replaced. Raises ConfigError."""
    texts, values = as_settings(settings)
    # A flag that is None is not given; a setting that is None is null.
    values |= {key: value for key, value in flags.items() if value is not None}
    names = as_texts("plugins", plugins)
    if not isinstance(config, Config):
        file = None if config is None else locate(config)
        texts += [f"{key}=null" for key, value in values.items() if value is None]
        return load_config(file, texts, {**values, "plugins": names or None}, demo=True)
    if names or texts:
        raise ConfigError(
            f"{'plugins' if names else 'settings as texts'}: expected with a file or without a configuration; "
            "load_config takes them, too"
        )
    return override(config, values)


def name_folder(kind: str, name: str | None, output: str | Path) -> Path:
    """The run folder of this name in `output`; without a name, of `kind` and the date. Raises RunFolderError."""
    now = f"{kind}-{datetime.now():%Y%m%d-%H%M%S}"
    return locate(output) / (now if name is None else check_name(name))
