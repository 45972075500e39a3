"""Sweeps and single trials: from arguments to a configuration, and from a configuration to results.

Torch, Ray and pandas are imported when a function needs them.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

from ripu_ray.api.results import Results
from ripu_ray.api.starting import execute, open_run, read_run
from ripu_ray.config import Config, load_config, override
from ripu_ray.errors import ConfigError
from ripu_ray.runs.claims import check_name
from ripu_ray.runs.event_log import OnProgress, ignore_progress
from ripu_ray.storage.remote import locate

Values = str | float | Sequence[str | float]
"""One value, a list of values, or a text of values with commas between them."""


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
    settings: Mapping[str, Any] | None = None,
    plugins: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> Results:
    """Run a grid of trials: every list is one of its dimensions. See `ripu sweep`.

    Args:
        config: a configuration, the path of its YAML file, or None for configs/demo.yaml.
        budgets: per cent of each target image's pixels, in (0, 100], or pixels per image such as "40px".
        mode: "region", "pixel", or both.
        windows: side of the window in pixels, odd.
        acquisitions: names of acquisition functions, "source_only" and "full".
        seeds: at least 0.
        vary: dotted key of any other setting -> its values.
        name: of the run folder; None: date and time. A folder of this name with the same configuration is resumed.
        output: folder that holds run folders, or a URL.
        settings: dotted key -> value, such as {"training.round_steps": 20}.
        plugins: modules or files that register parts (docs/extending.md).
        on_progress: called with every report of a warm-up or trial.

    Returns:
        The results; `failures` names the trials that failed.

    Raises:
        ConfigError, DataError, RunFolderError: wrong input, before anything starts.
        ClusterError: Ray does not start, or cannot hold a trial.
        StoppedError: a stop was requested.
    """
    flags = {
        "sweep.budgets": as_list(budgets),
        "sweep.modes": as_list(mode),
        "sweep.windows": as_list(windows),
        "sweep.acquisitions": as_list(acquisitions),
        "sweep.seeds": as_list(seeds),
        "sweep.vary": vary if vary is None or isinstance(vary, Mapping) else list(vary),
    }
    return start(
        resolve(config, {**(settings or {}), **flags}, plugins), name_folder("sweep", name, output), on_progress
    )


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
    settings: Mapping[str, Any] | None = None,
    plugins: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> Results:
    """Run one trial. Arguments, results and errors are those of `sweep`, with one value instead of a list each."""
    flags = trial_flags(budget, mode, window, acquisition, seed)
    return start(resolve(config, {**(settings or {}), **flags}, plugins), name_folder("run", name, output), on_progress)


def resume(folder: str | Path, on_progress: OnProgress | None = None) -> Results:
    """Resume the run of a folder as it was started; a finished one is not run again. Errors are those of `sweep`."""
    path = locate(str(folder))
    return start(read_run(path), path, on_progress)


def start(config: Config, folder: Path, on_progress: OnProgress | None = None) -> Results:
    """Run a configuration into a run folder, or go on with it. Errors are those of `sweep`."""
    with open_run(config, folder) as (opened, _):
        return execute(opened, lambda run: nullcontext(on_progress or ignore_progress))


def resolve(config: Config | str | Path | None, flags: Mapping[str, Any], plugins: Sequence[str] = ()) -> Config:
    """A checked configuration: of a file or of an object, with settings replaced. Raises ConfigError."""
    if isinstance(config, Config):
        if plugins:
            raise ConfigError("plugins: expected with a file or without a configuration; load_config takes them, too")
        return override(config, {key: value for key, value in flags.items() if value is not None})
    file = None if config is None else Path(config)
    return load_config(file, (), {**flags, "plugins": list(plugins) or None}, demo=True)


def trial_flags(
    budget: str | float | None,
    mode: str | None,
    window: str | int | None,
    acquisition: str | None,
    seed: str | int | None,
) -> dict[str, Any]:
    """The settings of a single trial by dotted key; None where nothing was given."""
    return {
        "sweep": {},
        "strategy.budget": None if budget is None else str(budget),
        "strategy.mode": mode,
        "strategy.windows.region": window,
        "strategy.windows.pixel": window,
        "strategy.acquisition": acquisition,
        "seed": seed,
    }


def as_list(values: Values | None) -> list[str | float] | None:
    """A list from one value, from a list, or from a text of values with commas; None stays None."""
    if isinstance(values, str):
        return [part.strip() for part in values.split(",")]
    if values is None:
        return None
    return [*values] if isinstance(values, Iterable) else [values]


def name_folder(kind: str, name: str | None, output: str | Path) -> Path:
    """The run folder of this name in `output`; without a name, of `kind` and the date. Raises RunFolderError."""
    now = f"{kind}-{datetime.now():%Y%m%d-%H%M%S}"
    return locate(str(output)) / (now if name is None else check_name(name))
