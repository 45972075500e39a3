"""Several sweeps as one table: settings that differ become columns, and repeated trials count once."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ripu_ray.config import Config, setting, to_tree
from ripu_ray.errors import RunFolderError, counted
from ripu_ray.reporting.results import collect, with_uniform_columns
from ripu_ray.runs.run_folder import RunFolder

_SECTIONS = ("data", "model", "training", "strategy", "oracle")
_HAVE_COLUMNS = ("strategy.budget", "strategy.mode", "strategy.windows.", "strategy.acquisition", "strategy.rounds")
_MOST_KEYS = 2
"""Limit of differing keys in one section; with more, the sweep's name replaces them."""


def trial_of(runs: Mapping[str, RunFolder], row: Mapping[Any, Any]) -> tuple[RunFolder, str]:
    """The run folder and the id of the trial of a row of `merge`. Args: runs: by `sweep_names`."""
    sweep = str(row["sweep"])
    return runs[sweep], str(row["trial"]).removeprefix(f"{sweep}/")


def merge(runs: Sequence[RunFolder]) -> tuple[pd.DataFrame, list[str]]:
    """Read several sweeps.

    Args:
        runs: different folders.

    Returns:
        The results of `collect` with a column `sweep`, trials named "<sweep>/<trial>" if there are several sweeps, and
        a column for each setting that differs; and a note for each sweep with repeated trials.

    Raises:
        RunFolderError: a folder is given twice or cannot be read.
    """
    names = sweep_names(runs)
    if len(runs) == 1:
        return collect(runs[0]).assign(sweep=names[0]), []
    settings = _differing([run.config for run in runs], names)
    tables = [
        table.assign(sweep=name, trial=name + "/" + table["trial"], **values)
        for run, name, values in zip(runs, names, settings, strict=True)
        if len(table := collect(run))
    ]
    if not tables:
        return pd.DataFrame(), []
    return _without_repetitions(with_uniform_columns(pd.concat(tables, ignore_index=True)))


def sweep_names(runs: Sequence[RunFolder]) -> list[str]:
    """A unique name for each folder: its last part, with the parent or the whole path if needed."""
    paths = [run.path.resolve() for run in runs]
    for path in paths:
        if paths.count(path) > 1:
            raise RunFolderError(f"{path}: given more than once")
    short = [path.name for path in paths]
    longer = [f"{path.parent.name}/{path.name}" for path in paths]
    names = [one if short.count(one) == 1 else two for one, two in zip(short, longer, strict=True)]
    return names if len(set(names)) == len(names) else list(map(str, paths))


def _differing(configs: Sequence[Config], names: Sequence[str]) -> list[dict[str, Any]]:
    """For each sweep, its values of the settings that differ between sweeps and have no column."""
    trees = [to_tree(config) for config in configs]
    flat = [_flatten(tree) for tree in trees]
    varied = {key for config in configs for key in config.sweep.vary}
    keys = [
        key for key in dict.fromkeys(key for values in flat for key in values)
        if key.partition(".")[0] in _SECTIONS and not key.startswith(_HAVE_COLUMNS)
    ]  # fmt: skip
    values: list[dict[str, Any]] = [{} for _ in configs]
    for section in _SECTIONS:
        differing = [
            key for key in keys
            if key.startswith(f"{section}.") and key not in varied and len({repr(one.get(key)) for one in flat}) > 1
        ]  # fmt: skip
        for own, config, tree, name in zip(values, configs, trees, names, strict=True):
            if len(differing) > _MOST_KEYS:
                own[f"{section}.sweep"] = name
            else:
                own |= {key: setting(config, key, tree) for key in differing}
        # A key that one sweep varies has a fixed value in the others.
        for own, config, tree in zip(values, configs, trees, strict=True):
            missing = (key for key in varied if key.startswith(f"{section}.") and key not in config.sweep.vary)
            own |= {key: setting(config, key, tree) for key in missing}
    return values


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _without_repetitions(results: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Keep one of the trials with the same arm, seed and settings: the first with the most rounds."""
    own = ("allocation", "power", "balanced", "class_share", "diversity", "avoid_void", "shape")
    keys = ["arm", "seed", "rounds", *(name for name in results if "." in str(name) or name in own)]
    trials = results.groupby("trial", sort=False).tail(1).reset_index(drop=True)
    identity = trials[keys].map(repr).agg("|".join, axis=1)
    order = trials.assign(identity=identity).sort_values("round", ascending=False, kind="stable")
    kept = order.drop_duplicates("identity").set_index("identity")
    gone = order[~order["trial"].isin(kept["trial"])]
    notes = []
    for sweep, rows in gone.groupby("sweep", sort=False):
        others = kept.loc[rows["identity"]]
        same_round = (others["round"].to_numpy() == rows["round"].to_numpy()).nonzero()
        apart = np.nanmax(np.abs(others["miou"].to_numpy() - rows["miou"].to_numpy())[same_round], initial=0)
        result = "with the same results" if apart == 0 else f"with up to {100 * apart:.2f} points of mIoU between them"
        notes.append(
            f"{counted(len(rows), 'trial')} of {sweep} {'is' if len(rows) == 1 else 'are'} in "
            f"{', '.join(others['sweep'].unique())}, too, {result}; counted once."
        )
    return results[results["trial"].isin(kept["trial"])].reset_index(drop=True), notes
