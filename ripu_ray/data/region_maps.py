"""The regions of each image of the pool, by the strategy's shape."""

from functools import lru_cache

from ripu_ray.config import StrategyConfig
from ripu_ray.core.regions import Cells, Regions, Windows, grid_map, superpixel_map
from ripu_ray.data.images import ImageSet

_KEPT = 64
"""Images whose superpixels are remembered: of 2048x1024 pixels, 0.5 GB."""


class RegionMaps:
    """Image -> its regions, the same in every process that asks.

    Args:
        strategy: its shape, mode and window.
        pool: the images.
    """

    def __init__(self, strategy: StrategyConfig, pool: ImageSet) -> None:
        self._strategy, self._pool = strategy, pool
        self._grid = lru_cache(_KEPT)(lambda size: Cells(grid_map(size, strategy.window)))
        self._superpixels = lru_cache(_KEPT)(self._cut)

    def of(self, image_id: str, size: tuple[int, int]) -> Regions:
        """The regions of an image whose labels are `size` (H, W). Raises DataError: the image cannot be read."""
        strategy = self._strategy
        if strategy.shape == "grid":
            return self._grid(size)
        if strategy.shape == "superpixels":
            return self._superpixels(image_id, size)
        return Windows(size, strategy.mode, strategy.radius)

    def _cut(self, image_id: str, size: tuple[int, int]) -> Cells:
        return Cells(superpixel_map(self._pool.image(image_id), size, self._strategy.window))
