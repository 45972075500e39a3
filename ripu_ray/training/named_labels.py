"""Labels from the classes that an annotator names in each region, without the labels of the pool.

Shapes: H x W label pixels, n centres, C classes, S distinct sets of classes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ripu_ray.config import Answer
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.core.regions import Regions

Labels = NDArray[np.integer[Any]]


class NamedLabels:
    """The label map of each image. All pixels of a region have the annotator's answer about this region.

    Args:
        answer: what was asked, not a mask.
        named: image id -> (n, C) bool, the classes named in each region.

    Attributes:
        sets_SC: (S, C) bool, all sets of classes that were named, first the empty one; None with one class a region.
    """

    def __init__(self, answer: Answer, named: Mapping[str, NDArray[np.bool_]]) -> None:
        self.sets_SC: Tensor | None = None
        self._values: dict[str, Labels] = {}
        if answer == "dominant":
            for image_id, named_NC in named.items():
                label_N = np.where(named_NC.any(axis=1), named_NC.argmax(axis=1), IGNORE_LABEL)
                self._values[image_id] = label_N.astype(np.uint8)
            return
        named_NC = np.concatenate([*named.values()])
        # `unique` sorts rows: the empty set, added at the end, becomes the first.
        with_empty = np.concatenate([named_NC, np.zeros_like(named_NC, shape=(1, named_NC.shape[1]))])
        sets_SC, set_N = np.unique(with_empty, axis=0, return_inverse=True)
        self.sets_SC = torch.from_numpy(sets_SC)
        parts = np.split(set_N.reshape(-1)[:-1].astype(np.int32), np.cumsum([*map(len, named.values())])[:-1])
        self._values = dict(zip(named, parts, strict=True))

    def label(self, image_id: str, centres: NDArray[np.int32], regions: Regions, size: tuple[int, int]) -> Labels:
        """(H, W) uint8 class ids, IGNORE_LABEL where nothing is named; with `sets_SC`, int32 sets, 0 the empty one."""
        is_set = self.sets_SC is not None
        label_HW: Labels = np.full(size, 0 if is_set else IGNORE_LABEL, np.int32 if is_set else np.uint8)
        for (row, col), value in zip(centres.tolist(), self._values[image_id], strict=True):
            label_HW[regions.members(row, col)] = value
        return label_HW


def without_sets(label_HW: Labels) -> NDArray[np.uint8]:
    """The labels with IGNORE_LABEL where nothing is named; any set of classes becomes 0."""
    if label_HW.dtype == np.uint8:
        return label_HW.astype(np.uint8, copy=False)
    return np.where(label_HW == 0, np.uint8(IGNORE_LABEL), np.uint8(0))
