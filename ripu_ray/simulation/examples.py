"""The same few images after each round: what the network says of them, and what was bought in them so far."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ripu_ray.data.loading import open_domains
from ripu_ray.models.networks import build_network, to_input
from ripu_ray.simulation.checkpoint import network_state
from ripu_ray.simulation.grid import Trial
from ripu_ray.simulation.inspection import bought_rounds, spread_ids
from ripu_ray.simulation.prediction import predict
from ripu_ray.simulation.regions import RegionMaps
from ripu_ray.simulation.run_folder import StageFolder, TrialFolder


@dataclass(frozen=True)
class Example:
    """One image after one round; everything has the labels' size.

    Attributes:
        image_id: in its split.
        split: pool or validation.
        image_HW3: uint8 RGB.
        label_HW: the truth, uint8, IGNORE_LABEL where void.
        predicted_HW: uint8, by the network after the round.
        round_HW: int16, in which round each pixel was bought; -1: not yet.
    """

    image_id: str
    split: Literal["pool", "validation"]
    image_HW3: NDArray[np.uint8]
    label_HW: NDArray[np.uint8]
    predicted_HW: NDArray[np.uint8]
    round_HW: NDArray[np.int16]


class Examples:
    """The examples of one trial.

    Args:
        trial: which one.
        folder: its folder.
        warmup: what it starts from.
        count: how many images; the pool has the larger half, each spread over its split.
    """

    def __init__(self, trial: Trial, folder: TrialFolder, warmup: StageFolder, count: int) -> None:
        self._folder, self._warmup, self._is_reference = folder, warmup, trial.config.strategy.is_reference
        domains = open_domains(trial.config.data, with_source=False)
        self.class_names = domains.classes.names
        self._regions = RegionMaps(trial.config.strategy, domains.pool)
        self._splits = {"pool": domains.pool, "validation": domains.validation}
        self._ids = {
            "pool": spread_ids(domains.pool.image_ids, (count + 1) // 2),
            "validation": spread_ids(domains.validation.image_ids, count // 2),
        }
        is_cuda = trial.config.cluster.gpu and torch.cuda.is_available()
        self._device = torch.device("cuda" if is_cuda else "cpu")
        self._network = build_network(trial.config.model, domains.classes.num_classes, seed=0)
        self._network.to(self._device).eval()

    def look(self, round_index: int) -> Iterator[Example]:
        """The examples after a committed round; -1 is the warm-up.

        Raises:
            DataError: an image or the weights cannot be read.
            NonFiniteError: a logit is NaN or infinite.
        """
        stage = self._warmup if round_index < 0 else self._folder.stage(round_index)
        self._network.load_state_dict(network_state(stage.weights))
        for split, images in self._splits.items():
            for image_id in self._ids[split]:
                image_HW3, label_HW = images.image(image_id), images.label(image_id)
                height, width = label_HW.shape
                batch = to_input(image_HW3, self._device)[None]
                yield Example(
                    image_id,
                    "pool" if split == "pool" else "validation",
                    np.asarray(Image.fromarray(image_HW3).resize((width, height))),
                    label_HW,
                    predict(self._network, batch, label_HW.shape).astype(np.uint8),
                    self._bought(image_id, (height, width), round_index)
                    if split == "pool"
                    else np.full((height, width), -1, np.int16),
                )

    def _bought(self, image_id: str, size: tuple[int, int], last: int) -> NDArray[np.int16]:
        # References buy nothing, or everything, and write down neither.
        rounds = 0 if self._is_reference else last + 1
        return bought_rounds(self._folder, rounds, image_id, self._regions.of(image_id, size), size)
