"""Reference trials for comparison: the same number of steps with nothing bought, or with every pixel bought."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import Budget, Config, StrategyConfig, TrainingConfig
from ripu_ray.config.training import TEACHER
from ripu_ray.core.budget import Spent, region_boundary
from ripu_ray.core.geometry import purchase_area, tiling
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.images import ImageSet


def as_reference(config: Config, schedule_steps: int) -> Config:
    """Reset the settings that `source_only` or `full` does not use, so that each reference is one trial of a grid.

    Args:
        config: of a trial whose acquisition is a reference.
        schedule_steps: the horizon of its learning rate, which is kept.

    Returns:
        One round of as many steps as all rounds have, on the same schedule.
    """
    strategy = StrategyConfig(
        budget=Budget(value=Decimal(100), unit="percent"),
        windows=config.strategy.windows,
        acquisition=config.strategy.acquisition,
        rounds=1,
    )
    steps: dict[str, Any] = {
        "round_steps": config.num_round_steps(),
        "last_round_steps": None,
        "schedule_steps": schedule_steps,
    }
    steps |= {name: TrainingConfig.model_fields[name].default for name in TEACHER}
    if strategy.acquisition == "source_only":
        steps |= {"source_free": False, "class_weights": "none"}
    return config.model_copy(update={"strategy": strategy, "training": config.training.model_copy(update=steps)})


class WholePool(Mapping[str, NDArray[np.int32]]):
    """Every pixel of every image as bought: image id -> centres of adjacent windows, computed on access.

    Args:
        pool: the images.
        radius: a window is 2 * radius + 1 pixels a side.
    """

    def __init__(self, pool: ImageSet, radius: int) -> None:
        # Only the sizes, since this object is sent to Train workers.
        self._sizes = {image_id: pool.label_size(image_id) for image_id in pool.image_ids}
        self._radius = radius

    def __getitem__(self, image_id: str) -> NDArray[np.int32]:
        return tiling(self._sizes[image_id], self._radius)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sizes)

    def __len__(self) -> int:
        return len(self._sizes)

    def count(self, pool: ImageSet, num_classes: int) -> tuple[Spent, NDArray[np.int64]]:
        """Total of all pixels, and (C,) labelled pixels of each class. Reads every label."""
        total, area = Spent(), purchase_area("region", self._radius)
        class_pixels_C = np.zeros(num_classes, np.int64)
        for image_id, centres in self.items():
            label_HW = pool.label(image_id)
            total += Spent(
                pixels=label_HW.size,
                void_pixels=int((label_HW == IGNORE_LABEL).sum()),
                clipped_pixels=len(centres) * area - label_HW.size,
                clicks=len(centres),
                boundary_pixels=int(region_boundary(label_HW, centres, self._radius).sum()),
            )
            class_pixels_C += np.bincount(label_HW.ravel(), minlength=IGNORE_LABEL + 1)[:num_classes]
        return total, class_pixels_C
