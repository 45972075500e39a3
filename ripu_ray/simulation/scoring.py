"""Scoring of one target image: decode, forward, acquisition, selection, and the pixel counts of the regions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ripu_ray.config import Config
from ripu_ray.core.acquisition import Query
from ripu_ray.core.metrics import confusion_counts
from ripu_ray.core.modifiers import lowered, stochastic
from ripu_ray.core.oracle import Annotator
from ripu_ray.core.prediction import PixelMaps, pixel_maps
from ripu_ray.core.purchase import ByClass, buy, score_image
from ripu_ray.core.randomness import generator, torch_seed
from ripu_ray.core.voids import count_voids, expected_void
from ripu_ray.data.ahead import ReadAhead
from ripu_ray.data.loading import Domains, open_domains
from ripu_ray.data.region_maps import RegionMaps
from ripu_ray.errors import NonFiniteError, ScoreError, naming_code
from ripu_ray.models.inference import predict
from ripu_ray.models.networks import build_network
from ripu_ray.models.pretrained import check_state
from ripu_ray.runs.selections import Selection
from ripu_ray.simulation.protocols import Knowledge, PoolSample, ScoreRequest
from ripu_ray.training.checkpoint import network_state

_SAMPLE_PIXELS = 4096
"""Pixels of an image at which `sample` predicts."""
_DROPOUT_DRAWS = 10
"""Passes with dropout for each image: `bald`."""


@dataclass(frozen=True)
class _Scored:
    """The scores of one image in one round, before the random choice of `strategy.power`."""

    config: Config
    round_index: int
    image_id: str
    score_HW: Tensor
    maps: PixelMaps
    query: Query

    def ranked(self, label: int | None = None) -> Tensor:
        """(H, W) float32 score that ranks the regions: of all classes, or of the list of one class."""
        power, rounds = self.config.strategy.spread.power, self.config.strategy.rounds
        score_HW = self.score_HW
        if label is not None:
            score_HW = lowered(score_HW, self.query.mean(self.maps.probability(label)))
        if not power:
            return score_HW
        purpose = ("power", self.round_index, self.image_id, *(() if label is None else (label,)))
        return stochastic(score_HW, power.at(self.round_index, rounds), generator(self.config.seed, *purpose))

    def by_class(self) -> ByClass | None:
        """The part of the image's budget that is bought class by class; None: there is none."""
        share = self.config.strategy.spread.class_share
        if not share:
            return None
        rng = generator(self.config.seed, "classes", self.round_index, self.image_id)
        return ByClass(share, rng.permutation(self.maps.num_classes).tolist(), self.ranked)


