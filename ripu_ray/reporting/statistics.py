"""Statistics over seeds: means, paired differences of strategies, and their significance.

All functions take the result of `outcomes`: one row for each finished trial. mIoU, AUBC and differences are fractions.
"""

import itertools
import warnings

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ripu_ray.config import REFERENCES
from ripu_ray.core.metrics import aubc
from ripu_ray.core.randomness import generator
from ripu_ray.reporting.naming import add_names, pair_kind

METRICS = ("miou", "aubc")
MIN_SEEDS = 5
"""Minimum of pairs for a test: with 4 pairs of the same sign, Wilcoxon's p is 0.125."""
_RESAMPLES = 5000
_CONFIDENCE = 0.95


def outcomes(results: pd.DataFrame) -> pd.DataFrame:
    """One row for each finished trial.

    Args:
        results: result of `collect`.

    Returns:
        The trial's last row with `strategy`, `condition` and `world` (see `add_names`), and `aubc`. A trial is
        finished when it has all its `rounds`; in a table of older code without that column, as many rounds as the
        longest trial of the competitors.
    """
    named = add_names(results)
    last = named.groupby("trial", sort=False).tail(1)
    if "rounds" in last:
        kept = last[last["round"] == last["rounds"] - 1]
    else:
        reference = last["acquisition"].isin(REFERENCES)
        rounds = last.loc[~reference, "round"].max()
        kept = last[reference | ((last["round"] == rounds) & (last["round"] >= 0))]
    areas = {
        trial: aubc(rows["spent_share"].tolist(), rows["miou"].tolist())
        for trial, rows in named.groupby("trial", sort=False)
    }
    return kept.assign(aubc=kept["trial"].map(areas)).reset_index(drop=True)


def competitors(finished: pd.DataFrame) -> pd.DataFrame:
    """The rows of all strategies except the references."""
    return finished[~finished["acquisition"].isin(REFERENCES)]


def seeded(there: pd.DataFrame) -> pd.DataFrame:
    """The outcomes of those strategies of one condition with at least half the maximum number of seeds.

    Otherwise a strategy with one seed would, while a sweep runs, reduce every paired comparison to that seed.
    """
    seeds = there.groupby("strategy", sort=False)["seed"].transform("nunique")
    kept: pd.DataFrame = there[2 * seeds >= seeds.max()]
    return kept


def summarise(finished: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation and interval over seeds.

    Args:
        finished: result of `outcomes`.

    Returns:
        One row for each condition and strategy: `seeds`, and for each metric `<metric>_mean`, `_std` (of the sample;
        NaN for one seed), `_low` and `_high`, the bootstrap interval of the mean at 95 % (NaN below 3 seeds).
    """
    rows = []
    for (condition, strategy), arm in finished.groupby(["condition", "strategy"], sort=False):
        row: dict[str, object] = {"condition": condition, "strategy": strategy, "seeds": len(arm)}
        for metric in METRICS:
            values = arm[metric].to_numpy(np.float64)
            low, high = interval(values, metric, str(condition), str(strategy))
            row |= {f"{metric}_mean": values.mean(), f"{metric}_std": _deviation(values)}
            row |= {f"{metric}_low": low, f"{metric}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


_COMPARED = [
    *("condition", "first", "second", "seeds", "difference", "std", "low", "high", "wins", "losses"),
    *("t_p", "wilcoxon_p", "t_holm", "wilcoxon_holm"),
]


def compare(finished: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Differences between strategies of the same condition, paired over seeds.

    Args:
        finished: result of `outcomes`.
        metric: "miou" after the last round, or "aubc".

    Returns:
        One row for each of the `pairs`: `condition`, `first`, `second`, `seeds`, `difference` (mean of first
        minus second), `std`, `low`, `high`, `wins` and `losses` of first, and `t_p` and `wilcoxon_p`, two-sided, with
        Holm's correction over the pairs of the condition in `t_holm` and `wilcoxon_holm`; all four are NaN below
        MIN_SEEDS seeds.
    """
    tables = []
    for condition, there in competitors(finished).groupby("condition", sort=False):
        values = there.pivot_table(index="seed", columns="strategy", values=metric, sort=False)
        rows = []
        for first, second in pairs(there):
            both = values[[first, second]].dropna()
            differences = (both[first] - both[second]).to_numpy(np.float64)
            if not differences.size:
                continue
            low, high = interval(differences, metric, str(condition), first, second)
            t_p, wilcoxon_p = paired_tests(differences)
            rows.append(
                {
                    "condition": condition,
                    "first": first,
                    "second": second,
                    "seeds": len(differences),
                    "difference": differences.mean(),
                    "std": _deviation(differences),
                    "low": low,
                    "high": high,
                    "wins": int((differences > 0).sum()),
                    "losses": int((differences < 0).sum()),
                    "t_p": t_p,
                    "wilcoxon_p": wilcoxon_p,
                }
            )
        table = pd.DataFrame(rows)
        if rows:
            for test in ("t", "wilcoxon"):
                table[f"{test}_holm"] = holm(table[f"{test}_p"].to_numpy(np.float64))
            tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=_COMPARED)


