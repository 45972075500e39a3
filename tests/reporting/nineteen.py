"""A made-up sweep of 19 classes, as wide as the report's tables become: 6 arms, 2 budgets, 5 seeds, no training."""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import make_up
from ripu_ray.config import load_config
from ripu_ray.config.registry import DATASETS
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.loading import Domains
from ripu_ray.data.synthetic.images import SyntheticData, SyntheticImages
from ripu_ray.runs.run_folder import RunFolder
from tests.data.published import CLASSES_19

SIZE = (128, 256)
_LEFT = np.array([0, 1, 2, 5, 8, 10, 11, 13, 6, 18], np.uint8)
_RIGHT = np.array([0, 9, 3, 4, 8, 10, 12, 14, 7, 17], np.uint8)
"""Class of Cityscapes for each class of the embedded task, in the left and the right half of an image."""


class _Images(SyntheticImages):
    def label(self, image_id: str) -> NDArray[np.uint8]:
        label_HW, half = super().label(image_id), self._size[1] // 2
        void_HW = label_HW == IGNORE_LABEL
        label_HW[void_HW] = 0
        label_HW = np.hstack([_LEFT[label_HW[:, :half]], _RIGHT[label_HW[:, half:]]])
        label_HW[void_HW] = IGNORE_LABEL
        return label_HW


@DATASETS.register("nineteen")
class NineteenData(SyntheticData):
    """The embedded task with the classes of Cityscapes."""

    dataset: Literal["nineteen"] = "nineteen"  # type: ignore[assignment]

    def open(self, with_source: bool = True) -> Domains:
        pool, validation = _Images("target", "train", 4, self.size, 0), _Images("target", "val", 4, self.size, 0)
        return Domains(CLASSES_19, _Images("source", "train", 4, self.size, 0), pool, validation)


def make_up_nineteen(folder: Path, seeds: int = 5) -> RunFolder:
    """The run folder of the sweep. Rounds look committed; weights are random."""
    settings = ("data.dataset=nineteen", f"data.size=[{SIZE[0]}, {SIZE[1]}]", "tracking.wandb=disabled")
    flags = {
        "sweep.budgets": ["2.2", "5"],
        "sweep.acquisitions": ["random", "ripu", "entropy", "margin", "source_only", "full"],
        "sweep.seeds": list(range(seeds)),
    }
    return make_up(folder, load_config(None, settings, flags))
