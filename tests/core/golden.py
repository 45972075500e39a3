"""Reads the golden selections: numbers of the reference implementation, see tests/golden."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ripu_ray.config import Budget, Mode, StrategyConfig
from ripu_ray.config import Windows as Sides
from ripu_ray.core.acquisition import Query
from ripu_ray.core.budget import allowance
from ripu_ray.core.geometry import purchase_area
from ripu_ray.core.purchase import score_image
from ripu_ray.core.regions import Regions, Windows

FOLDER = Path(__file__).parents[1] / "golden"
PLAIN = ("ripu", "impurity", "uncertainty", "entropy", "margin", "confidence", "clasp_pe")
"""Acquisition functions of the logits alone, without randomness; tests/core/test_contenders.py has the others."""
SELECTIONS = sorted(path.stem for path in FOLDER.glob("selection_*.npz"))


@dataclass(frozen=True)
class Selection:
    """One golden image over several rounds; `arrays` as the golden README describes them."""

    arrays: dict[str, np.ndarray[Any, Any]]
    mode: Mode
    budget: Budget
    radius: int
    num_classes: int
    rounds: int

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.arrays["ground_truth"].shape
        return height, width

    def logits(self, round_index: int) -> Tensor:
        """(C, H, W) float32."""
        return torch.from_numpy(self.arrays[f"logits_x256_{round_index}"].astype(np.float32) / 256)

    def maps_in_our_units(self) -> dict[str, np.ndarray[Any, Any]]:
        """Impurity, uncertainty and score of round 0.

        The reference divides by log 19 in region mode, whatever C, and in pixel mode by nothing; we divide both
        impurity and a region's uncertainty by log C.
        """
        log_classes = math.log(self.num_classes)
        factor = math.log(19) / log_classes if self.mode == "region" else 1 / log_classes
        powers = {"impurity_0": 1, "uncertainty_0": 1, "score_0": 2} if self.mode == "region" else {}
        powers = powers or {"impurity_0": 1, "uncertainty_0": 0, "score_0": 1}
        return {name: self.arrays[name] * factor**power for name, power in powers.items()}


def load(name: str) -> Selection:
    """The golden case of this file name, without its ending."""
    with np.load(FOLDER / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    mode: Mode = "region" if str(arrays["mode"]) == "RA" else "pixel"
    ratio = round(float(arrays["ratio"]) * 100, 6)
    return Selection(
        arrays,
        mode,
        Budget.parse(f"{ratio}" if mode == "region" else f"{int(arrays['pixels'])}px"),
        int(arrays["radius"]),
        int(arrays["num_classes"]),
        int(arrays["rounds"]),
    )


def score(
    logits_CHW: Tensor,
    size: tuple[int, int],
    name: str = "ripu",
    *,
    mode: Mode,
    radius: int,
    parity: bool = False,
    regions: Regions | None = None,
    seed: int = 0,
) -> Tensor:
    """The score of one image, over windows unless `regions` are given."""
    regions = regions or Windows(size, mode, radius)
    return score_image(logits_CHW, size, name, Query(regions, mode, parity, np.random.default_rng(seed)))[0]


def num_regions(
    budget: Budget,
    size: tuple[int, int],
    *,
    mode: Mode,
    radius: int,
    rounds: int,
    round_index: int,
    spent_pixels: int,
    parity: bool,
) -> int:
    """How many regions of one image may be bought in a round, by the rule of the product."""
    window = 2 * radius + 1
    chosen = Sides.model_construct(None, region=window, pixel=window)
    strategy = StrategyConfig.model_construct(
        budget=budget,
        mode=mode,
        windows=chosen,
        rounds=rounds,
        parity=parity,
    )
    return allowance(strategy, [size], round_index, spent_pixels).num_regions(purchase_area(mode, radius))
