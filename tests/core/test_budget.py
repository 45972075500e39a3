"""What may be bought, and what was."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ripu_ray.config import Budget, CostConfig, Mode
from ripu_ray.core.budget import Spent, annotate, annotation_seconds, region_boundary, region_pixels
from ripu_ray.core.geometry import purchase_radius
from ripu_ray.core.metrics import IGNORE_LABEL
from tests.core.golden import num_regions

budgets = st.one_of(
    st.decimals("0.01", "100", places=2).map(lambda value: Budget.parse(str(value))),
    st.integers(1, 5000).map(lambda value: Budget.parse(f"{value}px")),
)
modes: st.SearchStrategy[Mode] = st.sampled_from(["region", "pixel"])


@settings(deadline=None)
@given(
    budget=budgets,
    size=st.tuples(st.integers(8, 300), st.integers(8, 300)),
    mode=modes,
    radius=st.integers(0, 12),
    rounds=st.integers(1, 8),
    data=st.data(),
)
def test_never_overspent_and_all_that_fits_is_spent(
    budget: Budget, size: tuple[int, int], mode: Mode, radius: int, rounds: int, data: st.DataObject
) -> None:
    total = budget.pixels(size[0] * size[1])
    area = (2 * purchase_radius(mode, radius) + 1) ** 2
    spent = 0
    for index in range(rounds):
        count = num_regions(
            budget,
            size,
            mode=mode,
            radius=radius,
            rounds=rounds,
            round_index=index,
            spent_pixels=spent,
            parity=False,
        )
        left = total * (index + 1) / rounds - spent
        assert count * area <= left < (count + 1) * area
        # some windows lie partly outside the image, in some rounds fewer are left than are wanted
        spent += data.draw(st.integers(0, count * area))
    assert spent <= total


def test_what_does_not_fit_is_carried_over() -> None:
    bought: list[int] = []
    for index in range(5):  # 6.4 pixels a round at 9 a window
        spent = 9 * sum(bought)
        bought.append(
            num_regions(
                Budget.parse("32px"),
                (64, 64),
                mode="region",
                radius=1,
                rounds=5,
                round_index=index,
                spent_pixels=spent,
                parity=False,
            )
        )
    assert bought == [0, 1, 1, 0, 1]


@pytest.mark.parametrize(
    ("budget", "size", "mode", "radius", "rounds", "count"),
    [
        ("2.2", (1024, 2048), "region", 1, 5, math.ceil(1024 * 2048 * (0.022 / 5) / 9)),
        ("2.2", (1024, 2048), "region", 32, 5, math.ceil(1024 * 2048 * (0.022 / 5) / 65**2)),
        ("40px", (1024, 2048), "pixel", 32, 5, 21),
        ("40px", (1024, 2048), "region", 1, 5, 1),
        ("5", (100, 100), "pixel", 4, 3, 167),
    ],
)
def test_parity_rounds_up_in_each_round(
    budget: str, size: tuple[int, int], mode: Mode, radius: int, rounds: int, count: int
) -> None:
    for index, spent in ((0, 0), (rounds - 1, 10**9)):
        found = num_regions(
            Budget.parse(budget),
            size,
            mode=mode,
            radius=radius,
            rounds=rounds,
            round_index=index,
            spent_pixels=spent,
            parity=True,
        )
        assert found == count


def test_a_budget_already_overspent_buys_nothing() -> None:
    count = num_regions(
        Budget.parse("10px"),
        (64, 64),
        mode="pixel",
        radius=1,
        rounds=2,
        round_index=0,
        spent_pixels=7,
        parity=False,
    )
    assert count == 0


def test_fractions_of_a_pixel_are_exact() -> None:
    assert Budget.parse("2.2").pixels(1000) == Fraction(22)


def test_what_windows_come_to_and_what_they_annotate() -> None:
    label_HW = np.full((6, 8), 3, dtype=np.uint8)
    label_HW[:, 4:] = IGNORE_LABEL
    centres = np.array([[0, 0], [4, 4]], dtype=np.int32)
    pixels, void_pixels = region_pixels(label_HW, centres, 1)
    assert (pixels.tolist(), void_pixels.tolist()) == ([4, 9], [0, 6])
    annotation_HW = annotate(label_HW, centres, 1)
    assert (annotation_HW == 3).sum() == 7
    assert annotation_HW.dtype == np.uint8
    assert (annotate(label_HW, centres[:0], 1) == IGNORE_LABEL).all()
    assert Spent(1, 2, 3, 4) + Spent(10, 20, 30, 40) == Spent(11, 22, 33, 44)


def test_windows_are_counted_as_they_are_cut_out() -> None:
    rng = np.random.default_rng(0)
    label_HW = np.where(rng.random((20, 30)) < 0.3, IGNORE_LABEL, 1).astype(np.uint8)
    centres = np.array([[0, 0], [19, 29], [10, 12], [3, 28]], dtype=np.int32)
    for radius in (0, 2, 40):
        pixels, void_pixels = region_pixels(label_HW, centres, radius)
        for index, (row, col) in enumerate(centres.tolist()):
            cut = label_HW[max(row - radius, 0) : row + radius + 1, max(col - radius, 0) : col + radius + 1]
            assert (pixels[index], void_pixels[index]) == (cut.size, (cut == IGNORE_LABEL).sum())


def test_outlines_are_pairs_of_unlike_neighbours_inside_the_window() -> None:
    rng = np.random.default_rng(0)
    label_HW = rng.choice(np.array([0, 1, 2, IGNORE_LABEL], np.uint8), (20, 30))
    centres = np.array([[0, 0], [19, 29], [10, 12], [3, 28]], dtype=np.int32)
    for radius in (0, 2, 40):
        found = region_boundary(label_HW, centres, radius)
        for index, (row, col) in enumerate(centres.tolist()):
            rows = range(max(row - radius, 0), min(row + radius + 1, 20))
            cols = range(max(col - radius, 0), min(col + radius + 1, 30))
            expected = 0
            for i in rows:
                for j in cols:
                    for m, n in ((i + 1, j), (i, j + 1)):
                        pair = {int(label_HW[i, j]), int(label_HW[m, n])} if m in rows and n in cols else set[int]()
                        expected += len(pair - {IGNORE_LABEL}) == 2
            assert found[index] == expected
    assert region_boundary(label_HW, centres[:0], 2).shape == (0,)


def test_seconds_by_hand() -> None:
    spent = Spent(pixels=90, clicks=10, boundary_pixels=40)
    assert annotation_seconds(CostConfig(seconds_per_click=2, seconds_per_boundary_pixel=0.25), spent) == 30
