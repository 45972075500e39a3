"""How much memory scoring takes at the paper's sizes: measured, 0.8 GB for V2 and 1.3 GB for V3+."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.measure import peak_extra_mb
from ripu_ray.config import load_config
from ripu_ray.simulation.protocols import ScoreRequest
from ripu_ray.simulation.scoring import ImageScorer
from tests.data.folders import write_data_set

LIMIT_MB = 2000


@pytest.mark.slow
def test_scoring_a_cityscapes_image_needs_less_than_2_gb_beside_the_network(tmp_path: Path) -> None:
    write_data_set(tmp_path)
    place, rng = tmp_path / "dusk" / "train", np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (1024, 2048, 3), dtype=np.uint8)).save(place / "images" / "a.png")
    Image.fromarray(rng.integers(0, 3, (1024, 2048), dtype=np.uint8)).save(place / "labels" / "a.png")
    with multiprocessing.get_context("spawn").Pool(1) as fresh:
        assert fresh.apply(_peak_mb, (tmp_path, "deeplabv3plus")) < LIMIT_MB


def _peak_mb(root: Path, name: str) -> float:
    data = ["data.dataset=folder", f"data.root={root}", "data.source=day", "data.target=dusk"]
    sizes = ["data.input_size=[640, 1280]", "data.label_size=[1024, 2048]"]
    scorer = ImageScorer(load_config(None, [*data, *sizes, f"model.name={name}"]))
    nothing = np.empty((0, 2), np.int32)

    def score() -> None:
        selection = scorer.score(0, ScoreRequest("dusk/train/a", nothing))
        assert len(selection.centres_N2)

    return peak_extra_mb(score)
