"""One budget for the whole pool: the best regions of all images, found without any score map on the driver.

What is greedily chosen of one image has scores that do not rise, so the greedy choice over the pool is the merge of the
images' sequences. Each image is asked for the start of its sequence; whoever was bought whole is asked for more.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from ripu_ray.runs.selections import Selection
from ripu_ray.simulation.protocols import ScoreRequest

_FIRST = 2
"""Times its equal share of the pixels that each image is first asked for."""
_GROWTH = 4
"""Times more that an image is asked for when all that it gave was bought."""


def allocate(
    requests: Sequence[ScoreRequest],
    allowed_pixels: int,
    score: Callable[[Iterable[ScoreRequest]], Iterator[Selection]],
) -> list[Selection]:
    """Buy the best regions of the pool, in order of score, as long as the next one fits.

    Equal scores go by the order of the requests, then by the order within the image. Less than one region of the
    allowance is left over, unless nothing is left to buy.

    Args:
        requests: one for each image of the pool, in order.
        allowed_pixels: what may be bought in this round, over the pool.
        score: `Scorer.score` with this round's weights; called for some images more than once.

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
        # An image that gave less than it was asked for has no more.
        short = {
            index: _GROWTH * pixels
            for index, pixels in asked.items()
            if bought[index] == len(found[index].scores_N) and found[index].pixels_N.sum() >= pixels > 0
        }
        if not short:
            return [found[index].first(bought[index]) for index in range(len(requests))]
        asked = short


def _merge(selections: Sequence[Selection], allowed_pixels: int) -> list[int]:
    """How many regions of each image are bought: the longest start of the merged sequence that is paid for."""
    counts = [len(selection.scores_N) for selection in selections]
    score_N = np.concatenate([selection.scores_N for selection in selections])
    pixels_N = np.concatenate([selection.pixels_N for selection in selections]).astype(np.int64)
    order_N = np.argsort(-score_N, kind="stable")
    num_bought = int(np.searchsorted(pixels_N[order_N].cumsum(), allowed_pixels, side="right"))
    image_N = np.repeat(np.arange(len(selections)), counts)
    return [int(count) for count in np.bincount(image_N[order_N[:num_bought]], minlength=len(selections))]
