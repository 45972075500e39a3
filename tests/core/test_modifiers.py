"""Stochastic ranking and turns of the classes, each against its definition."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ripu_ray.core.modifiers import lowered, select_balanced, stochastic
from ripu_ray.core.selection import select


def _plain_balanced(
    score_HW: np.ndarray,
    excluded_HW: np.ndarray,
    predicted_HW: np.ndarray,
    served_C: np.ndarray,
    count: int,
    radius: int,
) -> list[tuple[int, int]]:
    """A full look at every free pixel for each choice: fewest turns, then score, then column, then row."""
    free_HW, turns_C = ~excluded_HW, served_C.copy()
    chosen: list[tuple[int, int]] = []
    while len(chosen) < count and free_HW.any():
        row, col = min(
            map(tuple, np.argwhere(free_HW).tolist()),
            key=lambda at: (turns_C[predicted_HW[at]], -score_HW[at], at[1], at[0]),
        )
        chosen.append((row, col))
        turns_C[predicted_HW[row, col]] += 1
        free_HW[max(row - radius, 0) : row + radius + 1, max(col - radius, 0) : col + radius + 1] = False
    return chosen


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 30), st.integers(0, 4))
def test_balanced_equals_a_full_look_per_choice(seed: int, count: int, radius: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 16)), int(rng.integers(1, 16))
    score_HW = (rng.integers(-9, 9, size) / 7).astype(np.float32)
    excluded_HW = rng.random(size) < rng.choice([0.0, 0.4, 1.0])
    predicted_HW = rng.integers(0, 4, size).astype(np.uint8)
    served_C = rng.integers(0, 3, 4)
    centres, ranks = select_balanced(
        torch.from_numpy(score_HW), excluded_HW, count, radius, torch.from_numpy(predicted_HW), served_C
    )
    assert list(map(tuple, centres.tolist())) == _plain_balanced(
        score_HW, excluded_HW, predicted_HW, served_C, count, radius
    )
    assert (np.diff(ranks) <= 0).all()
    assert ranks.dtype == np.float32


def test_balanced_serves_every_predicted_class_first() -> None:
    score_HW = torch.rand(20, 20, generator=torch.Generator().manual_seed(0))
    predicted_HW = torch.zeros(20, 20, dtype=torch.uint8)
    predicted_HW[:2], predicted_HW[18:, 18:] = 1, 2
    score_HW[predicted_HW > 0] -= 5  # greedy alone would never go there
    nothing = np.zeros((20, 20), bool)
    centres, _ = select_balanced(score_HW, nothing, 9, 1, predicted_HW, np.zeros(3, int))
    assert np.bincount(predicted_HW.numpy()[tuple(centres.T)]).tolist() == [4, 4, 1]
    greedy, _ = select(score_HW, nothing, 9, 1)
    assert not predicted_HW.numpy()[tuple(greedy.T)].any()


def test_power_draws_in_proportion_to_the_power_of_the_score() -> None:
    score_HW = torch.tensor([[0.1, 0.2, 0.3, 0.0]])
    for power in (0.5, 1.0, 2.0):
        first = [int(stochastic(score_HW, power, np.random.default_rng(seed)).argmax()) for seed in range(4000)]
        expected = np.array([0.1, 0.2, 0.3, 0.0]) ** power
        np.testing.assert_allclose(np.bincount(first, minlength=4) / 4000, expected / expected.sum(), atol=0.03)


@pytest.mark.parametrize("power", [1e-300, 1e-3, 0.05, 1.0, 1000.0])
def test_power_keeps_zero_and_negative_scores_finite_and_last(power: float) -> None:
    score_HW = torch.tensor([[0.0, -1e-6, 1e-4, 0.7]])
    for seed in range(200):
        ranked_HW = stochastic(score_HW, power, np.random.default_rng(seed))
        assert torch.isfinite(ranked_HW).all()
        assert ranked_HW[0, 2:].min() > ranked_HW[0, :2].max()
        assert ranked_HW.dtype == torch.float32


def test_a_weight_lowers_scores_of_either_sign() -> None:
    score_HW = torch.tensor([[0.5, 0.5, 1e-30, 0.0, -0.5, -0.5, -0.4]])
    weight_HW = torch.tensor([[1.0, 0.2, 1e-6, 0.3, 1.0, 0.2, 0.0]])
    assert lowered(score_HW, weight_HW)[0].tolist() == pytest.approx([0.5, 0.1, 1e-36, 0, -0.5, -0.9, -0.8])
    assert lowered(score_HW, weight_HW)[0, 2] > 0
    never_HW = torch.full((1, 1), torch.finfo(torch.float32).min)
    assert torch.equal(lowered(never_HW, torch.zeros(1, 1)), never_HW)


def test_a_large_power_is_greedy() -> None:
    score_HW = torch.rand(30, 30, generator=torch.Generator().manual_seed(1)) + 0.1
    nothing = np.zeros((30, 30), bool)
    ranked_HW = stochastic(score_HW, 1e6, np.random.default_rng(0))
    np.testing.assert_array_equal(select(ranked_HW, nothing, 20, 2)[0], select(score_HW, nothing, 20, 2)[0])


def test_power_depends_on_the_generator_alone() -> None:
    score_HW = torch.rand(5, 6)
    first, second, third = (stochastic(score_HW, 1.0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
