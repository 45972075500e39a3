"""How much predictions on a fixed sample of pixels change from one model to the next, with numpy only.

Shapes: N pixels, C classes.
"""

import numpy as np
from numpy.typing import NDArray


def cohens_kappa(first_N: NDArray[np.uint8], second_N: NDArray[np.uint8], num_classes: int) -> float:
    """Agreement of two predictions beyond chance.

    Args:
        first_N, second_N: (N,) uint8 class ids below `num_classes`, N >= 1.
        num_classes: C.

    Returns:
        (p_o - p_e) / (1 - p_e), at most 1: p_o is the share of equal pixels, p_e = sum_c p_c(first) * p_c(second).
        1 if all pixels are equal.

    Source: Cohen's kappa, as in Bloodgood and Vijay-Shanker, 2009.
    """
    observed = float((first_N == second_N).mean())
    if observed == 1:
        return 1.0
    first_C, second_C = (np.bincount(each_N, minlength=num_classes) / len(each_N) for each_N in (first_N, second_N))
    expected = float((first_C * second_C).sum())
    return (observed - expected) / (1 - expected)
