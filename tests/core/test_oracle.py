"""A simulated annotator with errors: their rate is the configured one, and they are reproducible."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ripu_ray.config import NoiseConfig
from ripu_ray.core.budget import annotate
from ripu_ray.core.geometry import cover
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.core.oracle import flip_chances, noisy_annotation
from ripu_ray.core.randomness import generator
from ripu_ray.core.regions import Windows

CLASSES = 4
SIZE = (40, 60)
CENTRES = np.array([(row, col) for row in range(0, 40, 5) for col in range(0, 60, 5)], np.int32)
RNG = np.random.default_rng(0)
LABEL = RNG.choice(np.array([0, 1, 2, 3, IGNORE_LABEL], np.uint8), SIZE)


def answer(
    noise: NoiseConfig, centres: NDArray[np.int32] = CENTRES, radius: int = 2, seed: int = 0
) -> NDArray[np.uint8]:
    chances = flip_chances(noise.flips, CLASSES)
    members = Windows(SIZE, "region", radius).members
    return noisy_annotation(
        LABEL, centres, members, noise, chances, lambda row, col: generator(seed, "oracle", "image", row, col)
    )


def test_without_noise_it_is_the_ground_truth() -> None:
    assert np.array_equal(answer(NoiseConfig()), annotate(LABEL, CENTRES, 2))


@settings(deadline=None, max_examples=30)
@given(
    st.builds(
        NoiseConfig,
        flips=st.floats(0, 1),
        jitter_pixels=st.integers(0, 9),
        missed_rate=st.floats(0, 1),
    ),
    st.permutations(range(len(CENTRES))),
    st.integers(1, len(CENTRES)),
)
def test_a_region_answers_the_same_in_any_order_and_company(noise: NoiseConfig, order: list[int], count: int) -> None:
    some = CENTRES[order[:count]]
    bought = cover(SIZE, some, 2)
    answered, every = answer(noise, some), answer(noise)
    assert np.array_equal(answered, np.where(bought, every, IGNORE_LABEL))
    # Void stays void, and only whole regions are missed.
    assert (every[LABEL == IGNORE_LABEL] == IGNORE_LABEL).all()
    for row, col in some.tolist():
        window = np.s_[max(row - 2, 0) : row + 3, max(col - 2, 0) : col + 3]
        said = answered[window] != IGNORE_LABEL
        assert not said.any() or np.array_equal(said, LABEL[window] != IGNORE_LABEL)


def test_pixels_flip_as_the_matrix_says() -> None:
    matrix = ((0.5, 0.5, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), (0.25, 0.25, 0.25, 0.25))
    every = np.argwhere(np.ones(SIZE, np.bool_)).astype(np.int32)
    said = answer(NoiseConfig(flips=matrix), every, radius=0)
    for truth, row in enumerate(matrix):
        here = np.equal(LABEL, truth)
        shares = np.bincount(said[here], minlength=CLASSES) / here.sum()
        # 480 pixels of a class: 0.1 is more than four standard deviations.
        assert np.allclose(shares, row, atol=0.1)
        assert (shares[np.array(row) == 0] == 0).all()


def test_a_rate_is_shared_by_the_other_classes() -> None:
    expected = np.full((CLASSES, CLASSES), 0.1) + np.eye(CLASSES) * 0.6
    assert np.allclose(flip_chances(0.3, CLASSES), expected)
    with pytest.raises(ValueError, match="has 2 rows: expected one for each of 4 classes"):
        flip_chances(((1.0, 0.0), (0.0, 1.0)), CLASSES)


def test_extremes() -> None:
    assert (answer(NoiseConfig(missed_rate=1)) == IGNORE_LABEL).all()
    said, truth = answer(NoiseConfig(flips=1)), annotate(LABEL, CENTRES, 2)
    assert (said != truth)[truth != IGNORE_LABEL].all()
    assert not np.array_equal(answer(NoiseConfig(flips=0.5)), answer(NoiseConfig(flips=0.5), seed=1))
