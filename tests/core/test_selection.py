"""One scan over sorted candidates against one full-map maximum per choice."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks import reference
from ripu_ray.config import Budget, Mode
from ripu_ray.core import selection
from ripu_ray.core.geometry import cover, purchase_radius, suppression_radius
from ripu_ray.core.selection import select
from ripu_ray.errors import NonFiniteError
from tests.core.golden import num_regions, score

RNG = np.random.default_rng(0)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Tensor, np.ndarray, int, int]:
    """Scores with many ties, an excluded mask, a count and a suppression radius."""
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels = draw(st.sampled_from([1, 2, 5, 1000]))
    score_HW = torch.from_numpy((rng.integers(-levels, levels, (height, width)) / 7).astype(np.float32))
    excluded_HW = rng.random((height, width)) < draw(st.sampled_from([0.0, 0.3, 0.97, 1.0]))
    return score_HW, excluded_HW, draw(st.integers(0, 60)), draw(st.integers(0, 9))


@settings(max_examples=200, deadline=None)
@given(problems())
def test_equals_a_full_map_maximum_per_choice(problem: tuple[Tensor, np.ndarray, int, int]) -> None:
    score_HW, excluded_HW, count, radius = problem
    centres, scores = select(score_HW, excluded_HW, count, radius)
    plain = reference.greedy(score_HW, torch.from_numpy(excluded_HW), count, radius)
    np.testing.assert_array_equal(centres, plain)
    assert centres.dtype == np.int32
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, score_HW.numpy()[centres[:, 0], centres[:, 1]])


@settings(max_examples=100, deadline=None)
@given(problems(), st.integers(0, 60))
def test_what_is_chosen_first_does_not_depend_on_how_many(
    problem: tuple[Tensor, np.ndarray, int, int], fewer: int
) -> None:
    score_HW, excluded_HW, count, radius = problem
    centres, scores = select(score_HW, excluded_HW, count, radius)
    np.testing.assert_array_equal(select(score_HW, excluded_HW, min(fewer, count), radius)[0], centres[:fewer])
    assert (np.diff(scores) <= 0).all()


@settings(max_examples=100, deadline=None)
@given(problems())
def test_only_the_order_of_the_scores_matters(problem: tuple[Tensor, np.ndarray, int, int]) -> None:
    score_HW, excluded_HW, count, radius = problem
    ranks_HW = torch.unique(score_HW, return_inverse=True)[1].float() - 3
    expected = select(score_HW, excluded_HW, count, radius)[0]
    np.testing.assert_array_equal(select(ranks_HW, torch.from_numpy(excluded_HW), count, radius)[0], expected)


@settings(max_examples=100, deadline=None)
@given(problems(), st.integers(0, 4))
def test_bought_windows_never_overlap_and_avoid_what_is_excluded(
    problem: tuple[Tensor, np.ndarray, int, int], radius: int
) -> None:
    score_HW, excluded_HW, count, _ = problem
    centres = select(score_HW, excluded_HW, count, suppression_radius("region", radius))[0]
    assert not excluded_HW[centres[:, 0], centres[:, 1]].any()
    apart = np.abs(centres[:, None] - centres[None]).max(axis=2)
    assert (apart[~np.eye(len(centres), dtype=bool)] > 2 * purchase_radius("region", radius)).all()


@pytest.mark.parametrize("sample", [1, 7, 64, 10**6])
def test_the_guessed_threshold_never_matters(sample: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "_SAMPLE", sample)
    score_HW = torch.from_numpy(RNG.integers(0, 50, (90, 110)).astype(np.float32))
    excluded_HW = cover((90, 110), RNG.integers(0, 90, (40, 2)).astype(np.int32), 5)
    for count, radius in ((1, 2), (50, 2), (300, 3), (10_000, 1)):
        plain = reference.greedy(score_HW, torch.from_numpy(excluded_HW), count, radius)
        np.testing.assert_array_equal(select(score_HW, excluded_HW, count, radius)[0], plain)


def drawn_logits(rng: np.random.Generator, num_classes: int, size: tuple[int, int]) -> Tensor:
    """(C, H, W) of one of four kinds: smooth, noisy, a repeated tile, which ties exactly, or one class everywhere."""
    coarse = torch.from_numpy(rng.normal(0, 3, (1, num_classes, 5, 6)).astype(np.float32))
    logits_CHW = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear", align_corners=True)[0]
    kind = rng.integers(4)
    if kind == 1:
        logits_CHW += torch.from_numpy(rng.normal(0, 1, logits_CHW.shape).astype(np.float32))
    if kind == 2:
        tile = np.round(rng.normal(0, 2, (num_classes, 6, 5)))
        repeated = np.tile(tile, (1, size[0] // 6 + 1, size[1] // 5 + 1))[:, : size[0], : size[1]]
        logits_CHW = torch.from_numpy(repeated.astype(np.float32))
    if kind == 3:
        logits_CHW[0] += 30
    return logits_CHW


@pytest.mark.parametrize("seed", range(64))
def test_random_rounds_buy_what_the_plain_version_buys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mode: Mode = ("region", "pixel")[seed % 2]
    parity = seed % 4 >= 2
    size = int(rng.integers(8, 70)), int(rng.integers(8, 90))
    num_classes = int(rng.integers(2, 21))
    radius = int(rng.choice([0, 1, 1, 2, 3, 5, 9, 17, 32]))
    budget = Budget.parse(rng.choice(["2.2", "5", "40", "100", "7px", "40px"]))
    rounds = int(rng.integers(1, 4))
    suppression, purchase = suppression_radius(mode, radius), purchase_radius(mode, radius)
    centres = np.zeros((0, 2), dtype=np.int32)
    for index in range(rounds):
        logits_CHW = drawn_logits(rng, num_classes, size)
        excluded_HW = cover(size, centres, suppression)
        count = num_regions(
            budget,
            size,
            mode=mode,
            radius=radius,
            rounds=rounds,
            round_index=index,
            spent_pixels=int(cover(size, centres, purchase).sum()),
            parity=parity,
        )
        score_HW = score(logits_CHW, size, mode=mode, radius=radius, parity=parity)
        impurity_HW, uncertainty_HW, plain_HW = reference.maps(logits_CHW, size, radius, mode)
        if not parity:  # a window of one class is worth exactly 0
            plain_HW = torch.where(impurity_HW < 1e-5, 0, impurity_HW) * uncertainty_HW
        torch.testing.assert_close(score_HW, plain_HW, rtol=0, atol=1e-6 * max(1.0, math.log(num_classes)))
        new = select(score_HW, excluded_HW, count, suppression)[0]
        assert_same_choice(new, reference.greedy(plain_HW, torch.from_numpy(excluded_HW), count, suppression), plain_HW)
        exact = reference.greedy(score_HW, torch.from_numpy(excluded_HW), count, suppression)
        np.testing.assert_array_equal(new, exact)
        centres = np.concatenate([centres, new])


def assert_same_choice(found: np.ndarray, plain: np.ndarray, plain_HW: Tensor) -> None:
    """The same centres in the same order, up to the first place where the scores tie but for rounding."""
    for ours, theirs in zip(found, plain, strict=False):
        if (ours != theirs).any():
            assert float(plain_HW[tuple(ours)]) == pytest.approx(float(plain_HW[tuple(theirs)]), rel=1e-5, abs=1e-7)
            return
    assert len(found) == len(plain)


def test_nothing_left_or_nothing_wanted() -> None:
    score_HW = torch.rand(6, 7)
    for excluded, count in ((True, 5), (False, 0)):
        centres, scores = select(score_HW, np.full((6, 7), excluded), count, 1)
        assert centres.shape == (0, 2)
        assert scores.shape == (0,)
    assert len(select(score_HW, np.zeros((6, 7), bool), 100, 50)[0]) == 1


def test_equal_scores_go_by_column_then_row_and_minus_0_is_0() -> None:
    score_HW = torch.zeros(3, 3)
    score_HW[0, 0] = -0.0
    centres = select(score_HW, np.zeros((3, 3), bool), 4, 0)[0]
    assert centres.tolist() == [[0, 0], [1, 0], [2, 0], [0, 1]]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_non_finite_score_raises(value: float) -> None:
    score_HW = torch.zeros(5, 5)
    score_HW[4, 2] = value
    with pytest.raises(NonFiniteError, match="scores"):
        select(score_HW, np.zeros((5, 5), bool), 1, 1)


def test_shapes_and_signs_are_checked() -> None:
    for excluded_HW, count, radius in ((np.zeros((5, 4), bool), 1, 1), (np.zeros((5, 5), bool), -1, 1)):
        with pytest.raises(ValueError, match="expected"):
            select(torch.zeros(5, 5), excluded_HW, count, radius)
    with pytest.raises(ValueError, match="float32"):
        select(torch.zeros(5, 5, dtype=torch.float64), np.zeros((5, 5), bool), 1, 1)


def test_radii_by_mode() -> None:
    assert (suppression_radius("region", 3), purchase_radius("region", 3)) == (6, 3)
    assert (suppression_radius("pixel", 3), purchase_radius("pixel", 3)) == (3, 0)


def test_cover_is_the_union_of_squares_cut_at_the_border() -> None:
    covered = cover((5, 6), np.array([[0, 0], [4, 5]], dtype=np.int32), 1)
    assert covered.astype(int).tolist() == [
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1],
        [0, 0, 0, 0, 1, 1],
    ]
