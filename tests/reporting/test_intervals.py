"""Intervals, tests and numbers of seeds against simulation, scipy's own answers and values worked out by hand."""

import math
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from ripu_ray.reporting.intervals import (
    LEVEL,
    MIN_BOOTSTRAP,
    MIN_SEEDS,
    POWER,
    Method,
    holm,
    interval,
    paired_tests,
    seeds_needed,
)

METHODS: tuple[Method, ...] = get_args(Method)
DRAWS = 2000


@pytest.mark.parametrize("count", [3, 5, 10])
@pytest.mark.parametrize("method", METHODS)
def test_intervals_cover_the_mean_as_often_as_they_say(method: Method, count: int) -> None:
    values_DN = np.random.default_rng(count).normal(0.6, 0.02, size=(DRAWS, count))
    low_D, high_D = interval(values_DN, method)
    if count < MIN_BOOTSTRAP and method == "bootstrap":
        assert np.isnan([low_D, high_D]).all()
        return
    covered = np.mean((low_D <= 0.6) & (high_D >= 0.6))
    assert 0.93 <= covered <= 0.97


def test_the_t_interval_is_scipys_and_the_bootstrap_is_seeded() -> None:
    values = np.random.default_rng(1).normal(size=12)
    expected = stats.ttest_1samp(values, 0).confidence_interval(1 - LEVEL)
    assert interval(values) == pytest.approx((expected.low, expected.high))
    low, high = interval(values, "bootstrap")
    assert interval(values, "bootstrap") == (low, high)
    assert low < values.mean() < high
    # Both have the same level, and normal values are not skewed.
    assert high - low == pytest.approx(expected.high - expected.low, rel=0.15)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.5], math.nan),
        ([], math.nan),
        ([0.0] * 12, 0.0),
        ([1e-16, -1e-16, 0.0] * 4, 0.0),
        ([0.5] * 12, math.nan),
        ([0.3 - 0.1, 0.2] * 6, math.nan),
        ([0.1, 0.2, math.nan] * 4, math.nan),
    ],
)
def test_intervals_at_the_edges(values: list[float], expected: float, method: Method) -> None:
    assert interval(np.array(values), method) == pytest.approx((expected, expected), nan_ok=True)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([0.1, 0.2, 0.3, 0.4], (math.nan, math.nan)),
        # With 5 seeds, Wilcoxon's p cannot be below 2 / 32; 0 does not count.
        ([1, 2, 3, 4, 5], (2 * stats.t.sf(3 / math.sqrt(2.5 / 5), df=4), math.nan)),
        ([0, 1, 2, 3, 4, 5], (2 * stats.t.sf(2.5 / math.sqrt(3.5 / 6), df=5), math.nan)),
        # 2 of 2**6 signs are as extreme.
        ([1, 2, 3, 4, 5, 6], (2 * stats.t.sf(3.5 / math.sqrt(3.5 / 6), df=5), 2 / 64)),
        ([0.0] * 5, (1.0, 1.0)),
        ([1e-16, 0, 0, -1e-16, 0], (1.0, 1.0)),
        # Equal differences have no spread to test.
        ([0.5] * 6, (math.nan, math.nan)),
        ([0.3 - 0.1, 0.2, 0.2, 0.2, 0.2, 0.2], (math.nan, math.nan)),
    ],
)
def test_tests_by_hand(differences: list[float], expected: tuple[float, float]) -> None:
    assert paired_tests(np.array(differences, np.float64)) == pytest.approx(expected, nan_ok=True)


def test_holm_by_hand() -> None:
    # 0.01 * 4, 0.02 * 3, then max(0.06, 0.03 * 2), max(0.06, 0.04 * 1)
    corrected = holm(np.array([0.03, 0.01, np.nan, 0.04, 0.02]))
    np.testing.assert_allclose(corrected, [0.06, 0.04, np.nan, 0.06, 0.06])
    np.testing.assert_allclose(holm(np.array([0.9, 0.8])), [1, 1])
    assert np.isnan(holm(np.array([np.nan]))).all()


def _power(draws_DN: NDArray[np.float64], comparisons: int) -> float:
    return float(np.mean(stats.ttest_1samp(draws_DN, 0, axis=1).pvalue < LEVEL / comparisons))


@pytest.mark.parametrize("comparisons", [1, 3])
@pytest.mark.parametrize("effect", [0.5, 1.0])
def test_the_number_of_seeds_is_the_smallest_that_has_the_power(effect: float, comparisons: int) -> None:
    count = int(seeds_needed(effect, 1.0, comparisons))
    draws_DN = np.random.default_rng(0).normal(effect, 1.0, size=(20_000, count))
    assert _power(draws_DN, comparisons) > POWER - 0.01
    assert _power(draws_DN[:, :-1], comparisons) < POWER


def test_the_number_of_seeds_at_the_edges() -> None:
    assert seeds_needed(-0.5, 1.0) == seeds_needed(0.5, 1.0) == 34  # as in tables of the t-test's power
    assert seeds_needed(1e9, 1.0) == MIN_SEEDS
    assert seeds_needed(1e-4, 1.0) == math.inf
    assert math.isnan(seeds_needed(0.5, 0.0))
    assert math.isnan(seeds_needed(0.5, math.nan))
    numbers = [seeds_needed(effect, 1.0, 100) for effect in np.logspace(-2, 6, 50)]
    assert numbers == sorted(numbers, reverse=True)