def pairs(there: pd.DataFrame) -> list[tuple[str, str]]:
    """The pairs of strategies of one condition that are compared: those that differ in one setting.

    If only the acquisition differs and one of them is `random`, the others are compared only with it: fewer tests have
    more power after correction.
    """
    arms = there.drop_duplicates("strategy").to_dict("records")
    kinds = [(first, second, pair_kind(first, second)) for first, second in itertools.combinations(arms, 2)]
    chosen = []
    for first, second, kind in kinds:
        if kind == "acquisition":
            if first["acquisition"] == "random":
                first, second = second, first
            has_random = any(
                arm["acquisition"] == "random" and pair_kind(arm, first) in ("", "acquisition") for arm in arms
            )
            if has_random and second["acquisition"] != "random":
                continue
        if kind:
            chosen.append((str(first["strategy"]), str(second["strategy"])))
    return chosen


def paired_tests(differences: NDArray[np.float64]) -> tuple[float, float]:
    """Two-sided p of the paired t-test and of Wilcoxon's signed-rank test (exact for so few) on the differences.

    Returns:
        (t, Wilcoxon); NaN below MIN_SEEDS differences; 1 where all differences are 0.
    """
    if len(differences) < MIN_SEEDS:
        return float("nan"), float("nan")
    if not differences.any():
        return 1.0, 1.0
    with warnings.catch_warnings():  # equal differences: t is infinite, p is 0
        warnings.simplefilter("ignore", RuntimeWarning)
        t_p = stats.ttest_1samp(differences, 0).pvalue
    return float(t_p), float(stats.wilcoxon(differences).pvalue)


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's correction: the k-th smallest of m is multiplied by m - k + 1, never falls, and is at most 1.

    Args:
        p_values: (m,); NaN, without a test, stays NaN.

    Source: Holm, 1979.
    """
    corrected = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1) if len(order) else steps
    return corrected


def interval(values: NDArray[np.float64], *purpose: str) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean, seeded by `purpose`. NaN below 3 values or with a NaN."""
    if len(values) < 3 or np.isnan(values).any():
        return float("nan"), float("nan")
    found = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=_RESAMPLES,
        confidence_level=_CONFIDENCE,
        method="percentile",
        rng=generator(0, "bootstrap", *purpose),
    ).confidence_interval
    return float(found.low), float(found.high)


def win_matrix(finished: pd.DataFrame, metric: str) -> pd.DataFrame:
    """How often the row's strategy is better than the column's, over all seeds and conditions that have both.

    Returns:
        Shares in [0, 1], strategies by strategies; a tie counts half. NaN on the diagonal and without common seeds.
    """
    there = competitors(finished)
    values = there.pivot_table(index=["condition", "seed"], columns="strategy", values=metric, sort=False)
    table_NS = values.to_numpy(np.float64)
    ahead_NSS = np.sign(table_NS[:, :, None] - table_NS[:, None, :]) / 2 + 0.5
    shared_SS = (~np.isnan(ahead_NSS)).sum(axis=0)
    share_SS = np.divide(
        np.nansum(ahead_NSS, axis=0), shared_SS, out=np.full(shared_SS.shape, np.nan), where=shared_SS > 0
    )
    np.fill_diagonal(share_SS, np.nan)
    return pd.DataFrame(share_SS, index=values.columns, columns=values.columns)


def pixels_to_reach(results: pd.DataFrame, share: float) -> pd.DataFrame:
    """Pixels that must be bought to reach a share of full supervision's mIoU, interpolated between the rounds.

    Args:
        results: result of `collect`, with trials of the acquisition `full`.
        share: share of the mIoU of `full` with the same seed and world, in (0, 1].

    Returns:
        One row for each trial of a competitor: `condition`, `strategy`, `seed` and `pixels` over the pool, infinite if
        not reached. Empty without `full`.
    """
    named = add_names(results)
    trained = named[(named["acquisition"] == "full") & (named["round"] >= 0)].groupby("trial", sort=False).tail(1)
    full = trained.groupby(["world", "seed"])["miou"].max()  # the best of several training settings
    rows = []
    for _, curve in named[~named["acquisition"].isin(REFERENCES)].groupby("trial", sort=False):
        last = curve.iloc[-1]
        if (last["world"], last["seed"]) in full.index:
            target = share * full[(last["world"], last["seed"])]
            pixels = _first_reach(curve["spent_pixels"].to_numpy(np.float64), curve["miou"].to_numpy(), target)
            rows.append({name: last[name] for name in ("condition", "strategy", "seed")} | {"pixels": pixels})
    return pd.DataFrame(rows, columns=["condition", "strategy", "seed", "pixels"])


def _first_reach(spent: NDArray[np.float64], mious: NDArray[np.float64], target: float) -> float:
    above = np.flatnonzero(mious >= target)
    if not above.size:
        return float("inf")
    after = int(above[0])
    if after == 0:
        return float(spent[0])
    part = (target - mious[after - 1]) / (mious[after] - mious[after - 1])
    return float(spent[after - 1] + part * (spent[after] - spent[after - 1]))


def _deviation(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")
