"""From one target image to the regions bought in it: decode, forward, acquisition, selection, oracle's count."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ripu_ray.config import Config
from ripu_ray.core.acquisition import ACQUISITIONS, pixel_maps
from ripu_ray.core.budget import allowed_pixels, num_regions
from ripu_ray.core.metrics import IGNORE_LABEL, confusion_counts
from ripu_ray.core.modifiers import select_balanced, stochastic
from ripu_ray.core.randomness import generator
from ripu_ray.core.regions import Cells, Regions
from ripu_ray.core.selection import select
from ripu_ray.data.loading import Domains, open_domains
from ripu_ray.data.region_maps import RegionMaps
from ripu_ray.errors import NonFiniteError
from ripu_ray.models.inference import predict
from ripu_ray.models.networks import build_network
from ripu_ray.models.pretrained import check_state
from ripu_ray.runs.selections import Selection
from ripu_ray.simulation.protocols import ScoreRequest
from ripu_ray.training.checkpoint import network_state


class ImageScorer:
    """Scores and evaluates images, one after the other, with weights that `load` sets.

    Args:
        config: of the trial.
        device: where the network runs.
    """

    def __init__(self, config: Config, device: str = "cpu") -> None:
        torch.set_num_threads(config.cluster.threads)
        self._config = config
        self._device = torch.device(device)
        self._domains: Domains = open_domains(config.data, with_source=False)
        self._regions = RegionMaps(config.strategy, self._domains.pool)
        self._network = build_network(config.model, self._domains.classes.num_classes, seed=0)
        self._network.to(self._device).eval()

    def load(self, weights: Path) -> None:
        """Take the network's weights from a checkpoint. Raises DataError if they are another network's."""
        self.load_state(network_state(weights), weights)

    def load_state(self, state: dict[str, Tensor], weights: Path) -> None:
        """Take the network's weights, read from a checkpoint. Raises DataError if they are another network's."""
        check_state(state, self._network.state_dict(), weights)
        self._network.load_state_dict(state)

    def score(self, round_index: int, request: ScoreRequest) -> Selection:
        """Select what the budget allows of one image of the pool in this round.

        Raises:
            NonFiniteError: a logit is NaN or infinite; names round and image.
        """
        image_id = request.image_id
        label = self._domains.pool.label(image_id)
        try:
            score, predicted = self.score_map(round_index, image_id)
            regions = self._regions.of(image_id, (score.shape[0], score.shape[1]))
            centres, scores = self._buy(score, predicted, regions, round_index, request)
        except NonFiniteError as error:
            raise NonFiniteError(f"round {round_index}, image {image_id}: {error}") from None
        return Selection(image_id, centres.astype(np.uint16), scores, *regions.costs(label, centres))

    def score_map(self, round_index: int, image_id: str) -> tuple[Tensor, Tensor]:
        """What choosing in a round starts from: (H, W) float32 scores, larger is better, and (H, W) predicted classes.

        Raises:
            NonFiniteError: a logit is NaN or infinite.
        """
        strategy = self._config.strategy
        size = self._domains.pool.label_size(image_id)
        regions = self._regions.of(image_id, size)
        cells = regions if isinstance(regions, Cells) else None
        maps = pixel_maps(self._logits(self._domains.pool.image(image_id)), size, cells)
        score = ACQUISITIONS[strategy.acquisition](
            maps,
            mode=strategy.mode,
            radius=strategy.radius,
            parity=strategy.parity,
            rng=generator(self._config.seed, "acquisition", round_index, image_id),
        )
        if strategy.power:
            score = stochastic(score, strategy.power, generator(self._config.seed, "power", round_index, image_id))
        return score, maps.predicted_HW

    def _buy(
        self, score_HW: Tensor, predicted_HW: Tensor, regions: Regions, round_index: int, request: ScoreRequest
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Centres (n, 2) and scores (n,): the best region that fits into what is left, and again, until none fits."""
        strategy = self._config.strategy
        num_before = len(request.centres_N2)
        centres, scores = request.centres_N2, [np.empty(0, np.float32)]
        while True:
            count, excluded = self._room(regions, score_HW, centres, num_before, round_index, request)
            if strategy.balanced:
                chosen = predicted_HW.cpu().numpy()[tuple(centres[num_before:].T)]
                served = np.bincount(chosen, minlength=self._domains.classes.num_classes)
                more_centres, more_scores = select_balanced(
                    score_HW, excluded, count, regions.suppression, predicted_HW, served
                )
            else:
                more_centres, more_scores = select(score_HW, excluded, count, regions.suppression)
            centres = np.concatenate([centres, more_centres])
            scores.append(more_scores)
            if strategy.parity or not len(more_centres):
                return centres[num_before:], np.concatenate(scores)

    def _room(
        self,
        regions: Regions,
        score_HW: Tensor,
        centres: NDArray[np.int32],
        num_before: int,
        round_index: int,
        request: ScoreRequest,
    ) -> tuple[int, NDArray[np.bool_]]:
        """How many regions may be bought before it must be looked again what is left, and where none may be."""
        strategy, size = self._config.strategy, (score_HW.shape[0], score_HW.shape[1])
        if request.prefix_pixels is not None:
            excluded, largest = regions.still_open(centres, None)
            missing = max(request.prefix_pixels - regions.pixels(centres[num_before:]), 0)
            return -(-missing // max(largest, 1)), excluded
        spent = regions.pixels(centres)
        left = allowed_pixels(
            strategy.budget, [size], rounds=strategy.rounds, round_index=round_index, spent_pixels=spent
        )
        excluded, largest = regions.still_open(centres, left)
        if not strategy.parity:
            return left // max(largest, 1), excluded
        count = num_regions(
            strategy.budget,
            size,
            mode=strategy.mode,
            radius=strategy.radius,
            rounds=strategy.rounds,
            round_index=round_index,
            spent_pixels=spent,
            parity=True,
        )
        return count, excluded

    def count_classes(self, requests: Sequence[ScoreRequest]) -> NDArray[np.int64]:
        """Labelled pixels (C,) of each class in what was bought of these images before."""
        total_C = np.zeros(self._domains.classes.num_classes, np.int64)
        for request in requests:
            label = self._domains.pool.label(request.image_id)
            height, width = label.shape
            bought = self._regions.of(request.image_id, (height, width)).annotate(label, request.centres_N2)
            total_C += np.bincount(bought.ravel(), minlength=IGNORE_LABEL + 1)[: len(total_C)]
        return total_C

    def evaluate(self, image_ids: Sequence[str]) -> NDArray[np.int64]:
        """Confusion counts (C, C) over validation images. Raises NonFiniteError, with the image."""
        num_classes = self._domains.classes.num_classes
        total = np.zeros((num_classes, num_classes), np.int64)
        for image_id in image_ids:
            label = self._domains.validation.label(image_id)
            image_13HW = self._network.to_input(self._domains.validation.image(image_id), self._device)[None]
            try:
                predicted = predict(self._network, image_13HW, label.shape)
            except NonFiniteError as error:
                raise NonFiniteError(f"evaluation, image {image_id}: {error}") from None
            total += confusion_counts(predicted, label, num_classes)
        return total

    @property
    def validation_ids(self) -> tuple[str, ...]:
        """The images that `evaluate` may be given."""
        return self._domains.validation.image_ids

    @torch.inference_mode()
    def _logits(self, image_HW3: NDArray[np.uint8]) -> Tensor:
        batch = self._network.to_input(image_HW3, self._device)[None]
        logits: Tensor = self._network(batch)[0]
        return logits
