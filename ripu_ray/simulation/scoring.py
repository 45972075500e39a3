"""From one target image to the regions bought in it: decode, forward, acquisition, selection, oracle's count."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ripu_ray.config import Config
from ripu_ray.core.acquisition import ACQUISITIONS, pixel_maps
from ripu_ray.core.budget import num_regions, region_pixels
from ripu_ray.core.geometry import cover, purchase_radius, suppression_radius
from ripu_ray.core.metrics import confusion_counts
from ripu_ray.core.randomness import generator
from ripu_ray.core.selection import select
from ripu_ray.data.loading import Domains, open_domains
from ripu_ray.errors import NonFiniteError
from ripu_ray.models.networks import build_network, to_input
from ripu_ray.simulation.checkpoint import network_state
from ripu_ray.simulation.prediction import predict
from ripu_ray.simulation.protocols import ScoreRequest
from ripu_ray.simulation.selections import Selection


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
        self._network = build_network(config.model, self._domains.classes.num_classes, seed=0)
        self._network.to(self._device).eval()

    def load(self, weights: Path) -> None:
        """Take the network's weights from a checkpoint."""
        self.load_state(network_state(weights))

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take the network's weights."""
        self._network.load_state_dict(state)

    def score(self, round_index: int, request: ScoreRequest) -> Selection:
        """Select what the budget allows of one image of the pool in this round.

        Raises:
            NonFiniteError: a logit is NaN or infinite; names round and image.
        """
        strategy, image_id = self._config.strategy, request.image_id
        label = self._domains.pool.label(image_id)
        height, width = label.shape
        try:
            maps = pixel_maps(self._logits(self._domains.pool.image(image_id)), (height, width))
            score = ACQUISITIONS[strategy.acquisition](
                maps,
                mode=strategy.mode,
                radius=strategy.radius,
                parity=strategy.parity,
                rng=generator(self._config.seed, "acquisition", round_index, image_id),
            )
            centres, scores = self._buy(score, label, round_index, request)
        except NonFiniteError as error:
            raise NonFiniteError(f"round {round_index}, image {image_id}: {error}") from None
        pixels, void_pixels = region_pixels(label, centres, purchase_radius(strategy.mode, strategy.radius))
        return Selection(image_id, centres.astype(np.uint16), scores, pixels, void_pixels)

    def _buy(
        self, score_HW: Tensor, label_HW: NDArray[np.uint8], round_index: int, request: ScoreRequest
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Centres (n, 2) and scores (n,). What clipped windows leave over buys further windows, until none fits."""
        strategy = self._config.strategy
        height, width = label_HW.shape
        suppressed = suppression_radius(strategy.mode, strategy.radius)
        centres, scores = request.centres_N2, [np.empty(0, np.float32)]
        while True:
            spent, _ = region_pixels(label_HW, centres, purchase_radius(strategy.mode, strategy.radius))
            count = num_regions(
                strategy.budget,
                (height, width),
                mode=strategy.mode,
                radius=strategy.radius,
                rounds=strategy.rounds,
                round_index=round_index,
                spent_pixels=int(spent.sum()),
                parity=strategy.parity,
            )
            excluded = cover((height, width), centres, suppressed)
            more_centres, more_scores = select(score_HW, excluded, count, suppressed)
            centres = np.concatenate([centres, more_centres])
            scores.append(more_scores)
            if strategy.parity or not len(more_centres):
                return centres[len(request.centres_N2) :], np.concatenate(scores)

    def evaluate(self, image_ids: Sequence[str]) -> NDArray[np.int64]:
        """Confusion counts (C, C) over validation images. Raises NonFiniteError, with the image."""
        num_classes = self._domains.classes.num_classes
        total = np.zeros((num_classes, num_classes), np.int64)
        for image_id in image_ids:
            label = self._domains.validation.label(image_id)
            image_13HW = to_input(self._domains.validation.image(image_id))[None].to(self._device)
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
        batch = to_input(image_HW3)[None].to(self._device)
        logits: Tensor = self._network(batch)[0]
        return logits
