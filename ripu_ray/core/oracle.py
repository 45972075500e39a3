"""The simulated annotator and its errors, with numpy only.

Shapes: H x W label pixels, n centres, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import Answer, NoiseConfig
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.core.randomness import generator

if TYPE_CHECKING:
    from ripu_ray.core.regions import Regions


def flip_chances(flips: float | tuple[tuple[float, ...], ...], num_classes: int) -> NDArray[np.float64]:
    """The confusion matrix of an annotator.

    Args:
        flips: the matrix, or the probability that a class is labelled as another one, each equally likely.
        num_classes: C.

    Returns:
        (C, C) float64: rows are true classes, columns are the annotator's classes; rows sum to 1.

    Raises:
        ValueError: a matrix of another size.
    """
    if isinstance(flips, tuple):
        if len(flips) != num_classes:
            raise ValueError(
                f"oracle.noise.flips has {len(flips)} rows: expected one for each of {num_classes} classes"
            )
        return np.array(flips, np.float64)
    chances_CC = np.full((num_classes, num_classes), flips / max(num_classes - 1, 1))
    np.fill_diagonal(chances_CC, 1 - flips if num_classes > 1 else 1.0)
    return chances_CC


def noisy_annotation(
    label_HW: NDArray[np.uint8],
    centres: NDArray[np.int32],
    members: Callable[[int, int], tuple[NDArray[np.int64], NDArray[np.int64]]],
    noise: NoiseConfig,
    chances_CC: NDArray[np.float64],
    region_rng: Callable[[int, int], np.random.Generator],
) -> NDArray[np.uint8]:
    """The annotation with errors, independent for each region and reproducible.

    A region is missed, or its boundaries are shifted and each class in it may be labelled as another one. Void pixels
    remain void, and only pixels of missed regions become void.

    Args:
        label_HW: (H, W) uint8 ground truth.
        centres: (n, 2) rows and columns; the regions do not overlap.
        members: row and column of a centre -> index arrays of the pixels of its region, as `Regions.members`.
        noise: rates and sizes of the errors.
        chances_CC: from `flip_chances`.
        region_rng: row and column of a centre -> the generator of this region.

    Returns:
        (H, W) uint8, IGNORE_LABEL where nothing was bought or annotated. Without noise, equal to `budget.annotate`.
    """
    height, width = label_HW.shape
    answer_HW = np.full_like(label_HW, IGNORE_LABEL)
    cumulative_CC = chances_CC.cumsum(axis=1)
    num_classes, jitter = len(chances_CC), noise.jitter_pixels
    answer_of = np.arange(256, dtype=np.uint8)
    for row, col in centres.tolist():
        rng = region_rng(row, col)
        if rng.random() < noise.missed_rate:
            continue
        down, right = rng.integers(-jitter, jitter + 1, size=2)
        answers_C = (cumulative_CC <= rng.random(num_classes)[:, None]).sum(axis=1)
        # By rounding, the last sum may be slightly below 1.
        answer_of[:num_classes] = answers_C.clip(max=num_classes - 1)
        rows, cols = members(row, col)
        truth = label_HW[rows, cols]
        drawn = label_HW[(rows + down).clip(0, height - 1), (cols + right).clip(0, width - 1)]
        is_void = (truth == IGNORE_LABEL) | (drawn == IGNORE_LABEL)
        answer_HW[rows, cols] = answer_of[np.where(is_void, truth, drawn)]
    return answer_HW


@dataclass(frozen=True)
class Annotator:
    """Answers about the regions of images, the same for each region in every process and round.

    Attributes:
        noise: errors.
        seed: of the trial.
        num_classes: C.
    """

    noise: NoiseConfig
    seed: int
    num_classes: int

    def mask(
        self, image_id: str, label_HW: NDArray[np.uint8], centres: NDArray[np.int32], regions: "Regions"
    ) -> NDArray[np.uint8]:
        """(H, W) uint8, the class of each pixel of these regions, IGNORE_LABEL elsewhere."""
        if self.noise == NoiseConfig():
            return regions.annotate(label_HW, centres)
        return noisy_annotation(
            label_HW,
            centres,
            regions.members,
            self.noise,
            flip_chances(self.noise.flips, self.num_classes),
            lambda row, col: generator(self.seed, "oracle", image_id, row, col),
        )

    def named(
        self, answer: Answer, image_id: str, label_HW: NDArray[np.uint8], centres: NDArray[np.int32], regions: "Regions"
    ) -> NDArray[np.bool_]:
        """(n, C) bool, the classes named in each region by an answer that is not a mask.

        They are those of the mask that the annotator would draw: the most frequent class, of equally frequent ones the
        smallest id, or all classes. None is named where the mask has no label.
        """
        mask_HW = self.mask(image_id, label_HW, centres, regions)
        counts_NC = regions.class_pixels(mask_HW, centres, self.num_classes)
        if answer == "multi_hot":
            return counts_NC > 0
        is_most_NC: NDArray[np.bool_] = np.arange(self.num_classes) == counts_NC.argmax(axis=1)[:, None]
        return is_most_NC & (counts_NC > 0)
