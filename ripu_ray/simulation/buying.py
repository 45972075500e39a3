"""The selection of a round over the whole pool, and the ledger that takes it."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from ripu_ray.config import Config, StrategyConfig
from ripu_ray.core.budget import allowance
from ripu_ray.core.geometry import purchase_area
from ripu_ray.data.images import ImageSet
from ripu_ray.runs.interrupt import StopRequest
from ripu_ray.runs.ledger import Ledger
from ripu_ray.runs.selections import Selection
from ripu_ray.runs.validate import PurchaseCheck
from ripu_ray.simulation.allocation import allocate
from ripu_ray.simulation.protocols import Scorer, ScoreRequest


def open_ledger(folder: Path, strategy: StrategyConfig, pool: ImageSet) -> Ledger:
    """The ledger in the folder of a trial, or of its questions. Raises RunFolderError: it is damaged."""
    check = PurchaseCheck([pool.label_size(image_id) for image_id in pool.image_ids], strategy)
    area = purchase_area(strategy.mode, strategy.radius) if strategy.shape == "sliding" else None
    return Ledger(folder, pool.image_ids, area, check)


def select(
    config: Config, round_index: int, weights: Path, ledger: Ledger, pool: ImageSet, scorer: Scorer
) -> Iterable[Selection]:
    """Select the regions of a round in every image of the pool, in any order.

    Args:
        config: of the trial.
        round_index: 0-based.
        weights: of the previous round, or of the warm-up.
        ledger: its regions are not selected again and are charged to the budget.
        pool: the images.
        scorer: scores them.
    """
    strategy = config.strategy
    requests = (ScoreRequest(image_id, ledger.centres(image_id)) for image_id in pool.image_ids)
    if strategy.allocation == "per_image":
        return scorer.score(weights, round_index, requests)
    sizes = [pool.label_size(image_id) for image_id in pool.image_ids]
    allowed = allowance(strategy, sizes, round_index, ledger.spent.pixels).pixels or 0
    return allocate(list(requests), allowed, partial(scorer.score, weights, round_index))


def until_stopped(selections: Iterable[Selection], stop: StopRequest) -> Iterator[Selection]:
    """The selections, one after the other. Raises StoppedError: a stop was requested."""
    for selection in selections:
        stop.check()
        yield selection
