"""What a trial saw and bought in a few images: worked out again from its weights and its ledger."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ripu_ray.config import Data
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.core.regions import Regions
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import RunFolderError
from ripu_ray.simulation.grid import Trial
from ripu_ray.simulation.regions import RegionMaps
from ripu_ray.simulation.run_folder import StageFolder, TrialFolder
from ripu_ray.simulation.scoring import ImageScorer


@dataclass(frozen=True)
class Sight:
    """One image of the pool, as one trial saw it.

    Attributes:
        image_id: which one.
        image_HW3: uint8 RGB, at the size that the network sees.
        label_HW: the truth, uint8, IGNORE_LABEL where void.
        score_HW: float32, on which the first purchase was based.
        round_HW: int16, in which round each pixel was bought; -1: never.
        before_HW, after_HW: classes predicted before the first purchase and after the last.
    """

    image_id: str
    image_HW3: NDArray[np.uint8]
    label_HW: NDArray[np.uint8]
    score_HW: NDArray[np.float32]
    round_HW: NDArray[np.int16]
    before_HW: NDArray[np.uint8]
    after_HW: NDArray[np.uint8]


def spread_ids(image_ids: Sequence[str], count: int) -> list[str]:
    """`count` images, or all of them, evenly over the list: always the same ones."""
    count = min(count, len(image_ids))
    return [image_ids[(2 * number + 1) * len(image_ids) // (2 * count)] for number in range(count)]


def look(trial: Trial, folder: TrialFolder, warmup: StageFolder, count: int) -> list[Sight]:
    """Look at a few images of the pool through the eyes of a trial that has bought something.

    Args:
        trial: of a strategy, not a reference.
        folder: its folder.
        warmup: what it started from.
        count: how many images, spread over the pool.

    Raises:
        DataError, RunFolderError: the images, the weights or a purchase cannot be read.
    """
    rounds = folder.num_committed()
    if not rounds:
        raise RunFolderError(f"{folder.path}: nothing is bought yet")
    config = trial.config
    pool = open_domains(config.data, with_source=False).pool
    image_ids = spread_ids(pool.image_ids, count)
    regions, scorer = RegionMaps(config.strategy, pool), ImageScorer(config)
    scorer.load(warmup.weights)
    before = [[array.numpy() for array in scorer.score_map(0, image_id)] for image_id in image_ids]
    scorer.load(folder.stage(rounds - 1).weights)
    sights = []
    for image_id, (score_HW, before_HW) in zip(image_ids, before, strict=True):
        size = pool.label_size(image_id)
        round_HW = bought_rounds(folder, rounds, image_id, regions.of(image_id, size), size)
        after_HW = scorer.score_map(0, image_id)[1].numpy()
        label_HW, image_HW3 = pool.label(image_id), pool.image(image_id)
        sights.append(Sight(image_id, image_HW3, label_HW, score_HW, round_HW, before_HW, after_HW))
    return sights


def bought_rounds(
    folder: TrialFolder, rounds: int, image_id: str, regions: Regions, size: tuple[int, int]
) -> NDArray[np.int16]:
    """In which of the first `rounds` rounds each pixel of an image was bought; -1: in none of them.

    Args:
        folder: of a trial.
        rounds: all of them committed.
        image_id: in the pool.
        regions: of the image.
        size: (H, W) of its labels.

    Raises:
        RunFolderError: a purchase cannot be read.
    """
    round_HW = np.full(size, -1, np.int16)
    for number in range(rounds):
        round_HW[regions.cover(_centres(folder.stage(number), image_id))] = number
    return round_HW


def class_shares(data: Data, count: int) -> dict[str, float]:
    """Share of each class among the labelled pixels of `count` images spread over the pool, by name."""
    domains = open_domains(data, with_source=False)
    labels = map(domains.pool.label, spread_ids(domains.pool.image_ids, count))
    pixels_256 = sum((np.bincount(label.ravel(), minlength=256) for label in labels), start=np.zeros(256, np.int64))
    pixels_C = np.delete(pixels_256, IGNORE_LABEL)[: domains.classes.num_classes]
    shares = pixels_C / max(int(pixels_C.sum()), 1)
    return dict(zip(domains.classes.names, shares.tolist(), strict=True))


def class_colours(data: Data) -> dict[str, tuple[int, int, int]]:
    """Red, green and blue of each class, 0..255, by name, in the order of the ids."""
    classes = open_domains(data, with_source=False).classes
    return dict(zip(classes.names, classes.colours, strict=True))


def _centres(stage: StageFolder, image_id: str) -> NDArray[np.int32]:
    path = stage.path / "purchase.parquet"
    try:
        content = pa.BufferReader(path.read_bytes())
        table = pq.read_table(content, columns=["row", "col"], filters=[("image_id", "==", image_id)])
    except (OSError, pa.ArrowException) as error:
        raise RunFolderError(f"{path}: cannot be read ({type(error).__name__})") from None
    return np.stack([table["row"].to_numpy(), table["col"].to_numpy()], axis=1).astype(np.int32)
