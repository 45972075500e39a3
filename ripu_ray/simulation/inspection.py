"""Predictions, scores and purchases of a trial in a few images, recomputed from its weights and its ledger."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from PIL import Image

from ripu_ray.config import DatasetSection
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.images import ImageSet
from ripu_ray.data.loading import open_domains
from ripu_ray.data.region_maps import RegionMaps
from ripu_ray.errors import RunFolderError
from ripu_ray.models.inference import predict
from ripu_ray.models.networks import build_network
from ripu_ray.runs.grid import Trial
from ripu_ray.runs.ledger import Ledger
from ripu_ray.runs.purchases import read_purchase
from ripu_ray.runs.stages import StageFolder, TrialFolder
from ripu_ray.simulation.scoring import ImageScorer
from ripu_ray.training.checkpoint import network_state

Split = Literal["pool", "validation"]


@dataclass(frozen=True)
class InspectedImage:
    """Scores, purchases and predictions of one trial in one image of the pool.

    Attributes:
        image_id: of the image.
        image_HW3: uint8 RGB, at the network's input size.
        label_HW: uint8 ground truth, IGNORE_LABEL where void.
        score_HW: float32 score of the first purchase.
        round_HW: int16, the round in which each pixel was bought; -1: not bought.
        before_HW, after_HW: uint8 classes, predicted before the first purchase and after the last.
    """

    image_id: str
    image_HW3: NDArray[np.uint8]
    label_HW: NDArray[np.uint8]
    score_HW: NDArray[np.float32]
    round_HW: NDArray[np.int16]
    before_HW: NDArray[np.uint8]
    after_HW: NDArray[np.uint8]


def spread_ids(image_ids: Sequence[str], count: int) -> list[str]:
    """Choose `count` images, or all of them, evenly spaced over the list and without randomness."""
    count = min(count, len(image_ids))
    return [image_ids[(2 * number + 1) * len(image_ids) // (2 * count)] for number in range(count)]


def inspect_images(trial: Trial, folder: TrialFolder, warmup: StageFolder, count: int) -> list[InspectedImage]:
    """Recompute scores, purchases and predictions of a trial in a few images of the pool.

    Args:
        trial: of a strategy, not a reference; with one committed round at least.
        folder: its folder.
        warmup: its warm-up.
        count: number of images, spread over the pool.

    Raises:
        DataError, RunFolderError: the images, the weights or a purchase cannot be read.
    """
    rounds = folder.num_committed()
    if not rounds:
        raise RunFolderError(f"{folder.path}: no committed round, expected one at least")
    config = trial.config
    pool = open_domains(config.data, with_source=False).pool
    image_ids = spread_ids(pool.image_ids, count)
    regions, scorer = RegionMaps(config.strategy, pool), ImageScorer(config)
    scorer.load(warmup.weights)
    before = [[array.numpy() for array in scorer.score_map(0, image_id)] for image_id in image_ids]
    scorer.load(folder.stage(rounds - 1).weights)
    inspected = []
    for image_id, (score_HW, before_HW) in zip(image_ids, before, strict=True):
        size = pool.label_size(image_id)
        round_HW = _bought_rounds(folder, rounds, image_id, regions, size)
        after_HW = scorer.score_map(0, image_id)[1].numpy()
        label_HW, image_HW3 = pool.label(image_id), pool.image(image_id)
        inspected.append(InspectedImage(image_id, image_HW3, label_HW, score_HW, round_HW, before_HW, after_HW))
    return inspected


def _bought_rounds(
    folder: TrialFolder, rounds: int, image_id: str, maps: RegionMaps, size: tuple[int, int]
) -> NDArray[np.int16]:
    """(H, W) int16, the round in which each pixel was bought; -1: not in the first `rounds` rounds of the trial."""
    round_HW = np.full(size, -1, np.int16)
    for number in range(rounds):
        round_HW[maps.of(image_id, size).cover(_centres(folder.stage(number), image_id))] = number
    return round_HW


def class_shares(data: DatasetSection, count: int) -> dict[str, float]:
    """Share of each class among the labelled pixels of `count` images spread over the pool, by name."""
    domains = open_domains(data, with_source=False)
    labels = map(domains.pool.label, spread_ids(domains.pool.image_ids, count))
    pixels_256 = sum((np.bincount(label.ravel(), minlength=256) for label in labels), start=np.zeros(256, np.int64))
    pixels_C = np.delete(pixels_256, IGNORE_LABEL)[: domains.classes.num_classes]
    shares = pixels_C / max(int(pixels_C.sum()), 1)
    return dict(zip(domains.classes.names, shares.tolist(), strict=True))


def class_colours(data: DatasetSection) -> dict[str, tuple[int, int, int]]:
    """Red, green and blue of each class, 0..255, by name, in the order of the ids."""
    classes = open_domains(data, with_source=False).classes
    return dict(zip(classes.names, classes.colours, strict=True))


def _centres(stage: StageFolder, image_id: str) -> NDArray[np.int32]:
    table = read_purchase(stage.path / "purchase.json")
    table = table.filter(pc.equal(table["image_id"], image_id))
    return np.stack([table["row"].to_numpy(), table["col"].to_numpy()], axis=1).astype(np.int32)


@dataclass(frozen=True)
class Example:
    """One image after one round; all arrays have the labels' size.

    Attributes:
        image_id: in its split.
        split: pool or validation.
        image_HW3: uint8 RGB.
        label_HW: uint8 ground truth, IGNORE_LABEL where void.
        predicted_HW: uint8 classes, predicted after the round.
        round_HW: int16, the round in which each pixel was bought; -1: not bought so far.
    """

    image_id: str
    split: Split
    image_HW3: NDArray[np.uint8]
    label_HW: NDArray[np.uint8]
    predicted_HW: NDArray[np.uint8]
    round_HW: NDArray[np.int16]


class Examples:
    """The examples of one trial.

    Args:
        trial: of the grid.
        folder: its folder.
        warmup: its warm-up.
        count: number of images, spread over each split; the pool has the larger half.

    Attributes:
        classes: of the data set.
    """

    def __init__(self, trial: Trial, folder: TrialFolder, warmup: StageFolder, count: int) -> None:
        self._folder, self._warmup, self._is_reference = folder, warmup, trial.config.strategy.is_reference
        domains = open_domains(trial.config.data, with_source=False)
        self.classes = domains.classes
        self._regions = RegionMaps(trial.config.strategy, domains.pool)
        self._splits: tuple[tuple[Split, ImageSet, list[str]], ...] = (
            ("pool", domains.pool, spread_ids(domains.pool.image_ids, (count + 1) // 2)),
            ("validation", domains.validation, spread_ids(domains.validation.image_ids, count // 2)),
        )
        cluster = trial.config.cluster
        # With scorers or training workers, the trial's own process has reserved no GPU.
        is_cuda = cluster.gpu and not (cluster.scorers or cluster.train_workers) and torch.cuda.is_available()
        self._device = torch.device("cuda" if is_cuda else "cpu")
        self._network = build_network(trial.config.model, domains.classes.num_classes, seed=0)
        self._network.to(self._device).eval()

    def after_round(self, round_index: int) -> Iterator[Example]:
        """Predict the examples with the weights of a committed round; -1 is the warm-up.

        Raises:
            DataError: an image or the weights cannot be read.
            NonFiniteError: a logit is NaN or infinite.
        """
        stage = self._warmup if round_index < 0 else self._folder.stage(round_index)
        self._network.load_state_dict(network_state(stage.weights))
        for split, images, image_ids in self._splits:
            # References have no ledger.
            rounds = 0 if split == "validation" or self._is_reference else round_index + 1
            for image_id in image_ids:
                image_HW3, label_HW = images.image(image_id), images.label(image_id)
                height, width = label_HW.shape
                batch = self._network.to_input(image_HW3, self._device)[None]
                yield Example(
                    image_id,
                    split,
                    np.asarray(Image.fromarray(image_HW3).resize((width, height))),
                    label_HW,
                    predict(self._network, batch, label_HW.shape).astype(np.uint8),
                    _bought_rounds(self._folder, rounds, image_id, self._regions, (height, width)),
                )


class Purchases:
    """The purchases of one trial.

    Args:
        trial: of a strategy, not a reference.
        folder: its folder.

    Raises:
        RunFolderError: the ledger is damaged.
        DataError: the trial's data, which the sizes and regions are read from, is missing or damaged.
    """

    def __init__(self, trial: Trial, folder: TrialFolder) -> None:
        self._pool = open_domains(trial.config.data, with_source=False).pool
        self._maps = RegionMaps(trial.config.strategy, self._pool)
        self._ledger = Ledger(folder.path, self._pool.image_ids, None)
        self.image_ids = self._pool.image_ids
        self.known = frozenset(self.image_ids)

    @property
    def num_rounds(self) -> int:
        """Number of committed purchases."""
        return self._ledger.num_rounds

    def size(self, image_id: str) -> tuple[int, int]:
        """(H, W) of the labels of an image."""
        return self._pool.label_size(image_id)

    def mask(self, image_id: str, round_index: int) -> NDArray[np.bool_]:
        """(H, W) bool, the pixels of an image that were bought in a round. Raises DataError: it cannot be read."""
        centres = self._ledger.bought_in(round_index, image_id)
        return self._maps.of(image_id, self.size(image_id)).cover(centres)
