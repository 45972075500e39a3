"""One row for each arm of a sweep: what the command prints at its end."""

from collections import Counter
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from ripu_ray.config import REFERENCES
from ripu_ray.errors import counted
from ripu_ray.reporting.answer import against_random
from ripu_ray.reporting.arms import add_names
from ripu_ray.reporting.statistics import compare, outcomes
from ripu_ray.reporting.words import listed, span, spread
from ripu_ray.runs.run_folder import RunFolder


def summarise_arms(run: RunFolder, results: pd.DataFrame) -> pd.DataFrame:
    """The result of each arm over its finished trials, and its difference from random windows.

    Args:
        run: run folder.
        results: result of `collect`.

    Returns:
        A row for each arm, in the order of the grid; columns: `api.results.Results.arms`.
    """
    if not len(results):
        return pd.DataFrame()
    finished = outcomes(results)
    compared = compare(finished, "miou").to_dict("records")
    planned = Counter(trial.arm for trial in run.trials.values())
    arms: list[dict[str, Any]] = []
    for (condition, strategy, arm), rows in add_names(results).groupby(["condition", "strategy", "arm"], sort=False):
        last = rows[rows["trial"].isin(finished["trial"])].groupby("trial", sort=False).tail(1)
        start = rows.loc[(rows["round"] < 0) & (rows["trial"].isin(last["trial"]) | (not len(last))), "miou"]
        against = against_random(str(strategy), [row for row in compared if row["condition"] == condition]) or {}
        arms.append(
            {
                "condition": condition,
                "strategy": strategy,
                "arm": arm,
                "is_reference": rows["acquisition"].iloc[0] in REFERENCES,
                "seeds": int(last["miou"].notna().sum()),
                "planned": planned[str(arm)],
                "start_mean": start.mean(),
                "start_std": start.std(),
                "miou_mean": last["miou"].mean(),
                "miou_std": last["miou"].std(),
                **{name: against.get(name, np.nan) for name in ("difference", "low", "high")},
                "spent_share": last["spent_share"].mean(),
                "labelled_share": last["labelled_share"].mean(),
                "clicks": last["clicks"].mean(),
            }
        )
    return pd.DataFrame(arms)


def unmeasured(finished: pd.DataFrame) -> list[str]:
    """A line for each arm that has finished trials without an mIoU (NaN); one line if no trial has one.

    Args:
        finished: result of `outcomes`.
    """
    missing = finished[finished["miou"].isna()]
    if len(missing) and len(missing) == len(finished):
        return ["No finished trial has an mIoU, so nothing is compared: the validation split has no labels."]
    lines = []
    for (condition, strategy), rows in missing.groupby(["condition", "strategy"], sort=False):
        seeds = listed([str(seed) for seed in sorted(rows["seed"].unique())])
        lines.append(
            f"{strategy}, {condition}: the mIoU of {counted(len(rows), 'finished trial')} is NaN and left out of means "
            f"and comparisons (seed{'' if len(rows) == 1 else 's'} {seeds})."
        )
    return lines


def arms_table(arms: pd.DataFrame) -> list[dict[str, str]]:
    """The result of `summarise_arms` as text, in per cent and points: for each arm, column -> cell."""
    return [
        {
            "budget": "-" if arm["condition"] == "any budget" else str(arm["condition"]),
            "strategy": str(arm["strategy"]),
            "seeds": str(arm["seeds"]) if arm["seeds"] == arm["planned"] else f"{arm['seeds']} of {arm['planned']}",
            "start": spread(arm["start_mean"], arm["start_std"]),
            "mIoU": spread(arm["miou_mean"], arm["miou_std"]),
            "against random": _difference(arm),
            "spent": "" if np.isnan(arm["spent_share"]) else f"{100 * arm['spent_share']:.2f} %",
            "labelled": "" if np.isnan(arm["labelled_share"]) else f"{100 * arm['labelled_share']:.1f} %",
            "clicks": "" if np.isnan(arm["clicks"]) else f"{arm['clicks']:,.0f}",
        }
        for arm in arms.to_dict("records")
    ]


def arms_in_markdown(arms: pd.DataFrame) -> str:
    """The rows of `arms_table` as a table in Markdown. Args: arms: at least one."""
    rows = arms_table(arms)
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |" for cells in lines)


def _difference(arm: dict[Hashable, Any]) -> str:
    if np.isnan(arm["difference"]):
        return ""
    return f"{100 * arm['difference']:+.1f} ({span(arm['low'], arm['high'])})"