class ImageScorer:
    """Scores and evaluates images, one after the other, with weights that `load` sets.

    Args:
        config: of the trial; with `cluster.decoders: auto`, no image is read ahead.
        device: of the network.
        watch: wraps the image sets that are read.

    Attributes:
        pool, validation: the images. `cluster.decoders` threads read those that are expected next.
    """

    def __init__(
        self, config: Config, device: str = "cpu", watch: Callable[[Domains], Domains] = lambda domains: domains
    ) -> None:
        torch.set_num_threads(config.cluster.threads)
        self._config = config
        self._device = torch.device(device)
        domains = watch(open_domains(config.data, with_source=False))
        decoders = config.cluster.num_decoders([])
        self.pool, self.validation = (ReadAhead(images, decoders) for images in (domains.pool, domains.validation))
        self._num_classes = domains.classes.num_classes
        self._regions = RegionMaps(config.strategy, domains.pool)
        self._network = build_network(config.model, self._num_classes, seed=0)
        self._network.to(self._device).eval()

    def load(self, weights: Path) -> None:
        """Load the weights of a checkpoint. Raises DataError if they do not fit the network."""
        self.load_state(network_state(weights), weights)

    def load_state(self, state: dict[str, Tensor], weights: Path) -> None:
        """Load weights that were read from the file `weights`. Raises DataError if they do not fit the network."""
        check_state(state, self._network.state_dict(), weights)
        self._network.load_state_dict(state)

    def score(self, round_index: int, request: ScoreRequest) -> Selection:
        """Select regions of one image of the pool within the budget of this round.

        Raises:
            NonFiniteError: a logit is NaN or infinite; names round and image.
        """
        image_id, strategy = request.image_id, self._config.strategy
        label = self.pool.label(image_id)
        try:
            scored = self._scored(round_index, image_id, request.known)
            regions = scored.query.regions
            centres, scores = buy(
                scored.ranked(request.label),
                scored.maps.predicted_HW,
                scored.maps.num_classes,
                regions,
                strategy,
                round_index,
                request.centres_N2,
                request.prefix_pixels,
                scored.by_class() if request.prefix_pixels is None else None,
                scored.maps.features_Dhw,
            )
        except (NonFiniteError, ScoreError) as error:
            raise type(error)(f"round {round_index}, image {image_id}: {error}") from None
        class_pixels = regions.class_pixels(label, centres, self._num_classes)
        pixels, void_pixels, boundary_pixels = regions.costs(label, centres)
        named = self._ask(image_id, label, centres, class_pixels)
        if self._config.answer != "mask":
            boundary_pixels = np.zeros_like(boundary_pixels)  # nothing is drawn
        if request.prefix_pixels is None:
            class_pixels = class_pixels.sum(axis=0, keepdims=True)
        costs = pixels, void_pixels, boundary_pixels
        return Selection(image_id, centres.astype(np.uint16), scores, *costs, class_pixels, *named)

    def _ask(
        self, image_id: str, label: NDArray[np.uint8], centres: NDArray[np.int32], class_pixels: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint32], NDArray[np.bool_]] | tuple[()]:
        """Price in clicks, by the true labels, and named classes of each region; nothing for masks."""
        config, num_classes = self._config, self._num_classes
        if config.answer == "mask":
            return ()
        regions = self._regions.of(image_id, label.shape)
        annotator = Annotator(config.oracle.noise, config.seed, num_classes)
        clicks = (class_pixels > 0).sum(axis=1) if config.answer == "multi_hot" else np.ones(len(centres))
        named = annotator.named(config.answer, image_id, label, centres, regions)
        return clicks.clip(min=1).astype(np.uint32), named

    def score_map(self, round_index: int, image_id: str) -> tuple[Tensor, Tensor]:
        """(H, W) float32 scores of a round if nothing was bought, larger is better, and (H, W) uint8 predicted classes.

        Raises:
            NonFiniteError: a logit is NaN or infinite.
        """
        scored = self._scored(round_index, image_id, Knowledge())
        return scored.ranked(), scored.maps.predicted_HW

    def _scored(self, round_index: int, image_id: str, known: Knowledge) -> _Scored:
        strategy, seed = self._config.strategy, self._config.seed
        size = self.pool.label_size(image_id)
        regions = self._regions.of(image_id, size)
        rng = generator(seed, "acquisition", round_index, image_id)
        query = Query(regions, strategy.mode, strategy.parity, rng, known.bought_C, strategy.options)
        output = self._output(self.pool.image(image_id), ("dropout", round_index, image_id))
        score, maps = score_image(output[0], size, strategy.acquisition, query, *output[1:])
        if known.void_CD is not None:
            score = lowered(score, 1 - query.mean(expected_void(maps.predicted_HW, known.void_CD)))
        return _Scored(self._config, round_index, image_id, score, maps, query)

    def sample(self, request: ScoreRequest) -> PoolSample:
        """Predict a sample of the pixels of one image of the pool; the sample depends on seed and image alone.

        Raises:
            NonFiniteError: a logit is NaN or infinite; names the image.
        """
        image_id, pool = request.image_id, self.pool
        size = pool.label_size(image_id)
        pixels = size[0] * size[1]
        rng = generator(self._config.seed, "sample", image_id)
        index_N = np.sort(rng.choice(pixels, min(_SAMPLE_PIXELS, pixels), replace=False))
        maps = self._predict(image_id, size)
        free_N = ~self._regions.of(image_id, size).cover(request.centres_N2).reshape(-1)[index_N]
        entropy_N = maps.entropy_HW.cpu().numpy().reshape(-1)[index_N][free_N].astype(np.float64)
        predicted_N = maps.predicted_HW.cpu().numpy().reshape(-1)[index_N]
        return PoolSample(image_id, predicted_N, float(entropy_N.sum() / log(maps.num_classes)), int(free_N.sum()))

    def count_voids(self, request: ScoreRequest) -> NDArray[np.int64]:
        """Count pixels and void pixels of the regions bought in one image: see `core.voids.count_voids`.

        Raises:
            NonFiniteError: a logit is NaN or infinite; names the image.
        """
        image_id, pool = request.image_id, self.pool
        size = pool.label_size(image_id)
        predicted = self._predict(image_id, size).predicted_HW
        bought = self._regions.of(image_id, size).cover(request.centres_N2)
        return count_voids(predicted, pool.label(image_id), bought, self._num_classes)

    def _seed(self, *purpose: str | int) -> None:
        """Seed torch's generator, which a network or a function from outside may use, by image and not by process."""
        torch.manual_seed(torch_seed(self._config.seed, "forward", *purpose))

    @naming_code()
    def _predict(self, image_id: str, size: tuple[int, int]) -> PixelMaps:
        image = self._network.to_input(self.pool.image(image_id), self._device)[None]
        self._seed("predict", image_id)
        try:
            with torch.inference_mode():
                return pixel_maps(self._network(image)[0], size)
        except NonFiniteError as error:
            raise NonFiniteError(f"pool, image {image_id}: {error}") from None

    def evaluate(self, image_ids: Sequence[str]) -> NDArray[np.int64]:
        """Confusion counts (C, C) over validation images. Raises NonFiniteError, which names the image."""
        num_classes = self._num_classes
        total = np.zeros((num_classes, num_classes), np.int64)
        for image_id in image_ids:
            label = self.validation.label(image_id)
            image_13HW = self._network.to_input(self.validation.image(image_id), self._device)[None]
            self._seed("evaluate", image_id)
            try:
                predicted = predict(self._network, image_13HW, label.shape)
            except NonFiniteError as error:
                raise NonFiniteError(f"evaluation, image {image_id}: {error}") from None
            total += confusion_counts(predicted, label, num_classes)
        return total

    @naming_code()
    @torch.inference_mode()
    def _output(
        self, image_HW3: NDArray[np.uint8], purpose: tuple[str | int, ...]
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Logits (C, h, w), and features (D, h, w) and logits of draws (T, C, h, w) if the strategy needs them."""
        needs = self._config.strategy.needs
        batch = self._network.to_input(image_HW3, self._device)[None]
        features_1Dhw, draws_T1Chw = None, None
        self._seed("score", *purpose)
        if "features" in needs:
            logits_1Chw, features_1Dhw = self._network.with_features(batch)
        else:
            logits_1Chw = self._network(batch)
        if "dropout" in needs:
            seed = torch_seed(self._config.seed, *purpose)
            draws_T1Chw = self._network.dropout_logits(batch, _DROPOUT_DRAWS, seed)
        return (
            logits_1Chw[0],
            None if features_1Dhw is None else features_1Dhw[0],
            None if draws_T1Chw is None else draws_T1Chw[:, 0],
        )
