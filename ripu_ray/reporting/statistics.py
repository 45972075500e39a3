"""Statistics over seeds: means, paired differences of strategies, and their significance.

All functions take the result of `outcomes`: one row for each finished trial. mIoU, AUBC and differences are fractions.
"""

import itertools

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ripu_ray.config import REFERENCES
from ripu_ray.core.metrics import aubc
from ripu_ray.reporting.arms import add_names, of_world, pair_kind
from ripu_ray.reporting.intervals import LEVEL, NOISE, Method, holm, interval, paired_tests, smallest_wilcoxon

METRICS = ("miou", "aubc")


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


def competitors(results: pd.DataFrame) -> pd.DataFrame:
    """The rows of all strategies except the references."""
    return results[~results["acquisition"].isin(REFERENCES)]


def seeded(there: pd.DataFrame) -> pd.DataFrame:
    """The outcomes of those strategies of one condition with at least half the maximum number of seeds.

    Otherwise a strategy with one seed would, while a sweep runs, reduce every paired comparison to that seed.
    """
    seeds = there.groupby("strategy", sort=False)["seed"].transform("nunique")
    kept: pd.DataFrame = there[2 * seeds >= seeds.max()]
    return kept


def common_means(there: pd.DataFrame) -> "tuple[pd.Series[float], int]":
    """Mean mIoU of the strategies of one condition over the seeds that all of them have, the highest first.

    Args:
        there: outcomes of one condition. A strategy that has no mIoU at all is left out.

    Returns:
        Strategy -> mean, and the number of these seeds. If no seed is common, each mean is over the strategy's own
        seeds.
    """
    values = there.pivot_table(index="seed", columns="strategy", values="miou", sort=False)
    common = values.dropna()
    means = (common if len(common) else values).mean().sort_values(ascending=False, kind="stable")
    return means, len(common)


def summarise(finished: pd.DataFrame, method: Method = "t") -> pd.DataFrame:
    """Mean, standard deviation and interval over seeds.

    Args:
        finished: result of `outcomes`.
        method: of the intervals, see `intervals.interval`.

    Returns:
        One row for each condition and strategy: `seeds`, and for each metric `<metric>_mean`, `_std` (of the sample;
        NaN for one seed), `_low` and `_high`, the interval of the mean at 95 %. Seeds whose mIoU is NaN are left out.
    """
    rows = []
    columns = [f"{metric}_{name}" for metric in METRICS for name in ("mean", "std", "low", "high")]
    known = finished[finished["miou"].notna()]
    for (condition, strategy), arm in known.groupby(["condition", "strategy"], sort=False):
        row: dict[str, object] = {"condition": condition, "strategy": strategy, "seeds": len(arm)}
        for metric in METRICS:
            values = arm[metric].to_numpy(np.float64)
            low, high = interval(values, method)
            row |= {f"{metric}_mean": values.mean(), f"{metric}_std": _deviation(values)}
            row |= {f"{metric}_low": float(low), f"{metric}_high": float(high)}
        rows.append(row)
    return pd.DataFrame(rows, columns=["condition", "strategy", "seeds", *columns])


_COMPARED = [
    *("condition", "first", "second", "seeds", "difference", "std", "low", "high", "wins", "losses", "family"),
    *("t_p", "wilcoxon_p", "t_holm", "wilcoxon_holm"),
]


def compare(finished: pd.DataFrame, metric: str, method: Method = "t") -> pd.DataFrame:
    """Differences between strategies of the same condition, paired over seeds.

    Args:
        finished: result of `outcomes`.
        metric: "miou" after the last round, or "aubc".
        method: of the intervals, see `intervals.interval`.

    Returns:
        One row for each of the `pairs` with common seeds: `condition`, `first`, `second`, `seeds`, `difference` (mean
        of first minus second), `std`, `low`, `high`, `wins` and `losses` of first, `family` (number of comparisons in
        the correction; of all until one has MIN_SEEDS seeds), and `t_p` and `wilcoxon_p`, two-sided, with Holm's
        correction over the pairs of the condition in `t_holm` and `wilcoxon_holm`. The last five are NaN for a pair
        of `alike` arms, the p-values also below MIN_SEEDS seeds and without a spread, see `paired_tests`. Pairs of the
        same arms count once in the correction.
        `wilcoxon_p` is NaN where it cannot be below LEVEL, `wilcoxon_holm` also where it cannot after the correction.
    """
    tables = []
    for condition, there in competitors(finished).groupby("condition", sort=False):
        same = alike(there)
        values = there.pivot_table(index="seed", columns="strategy", values=metric, sort=False)
        rows = [
            _pair((values[first] - values[second]).to_numpy(np.float64), str(condition), first, second, method)
            | {"arms": tuple(sorted((same[first], same[second])))}
            for first, second in pairs(there)
            if first in values and second in values
        ]
        table = pd.DataFrame([row for row in rows if row["seeds"]])
        if len(table):
            tables.append(_corrected(table))
    return pd.concat(tables, ignore_index=True)[_COMPARED] if tables else pd.DataFrame(columns=_COMPARED)


