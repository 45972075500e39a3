"""Regions of any shape, against a plain loop over them."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.core.regions import Cells, Regions, Windows, grid_map, superpixel_map
from tests.core.golden import PLAIN, score

SIZE = (23, 31)
NUM_CLASSES = 4
RNG = np.random.default_rng(0)
LABEL = RNG.choice(np.array([0, 1, 2, 3, IGNORE_LABEL], np.uint8), SIZE)
PICTURE = np.kron(RNG.integers(0, 256, (4, 5, 3)), np.ones((6, 7, 1), int))[: SIZE[0], : SIZE[1]].astype(np.uint8)
MAPS: dict[str, NDArray[np.int32]] = {
    "grid": grid_map(SIZE, 5),
    "superpixels": superpixel_map(PICTURE, SIZE, 5),
    "one": np.zeros(SIZE, np.int32),
    "pixels": np.arange(SIZE[0] * SIZE[1], dtype=np.int32).reshape(SIZE),
}


@pytest.fixture(params=MAPS)
def given(request: pytest.FixtureRequest) -> NDArray[np.int32]:
    return MAPS[request.param]


def test_a_grid_starts_at_the_top_left_corner_and_is_cut_elsewhere() -> None:
    region_HW = grid_map((5, 7), 3)
    assert region_HW.tolist() == 3 * [[0, 0, 0, 1, 1, 1, 2]] + 2 * [[3, 3, 3, 4, 4, 4, 5]]
    assert Cells(region_HW).all_centres.tolist() == [[1, 1], [1, 4], [1, 6], [3, 1], [3, 4], [3, 6]]


def test_superpixels_follow_edges_and_are_as_large_as_windows() -> None:
    region_HW = superpixel_map(PICTURE, SIZE, 5)
    assert np.array_equal(region_HW, superpixel_map(PICTURE, SIZE, 5))
    sizes = np.bincount(region_HW.ravel())
    assert sizes.min() > 0
    assert 12 < sizes.mean() < 50
    # Most regions lie within one of the picture's rectangles, which a grid ignores.
    tile_HW = np.kron(np.arange(20).reshape(4, 5), np.ones((6, 7), int))[: SIZE[0], : SIZE[1]]

    def pure(regions: NDArray[np.int32]) -> float:
        return float(np.mean([len(np.unique(tile_HW[regions == index])) == 1 for index in np.unique(regions)]))

    assert pure(region_HW) > 0.8 > pure(grid_map(SIZE, 5))
    # Brought to the size of labels that are smaller, or larger, than the picture.
    small_HW = superpixel_map(PICTURE, (5, 6), 2)
    assert np.array_equal(np.unique(small_HW), np.arange(small_HW.max() + 1))
    assert superpixel_map(PICTURE, (46, 62), 10).shape == (46, 62)


def test_a_region_is_known_by_one_of_its_pixels(given: NDArray[np.int32]) -> None:
    centres = Cells(given).all_centres
    assert np.array_equal(given[tuple(centres.T)], np.arange(given.max() + 1))
    for index, centre in enumerate(centres):
        pixels = np.argwhere(given == index)
        distances = ((pixels - pixels.mean(axis=0)) ** 2).sum(axis=1)
        assert np.array_equal(centre, pixels[distances.argmin()])


def test_what_is_bought_is_the_loop_s(given: NDArray[np.int32]) -> None:
    cells = Cells(given)
    chosen = RNG.permutation(given.max() + 1)[:6]
    centres = cells.all_centres[chosen]
    bought = np.isin(given, chosen)
    assert np.array_equal(cells.cover(centres), bought)
    assert np.array_equal(cells.annotate(LABEL, centres), np.where(bought, LABEL, IGNORE_LABEL))
    assert cells.pixels(centres) == bought.sum()
    found = np.stack(cells.costs(LABEL, centres), axis=1)
    for index, (row, col), costs in zip(chosen, centres.tolist(), found.tolist(), strict=True):
        inside = given == index
        marked = np.zeros(SIZE, np.bool_)
        marked[cells.members(row, col)] = True
        assert np.array_equal(marked, inside)
        outlines = sum(
            inside[here] and inside[there] and len({int(LABEL[here]), int(LABEL[there])} - {IGNORE_LABEL}) == 2
            for axis in (0, 1)
            for there in np.ndindex(SIZE)
            if there[axis] > 0
            for here in [(there[0] - (axis == 0), there[1] - (axis == 1))]
        )
        assert costs == [inside.sum(), (inside & (LABEL == IGNORE_LABEL)).sum(), outlines]


def test_windows_answer_as_regions_do() -> None:
    centres = np.array([[0, 0], [9, 9], [22, 30]], np.int32)
    windows: Regions = Windows(SIZE, "region", 2)
    whole = np.zeros(SIZE, np.bool_)
    for row, col in centres.tolist():
        whole[windows.members(row, col)] = True
    assert np.array_equal(windows.cover(centres), whole)
    assert windows.pixels(centres) == whole.sum() == 9 + 25 + 9 == sum(windows.costs(LABEL, centres)[0])
    excluded, largest = windows.still_open(centres, 3)
    assert largest == 25
    assert excluded[:5, :5].all()
    assert not excluded[5, 0]
    single = Windows(SIZE, "pixel", 2)
    assert single.pixels(centres) == 3


def test_only_what_fits_is_open(given: NDArray[np.int32]) -> None:
    cells, sizes = Cells(given), np.bincount(given.ravel())
    bought = cells.all_centres[:1]
    for most in (None, 0, 20, 25, 10_000):
        free = [index for index, size in enumerate(sizes) if index and (most is None or size <= most)]
        excluded, largest = cells.still_open(bought, most)
        assert sorted(np.argwhere(~excluded).tolist()) == sorted(cells.all_centres[free].tolist())
        assert largest == max(sizes[free], default=0)


@pytest.mark.parametrize("name", PLAIN)
def test_a_score_is_the_loop_s_at_every_pixel(name: str, given: NDArray[np.int32]) -> None:
    logits_CHW = 3 * torch.randn(NUM_CLASSES, *SIZE, generator=torch.Generator().manual_seed(7))
    score_HW = score(logits_CHW, SIZE, name, mode="region", radius=2, regions=Cells(given))
    p_CHW = logits_CHW.double().softmax(dim=0).numpy()
    *_, second_HW, best_HW = np.sort(p_CHW, axis=0)
    entropy_HW = -(p_CHW * np.log(p_CHW + 1e-6)).sum(axis=0) / math.log(NUM_CLASSES)
    for index in np.unique(given):
        inside = given == index
        share_C = np.bincount(p_CHW.argmax(axis=0)[inside], minlength=NUM_CLASSES) / inside.sum()
        impurity = 0.0 if share_C.max() == 1 else -(share_C * np.log(share_C + 1e-6)).sum() / math.log(NUM_CLASSES)
        expected = {
            "ripu": impurity * entropy_HW[inside].mean(),
            "impurity": impurity,
            "uncertainty": entropy_HW[inside].mean(),
            "entropy": entropy_HW[inside].mean(),
            "margin": 1 - (best_HW - second_HW)[inside].mean(),
            "confidence": 1 - best_HW[inside].mean(),
            "clasp_pe": entropy_HW[inside].mean(),
        }
        assert score_HW.numpy()[inside] == pytest.approx(expected[name], abs=1e-6)
        if expected[name] == 0:
            assert not score_HW.numpy()[inside].any()
