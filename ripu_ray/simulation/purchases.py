"""What a trial bought, read back from its folder: pixels, round by round and image by image."""

import numpy as np
from numpy.typing import NDArray

from ripu_ray.data.loading import open_domains
from ripu_ray.simulation.grid import Trial
from ripu_ray.simulation.ledger import Ledger
from ripu_ray.simulation.regions import RegionMaps
from ripu_ray.simulation.run_folder import TrialFolder


class Purchases:
    """The purchases of one trial that is no reference.

    Args:
        trial: of the grid of a run folder.
        folder: its folder.

    Raises:
        RunFolderError: what lies there is damaged.
        DataError: the trial's data is not to be found here, so that its pixels cannot be told.
    """

    def __init__(self, trial: Trial, folder: TrialFolder) -> None:
        self._pool = open_domains(trial.config.data, with_source=False).pool
        self._maps = RegionMaps(trial.config.strategy, self._pool)
        self._ledger = Ledger(folder.path, self._pool.image_ids, None)
        self.image_ids = self._pool.image_ids
        self.known = frozenset(self.image_ids)

    @property
    def num_rounds(self) -> int:
        """Rounds that are bought."""
        return self._ledger.num_rounds

    def size(self, image_id: str) -> tuple[int, int]:
        """(H, W) of the labels of an image."""
        return self._pool.label_size(image_id)

    def mask(self, image_id: str, round_index: int) -> NDArray[np.bool_]:
        """(H, W), True where an image of the pool was bought in a round. Raises DataError: it cannot be read."""
        centres = self._ledger.bought_in(round_index, image_id)
        return self._maps.of(image_id, self.size(image_id)).cover(centres)
