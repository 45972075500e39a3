"""One budget for the whole pool: selects the best regions of all images without score maps on the driver.

The greedy sequence of one image has non-increasing scores, so the greedy selection over the pool is the merge of the
images' sequences. Each image is scored for the start of its sequence. If all of it is bought, the image is scored again
for more.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from ripu_ray.core.purchase import class_limit
from ripu_ray.runs.selections import Selection
from ripu_ray.simulation.protocols import ScoreRequest

_FIRST = 2
"""Multiple of its equal share of the pixels that is first requested of each image."""
_GROWTH = 4
"""Growth of a request after all regions of the previous one were bought."""


Score = Callable[[Iterable[ScoreRequest]], Iterator[Selection]]
"""`Scorer.score` with the weights of a round."""


def allocate_by_class(
    requests: Sequence[ScoreRequest], allowed_pixels: int, share: float, order: Sequence[int], score: Score
) -> list[Selection]:
    """Buy a share of the budget class by class, each class with the best of its list over the pool, and then the rest.

    Every class scores the pool once more, since its best regions depend on those bought before.

    Args:
        requests, allowed_pixels, score: as for `allocate`.
        share: of the budget that all classes have together, in (0, 1].
        order: all classes, in random order.

    Returns:
        A selection for each request, in order.
    """
    parts: list[list[Selection]] = [[] for _ in requests]
    spent = 0
    for number, label in enumerate((*order, None)):
        limit = allowed_pixels if label is None else class_limit(share, allowed_pixels, number + 1, len(order))
        if limit == spent and label is not None:
            continue
        now = []
        for request, bought in zip(requests, parts, strict=True):
            centres_N2 = np.concatenate([request.centres_N2, *(more.centres_N2 for more in bought)])
            now.append(replace(request, label=label, centres_N2=centres_N2))
        for bought, more in zip(parts, allocate(now, limit - spent, score), strict=True):
            bought.append(more)
            spent += int(more.pixels_N.sum())
    return [_join(bought) for bought in parts]


def _join(parts: Sequence[Selection]) -> Selection:
    names = [name for name in vars(parts[0]) if name != "image_id"]
    return Selection(parts[0].image_id, **{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})


def allocate(requests: Sequence[ScoreRequest], allowed_pixels: int, score: Score) -> list[Selection]:
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
        again = (replace(requests[i], prefix_pixels=asked[i]) for i in asked)
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
