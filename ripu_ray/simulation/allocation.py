"""One budget for the whole pool: selects the best regions of all images without score maps on the driver.

The greedy sequence of one image has non-increasing scores, so the greedy selection over the pool is the merge of the
images' sequences. Each image is scored for the start of its sequence, and for more if all of that is bought.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from ripu_ray.runs.selections import Selection
from ripu_ray.simulation.protocols import ScoreRequest

_FIRST = 2
"""Multiple of its equal share of the pixels that is first requested of each image."""
_GROWTH = 4
"""Growth of a request after all regions of the previous one were bought."""


def allocate(
    requests: Sequence[ScoreRequest],
    allowed_pixels: int,
    score: Callable[[Iterable[ScoreRequest]], Iterator[Selection]],
) -> list[Selection]:
    """Buy the best regions of the pool, in order of score, until the next one does not fit.

    Equal scores are ordered by request, then by the order within the image. Less than one region of the allowance
    remains, unless no region is left to buy.

    Args:
        requests: one for each image of the pool, in order.
        allowed_pixels: budget of this round, over the pool.
        score: `Scorer.score` with this round's weights; called more than once for some images.

    Returns:
        A selection for each request, in order.
    """
    pixels = _FIRST * -(-allowed_pixels // len(requests))
    asked = dict.fromkeys(range(len(requests)), pixels)
    position = {request.image_id: index for index, request in enumerate(requests)}
    found: dict[int, Selection] = {}
    while True:
        again = (ScoreRequest(requests[i].image_id, requests[i].centres_N2, asked[i]) for i in asked)
        found.update((position[selection.image_id], selection) for selection in score(again))
        bought = _merge([found[index] for index in range(len(requests))], allowed_pixels)
        # An image that returned less than requested has no more regions.
        short = {
            index: _GROWTH * pixels
            for index, pixels in asked.items()
            if bought[index] == len(found[index].scores_N) and found[index].pixels_N.sum() >= pixels > 0
        }
        if not short:
            return [found[index].first(bought[index]) for index in range(len(requests))]
        asked = short


def _merge(selections: Sequence[Selection], allowed_pixels: int) -> list[int]:
    """Number of bought regions of each image: the longest prefix of the merged sequence that fits the budget."""
    counts = [len(selection.scores_N) for selection in selections]
    score_N = np.concatenate([selection.scores_N for selection in selections])
    pixels_N = np.concatenate([selection.pixels_N for selection in selections]).astype(np.int64)
    order_N = np.argsort(-score_N, kind="stable")
    num_bought = int(np.searchsorted(pixels_N[order_N].cumsum(), allowed_pixels, side="right"))
    image_N = np.repeat(np.arange(len(selections)), counts)
    return [int(count) for count in np.bincount(image_N[order_N[:num_bought]], minlength=len(selections))]
