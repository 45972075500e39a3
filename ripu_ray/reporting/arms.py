"""Names of the arms of a sweep: the strategy is chosen; the condition is given."""

import itertools
from collections.abc import Hashable, Mapping

import numpy as np
import pandas as pd

from ripu_ray.config import REFERENCES
from ripu_ray.config.registry import ACQUISITIONS
from ripu_ray.runs.effects import is_dependent

SETTINGS = (
    "acquisition",
    "mode",
    "window",
    "shape",
    "allocation",
    "power",
    "balanced",
    "class_share",
    "diversity",
    "avoid_void",
)
"""Columns of the strategy's settings; other varied settings have columns with dotted names."""
WORLD = ("data.", "oracle.")
"""Prefixes of settings that do not depend on the strategy."""
_POWERS = ("power", "strategy.power")
_PRESET = ("power", "balanced", "class_share")


def add_names(results: pd.DataFrame) -> pd.DataFrame:
    """Add the names that tables and figures use.

    Args:
        results: result of `collect`, with or without names; settings without a column did not vary.

    Returns:
        A copy with the columns `strategy` (the settings that differ among the competitors: "ripu, region"), `variant`
        (the same without the acquisition: "region"), `world` (settings with a prefix in WORLD that vary: "data.shift
        1", or empty), and `condition` (the budget and the world: "2.2 %, data.shift 1"; of a reference, "any budget").
    """
    # A setting of the strategy that was varied by its key has two columns.
    twins = [f"strategy.{name}" for name in SETTINGS if name in results]
    results = results.drop(columns=["strategy", "variant", "world", "condition", *twins], errors="ignore")
    varied = [name for name in map(str, results) if "." in name]
    settings = [name for name in (*SETTINGS, *varied) if name in results and not name.startswith(WORLD)]
    competitors = results[~results["acquisition"].isin(REFERENCES)]
    world = [name for name in varied if name.startswith(WORLD) and _is_varied(results, competitors, name)]
    differing = [name for name in settings if _differs(competitors, name)] or ["acquisition"]
    # A reference has no mode, window or budget, but may have several training settings.
    trained = {
        str(name): ["acquisition", *(key for key in settings if "." in key and _differs(rows, key))]
        for name, rows in results[results["acquisition"].isin(REFERENCES)].groupby("acquisition")
    }

    def strategy(row: Mapping[Hashable, object], without: str = "") -> str:
        shown = [name for name in trained.get(str(row["acquisition"]), differing) if name != without]
        return ", ".join(filter(None, (_setting(name, row[name], str(row["acquisition"])) for name in shown)))

    def place(row: Mapping[Hashable, object]) -> str:
        # A reference that does not depend on a setting of the oracle has no value of it.
        shown = [name for name in world if not (name.startswith("oracle.") and _is_empty(row[name]))]
        return ", ".join(f"{name} {value_words(row[name])}" for name in shown)

    # Each combination is named once, because there may be thousands of rows.
    keys = [*dict.fromkeys(("acquisition", "budget", *world, *differing, *itertools.chain(*trained.values())))]
    words = results[keys].drop_duplicates()
    places = [place(row) for row in words.to_dict("records")]
    words = words.assign(
        strategy=[strategy(row) for row in words.to_dict("records")],
        variant=[strategy(row, without="acquisition") for row in words.to_dict("records")],
        world=places,
        condition=[
            ", ".join(filter(None, ("any budget" if acquisition in REFERENCES else budget_words(budget), place)))
            for acquisition, budget, place in zip(words["acquisition"], words["budget"], places, strict=True)
        ],
    )
    return results.merge(words, on=keys, how="left")


def of_world(references: pd.DataFrame, world: str) -> pd.DataFrame:
    """The rows of references that count in a world: those whose own world names no setting that differs."""
    here = {"", *world.split(", ")}
    holds = np.array([set(str(own).split(", ")) <= here for own in references["world"]], bool)
    return references[holds]


def pair_kind(first: Mapping[Hashable, object], second: Mapping[Hashable, object]) -> str:
    """The only setting in which two rows differ ("mode" for mode and window); empty if none or several differ.

    A setting does not count where it has no effect on one of the rows: a power for `random`, a threshold without a
    teacher.
    """
    names = [name for name in map(str, first) if name in SETTINGS or ("." in name and not name.startswith(WORLD))]
    differing = [name for name in names if str(first[name]) != str(second[name])]
    differing = [name for name in differing if not (_is_idle(name, first[name]) or _is_idle(name, second[name]))]
    if "mode" in differing and "window" in differing:
        differing.remove("window")
    if "acquisition" in differing and (_is_plain_random(first) or _is_plain_random(second)):
        differing = [name for name in differing if name not in _POWERS]
    return differing[0] if len(differing) == 1 else ""


def _is_idle(name: str, value: object) -> bool:
    """Whether the cell is empty because the setting has no effect on the trial."""
    return is_dependent(name) and _is_empty(value)


def _is_empty(value: object) -> bool:
    return bool(pd.isna(value))  # type: ignore[call-overload]


def _is_plain_random(row: Mapping[Hashable, object]) -> bool:
    has_power = any(not _is_empty(row[name]) for name in _POWERS if name in row)
    return row["acquisition"] == "random" and not has_power


def budget_words(budget: object) -> str:
    """The budget with its unit: "2.2 %" for `2.2`, "40 px" for `40px`."""
    text = str(budget)
    return f"{text.removesuffix('px')} px" if text.endswith("px") else f"{text} %"


def _is_varied(results: pd.DataFrame, competitors: pd.DataFrame, name: str) -> bool:
    """Whether a setting of the world has several values; those of the oracle may be empty for references."""
    rows = competitors if name.startswith("oracle.") and len(competitors) else results
    return rows[name].nunique(dropna=False) > 1


def _differs(rows: pd.DataFrame, name: str) -> bool:
    """Whether a setting distinguishes strategies; the window does not if each mode has one window."""
    if name == "window":
        return bool((rows.groupby("mode")["window"].nunique() > 1).any())
    return rows[name].nunique(dropna=False) > 1


def _has_preset(name: str, acquisition: str) -> bool:
    """Whether an acquisition function of this package has a value of its own for a setting."""
    return name in _PRESET and acquisition in ACQUISITIONS.names() and bool(getattr(ACQUISITIONS[acquisition], name))


def _setting(name: str, value: object, acquisition: str) -> str:
    if _is_idle(name, value):
        return ""
    short = name.rpartition(".")[2].replace("class_share", "class share").replace("avoid_void", "avoid void")
    is_unset = _is_empty(value) or str(value) == "False"
    if is_unset and _has_preset(name, acquisition):
        return f"{short} by preset"
    if name in ("acquisition", "mode", "shape", "allocation"):
        return str(value)
    if name == "window":
        return f"{value}x{value}"
    if name == "training.teacher":
        return "EMA teacher" if value == "ema" else "no teacher"
    if isinstance(value, bool) or str(value) in ("True", "False"):
        return short if str(value) == "True" else f"not {short}"
    return f"no {short}" if is_unset else f"{short} {value_words(value)}"


def value_words(value: object) -> str:
    """A value as text, with all digits that distinguish it from another one."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if not isinstance(value, float) or float(text) == value else str(float(value))
