"""Intervals, tests and numbers of seeds for means and paired differences of mIoU and AUBC, in [-1, 1].

scipy.stats takes seconds to import. Only the functions that need it do so.
"""

import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from ripu_ray.core.randomness import generator

LEVEL = 0.05
"""A corrected p-value below it is significant; intervals cover 1 - LEVEL."""
MIN_SEEDS = 5
"""Minimum of pairs for a test."""
MIN_BOOTSTRAP = 10
"""Minimum of values for a bootstrap interval; with fewer, it covers less than it says."""
POWER = 0.8
"""Probability of a significant test in `seeds_needed`."""
MOST_SEEDS = 1000
"""Limit of `seeds_needed`."""
NOISE = 1e-12
"""Differences of values below it are rounding errors."""
Method = Literal["t", "bootstrap"]
_RESAMPLES = 5000


def interval(values_xN: NDArray[np.float64], method: Method = "t") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % interval of the mean along the last axis.

    Args:
        values_xN: (..., N): independent values, such as the paired differences of N seeds.
        method: "t", exact for normal values; or "bootstrap", BCa with 5000 resamples from a fixed seed. Its level is
            raised to that of the t interval of the same N, because the resamples of few values vary too little.

    Returns:
        low, high: (...). NaN below 2 values, below MIN_BOOTSTRAP with "bootstrap", where a value is NaN, and where all
        values are equal and not 0: without a spread they do not show how far the mean may be off. 0 where all are 0.

    Source: Hesterberg, 2015, "What Teachers Should Know About the Bootstrap", expanded percentiles; BCa: Efron, 1987.
    """
    count = values_xN.shape[-1]
    if count < (2 if method == "t" else MIN_BOOTSTRAP):
        missing = np.full(values_xN.shape[:-1], np.nan)
        return missing, missing
    mean = values_xN.mean(axis=-1)
    quantile = -stdtrit(count - 1, LEVEL / 2)
    if method == "t":
        half = quantile * values_xN.std(axis=-1, ddof=1) / np.sqrt(count)
        low, high = mean - half, mean + half
    else:
        from scipy import stats

        with warnings.catch_warnings():  # equal values and NaN
            warnings.simplefilter("ignore")
            low, high = stats.bootstrap(
                (values_xN,),
                np.mean,
                axis=-1,
                n_resamples=_RESAMPLES,
                batch=max(1, 10_000_000 // values_xN.size),
                confidence_level=1 - 2 * float(ndtr(-np.sqrt(count / (count - 1)) * quantile)),
                method="BCa",
                rng=generator(0, "bootstrap"),
            ).confidence_interval
    is_equal = np.ptp(values_xN, axis=-1) < NOISE
    constant = np.where(np.abs(mean) < NOISE, 0.0, np.nan)
    return np.where(is_equal, constant, low), np.where(is_equal, constant, high)


def paired_tests(differences: NDArray[np.float64]) -> tuple[float, float]:
    """Two-sided p of the paired t-test and of Wilcoxon's signed-rank test (exact for so few) on the differences.

    Returns:
        (t, Wilcoxon). Both are NaN below MIN_SEEDS differences. If all differences are equal, there is no spread to
        test: both p-values are 1 if the differences are 0, and NaN otherwise. Wilcoxon's is also NaN if so few
        differences cannot give a p below LEVEL, see `smallest_wilcoxon`.
    """
    if len(differences) < MIN_SEEDS:
        return float("nan"), float("nan")
    if np.ptp(differences) < NOISE:
        return (1.0, 1.0) if abs(differences[0]) < NOISE else (float("nan"), float("nan"))
    from scipy import stats

    t_p = float(stats.ttest_1samp(differences, 0).pvalue)
    if smallest_wilcoxon(differences) >= LEVEL:
        return t_p, float("nan")
    return t_p, float(stats.wilcoxon(differences).pvalue)


def smallest_wilcoxon(differences: NDArray[np.float64]) -> float:
    """Smallest p that Wilcoxon's two-sided test can give: 2 of the 2^n signs of the n differences other than 0."""
    return float(min(2.0 ** (1 - np.count_nonzero(differences)), 1.0))


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's correction: the k-th smallest of m is multiplied by m - k + 1, never falls, and is at most 1.

    Args:
        p_values: (m,); NaN, without a test, stays NaN and does not count.

    Source: Holm, 1979.
    """
    corrected = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1) if len(order) else steps
    return corrected


def seeds_needed(difference: float, deviation: float, comparisons: int = 1) -> float:
    """Number of seeds with which the paired t-test finds a difference with probability POWER.

    Args:
        difference: true mean difference, not 0, in the unit of the deviation.
        deviation: standard deviation of the paired differences.
        comparisons: size of Holm's family; the smallest p has to be below LEVEL / comparisons.

    Returns:
        At least MIN_SEEDS; infinite above MOST_SEEDS; NaN without a spread.
    """
    if not deviation > 0:
        return float("nan")
    from scipy import stats

    count_N = np.arange(MIN_SEEDS, MOST_SEEDS + 1)
    critical_N = -stdtrit(count_N - 1, LEVEL / comparisons / 2)
    # Far above the critical value the power is 1, and scipy's series does not converge.
    effect_N = np.minimum(abs(difference) / deviation * np.sqrt(count_N), critical_N + 20)
    # The other tail, a significant difference of the wrong sign, is below 1e-5 where the power is POWER.
    power_N = stats.nct.sf(critical_N, count_N - 1, effect_N)
    reached = np.flatnonzero(power_N >= POWER)
    return float(count_N[reached[0]]) if reached.size else float("inf")
