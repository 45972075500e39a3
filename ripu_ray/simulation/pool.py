"""Operations of a round on the whole pool: the regions to buy, and the signals of the stopping rules."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ripu_ray.config import Config
from ripu_ray.core.budget import allowance
from ripu_ray.core.geometry import purchase_area
from ripu_ray.core.randomness import generator
from ripu_ray.core.voids import void_shares
from ripu_ray.data.images import ImageSet
from ripu_ray.data.loading import Domains
from ripu_ray.runs.interrupt import StopRequest
from ripu_ray.runs.ledger import Ledger
from ripu_ray.runs.selections import Selection
from ripu_ray.runs.validate import PurchaseCheck
from ripu_ray.simulation.allocation import allocate, allocate_by_class
from ripu_ray.simulation.inspection import spread_ids
from ripu_ray.simulation.protocols import Knowledge, Scorer, ScoreRequest
from ripu_ray.simulation.stopping import signals


def open_ledger(folder: Path, config: Config, pool: ImageSet) -> Ledger:
    """The ledger in the folder of a trial, or of its questions. Raises RunFolderError: it is damaged."""
    strategy = config.strategy
    check = PurchaseCheck([pool.label_size(image_id) for image_id in pool.image_ids], strategy)
    area = purchase_area(strategy.mode, strategy.radius) if strategy.shape == "sliding" else None
    return Ledger(folder, pool.image_ids, area, check, config.answer)


def until_stopped(selections: Iterable[Selection], stop: StopRequest) -> Iterator[Selection]:
    """The selections, one after the other. Raises StoppedError: a stop was requested."""
    for selection in selections:
        stop.check()
        yield selection


def select_regions(
    config: Config, round_index: int, weights: Path, ledger: Ledger, domains: Domains, scorer: Scorer
) -> Iterable[Selection]:
    """Score the pool with `weights` and select the regions of a round: one selection for each image, in any order."""
    strategy, pool, num_classes = config.strategy, domains.pool, domains.classes.num_classes
    known = _learn(config, weights, ledger, domains, scorer)
    requests = (ScoreRequest(name, ledger.centres(name), known=known) for name in pool.image_ids)
    if strategy.allocation == "per_image":
        return scorer.score(weights, round_index, requests)
    sizes = [pool.label_size(image_id) for image_id in pool.image_ids]
    allowed = allowance(strategy, sizes, round_index, ledger.spent.pixels).pixels or 0
    score = partial(scorer.score, weights, round_index)
    if not (share := strategy.spread.class_share):
        return allocate(list(requests), allowed, score)
    order = generator(config.seed, "classes", round_index).permutation(num_classes).tolist()
    return allocate_by_class(list(requests), allowed, share, order, score)


def _learn(config: Config, weights: Path, ledger: Ledger, domains: Domains, scorer: Scorer) -> Knowledge:
    """Statistics of the purchases of earlier rounds, if the strategy needs them."""
    bought_C, void_CD = None, None
    if "bought" in config.strategy.needs:
        bought_C = tuple(ledger.class_pixels(domains.classes.num_classes).tolist())
    if config.strategy.avoid_void == "learned" and ledger.spent.pixels:
        requests = (ScoreRequest(name, ledger.centres(name)) for name in domains.pool.image_ids)
        counts = scorer.count_voids(weights, (request for request in requests if len(request.centres_N2)))
        void_CD = void_shares(sum(counts, start=np.zeros((2, 1, 1), np.int64)))
    return Knowledge(bought_C, void_CD)


def measure_signals(
    config: Config, before: Path, after: Path, ledger: Ledger, domains: Domains, scorer: Scorer
) -> dict[str, float]:
    """The signals of a round; both models predict, so that a resumed round needs nothing but the weights."""
    image_ids = spread_ids(domains.pool.image_ids, config.stopping.images)
    requests = [ScoreRequest(image_id, ledger.centres(image_id)) for image_id in image_ids]
    first, second = (list(scorer.sample(weights, requests)) for weights in (before, after))
    return signals(first, second, domains.classes.num_classes)
