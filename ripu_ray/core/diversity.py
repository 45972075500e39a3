"""Greedy k-centre: among the best candidates of a score, those whose features differ most.

Shapes: H x W label pixels, h x w network resolution, D features, M candidates, N regions bought before, n chosen
centres.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ripu_ray.core.regions import Regions
from ripu_ray.core.selection import select
from ripu_ray.errors import NonFiniteError


def select_diverse(
    score_HW: Tensor,
    excluded_HW: NDArray[np.bool_],
    count: int,
    factor: int,
    regions: Regions,
    before_N2: NDArray[np.int32],
    features_Dhw: Tensor,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Select `factor` times as many regions as `select` does, and keep `count` of them by greedy k-centre.

    Args:
        score_HW, excluded_HW, count: as for `select`.
        factor: candidates for each choice.
        regions: of the image.
        before_N2: (N, 2) centres bought before, from which the candidates should differ, too.
        features_Dhw: (D, h, w) float, the decoder's features.

    Returns:
        Centres (n, 2) int32 in the order of choice, n <= count, and their scores (n,) float32.

    Raises as `select` does, and NonFiniteError: a NaN or an infinity among the features.
    """
    if not features_Dhw.isfinite().all():
        raise NonFiniteError("a NaN or an infinity among the features")
    centres_M2, scores_M = select(score_HW, excluded_HW, factor * count, regions.suppression)
    size = score_HW.shape[0], score_HW.shape[1]
    features = features_Dhw.cpu().double().numpy()
    known_ND = region_features(features, size, regions, before_N2)
    order_n = k_centre(region_features(features, size, regions, centres_M2), known_ND, count)
    return centres_M2[order_n], scores_M[order_n]


def region_features(
    features_Dhw: NDArray[np.float64], size: tuple[int, int], regions: Regions, centres_n2: NDArray[np.int32]
) -> NDArray[np.float64]:
    """(n, D) mean feature of each region, in which each pixel has the nearest feature, with aligned corners."""
    depth, *grid = features_Dhw.shape
    rows_H, cols_W = (
        np.rint(np.arange(length) * (cells - 1) / max(length - 1, 1)).astype(np.int64)
        for length, cells in zip(size, grid, strict=True)
    )
    means_nD = np.empty((len(centres_n2), depth))
    for mean_D, (row, col) in zip(means_nD, centres_n2.tolist(), strict=True):
        rows, cols = regions.members(row, col)
        mean_D[:] = features_Dhw[:, rows_H[rows], cols_W[cols]].reshape(depth, -1).mean(axis=1)
    return means_nD


def k_centre(features_MD: NDArray[np.float64], known_ND: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Choose, `count` times, the row that is farthest from its nearest neighbour among known and chosen rows.

    The first row is chosen first if none is known; among equal distances, the first row comes first.

    Returns:
        (min(count, M),) indices of rows, in the order of choice.

    Source: greedy k-centre, Sener and Savarese, arXiv 1708.00489; tests/core/test_contenders.py.
    """
    distance_M = np.full(len(features_MD), np.inf)
    for known_D in known_ND:
        np.minimum(distance_M, ((features_MD - known_D) ** 2).sum(axis=1), out=distance_M)
    chosen: list[int] = []
    while len(chosen) < min(count, len(features_MD)):
        chosen.append(int(distance_M.argmax()))
        np.minimum(distance_M, ((features_MD - features_MD[chosen[-1]]) ** 2).sum(axis=1), out=distance_M)
        distance_M[chosen[-1]] = -1
    return np.array(chosen, np.int64)