def _pair(paired: NDArray[np.float64], condition: str, first: str, second: str, method: Method) -> dict[str, object]:
    """One row of `compare` before the correction, and `smallest`, the smallest p of Wilcoxon's test."""
    differences = _exact(paired[~np.isnan(paired)])
    low, high = interval(differences, method)
    t_p, wilcoxon_p = paired_tests(differences)
    return {
        "condition": condition,
        "first": first,
        "second": second,
        "seeds": len(differences),
        "difference": differences.mean() if differences.size else float("nan"),
        "std": _deviation(differences),
        "low": float(low),
        "high": float(high),
        "wins": int((differences > 0).sum()),
        "losses": int((differences < 0).sum()),
        "t_p": t_p,
        "wilcoxon_p": wilcoxon_p,
        "smallest": smallest_wilcoxon(differences),
    }


def _corrected(table: pd.DataFrame) -> pd.DataFrame:
    """Add the columns of Holm's correction to the pairs of one condition, which have `smallest` and `arms`."""
    differs = np.array([one != other for one, other in table["arms"]])
    table.loc[~differs, ["t_p", "wilcoxon_p"]] = np.nan
    # Pairs of the same arms are one comparison. Where they have other seeds, they are other tests.
    family = table[differs].drop_duplicates(["arms", "seeds"])
    index = pd.MultiIndex.from_frame(family[["arms", "seeds"]])
    where = pd.MultiIndex.from_frame(table[["arms", "seeds"]])
    smallest = family["smallest"].where(family["wilcoxon_p"].notna())
    minimum = pd.Series(holm(smallest.to_numpy(np.float64)), index)
    for test in ("t", "wilcoxon"):
        corrected = pd.Series(holm(family[f"{test}_p"].to_numpy(np.float64)), index)
        table[f"{test}_holm"] = corrected.reindex(where).to_numpy()
    table["wilcoxon_holm"] = table["wilcoxon_holm"].where(minimum.reindex(where).to_numpy() < LEVEL)
    size = float(family["t_p"].count() or len(family))
    return table.assign(family=pd.Series(size, table.index).where(differs))


def alike(there: pd.DataFrame) -> dict[str, str]:
    """Strategies of one condition that cannot differ: those with the same outcomes in all common seeds.

    Args:
        there: outcomes of one condition.

    Returns:
        Strategy -> the first strategy with the same outcomes in all columns: metrics, IoU of classes, purchases.
    """
    measured = [name for name in map(str, there) if name in METRICS or name.startswith(("spent_", "iou_", "bought_"))]
    tables = {
        str(strategy): arm.groupby("seed")[measured].mean().round(12)
        for strategy, arm in there.groupby("strategy", sort=False)
    }
    found: dict[str, str] = {}
    for strategy, table in tables.items():
        for first in dict.fromkeys(found.values()):
            common = table.index.intersection(tables[first].index)
            if len(common) and table.loc[common].equals(tables[first].loc[common]):
                found[strategy] = first
                break
        else:
            found[strategy] = strategy
    return found


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


def win_matrix(finished: pd.DataFrame, metric: str) -> pd.DataFrame:
    """How often the row's strategy is better than the column's, over all seeds and conditions that have both.

    Returns:
        Shares in [0, 1], strategies by strategies; a tie counts half. NaN on the diagonal and without common seeds.
    """
    there = competitors(finished)
    values = there.pivot_table(index=["condition", "seed"], columns="strategy", values=metric, sort=False)
    table_NS = values.to_numpy(np.float64)
    ahead_NSS = np.sign(_exact(table_NS[:, :, None] - table_NS[:, None, :])) / 2 + 0.5
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
    rows = []
    for _, curve in competitors(named).groupby("trial", sort=False):
        last = curve.iloc[-1]
        full = of_world(trained[trained["seed"] == last["seed"]], str(last["world"]))["miou"]
        if full.notna().any():
            target = share * full.max()  # the best of several training settings
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
    if len(values) < 2:
        return float("nan")
    return 0.0 if np.ptp(values) < NOISE else float(values.std(ddof=1))


def _exact(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """The differences, with 0 for those that are rounding errors."""
    return np.where(np.abs(differences) < NOISE, 0.0, differences)
