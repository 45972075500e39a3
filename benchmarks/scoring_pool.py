"""The scoring phase: its speed with more actors, the memory of the driver, the bytes that are sent for each region.

`python -m benchmarks.scoring_pool` takes several minutes on 2 cores and prints, at the end,

    figure: decoder_gain <images per second with a decoder on each core, at most 8 / without>  GPU: a sleep of 25 ms
    figure: scoring_scaling <images per second with 2 actors / with 1>      decode, forward, acquisition, return
    figure: driver_growth_mb <MB>                                           peak of the driver over 100,000 images
    figure: bytes_per_region <bytes>                                        pickled answer, 8 images of 1,025 regions
"""

import json
import os
import pickle
import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measure import interleaved, peak_extra_mb
from ripu_ray.config import Budget, Config, StrategyConfig
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.ahead import ReadAhead
from ripu_ray.data.folder import FolderData
from ripu_ray.data.loading import open_domains
from ripu_ray.data.synthetic.images import SyntheticData
from ripu_ray.distributed.cluster import start_ray
from ripu_ray.distributed.scorers import RayScorer
from ripu_ray.models.networks import build_network
from ripu_ray.runs.ledger import Ledger
from ripu_ray.runs.selections import PackedSelections, Selection
from ripu_ray.simulation.protocols import ScoreRequest
from ripu_ray.training.checkpoint import TrainingState

REPEATS = 3
NUM_PICTURES = 64
SIZE = (256, 512)
CITYSCAPES = (1024, 2048)
GPU_S = 0.025
"""Forward pass of `deeplabv2` and acquisition on an H200: docs/benchmarks.md."""
NUM_TINY = 100_000
EMPTY = np.empty((0, 2), np.int32)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gain = measure_decoders(folder)
        start_ray(Config().cluster)
        scaling = measure_scaling(folder)
        growth = measure_growth(folder)
    print(f"figure: decoder_gain {gain:.2f}")
    print(f"figure: scoring_scaling {scaling:.2f}")
    print(f"figure: driver_growth_mb {growth:.1f}")
    print(f"figure: bytes_per_region {bytes_per_region():.2f}")


def measure_decoders(folder: Path) -> float:
    """Images per second with decoders over that without. A sleep replaces forward pass and acquisition on a GPU."""
    data = FolderData(root=write_pictures(folder / "large", 8, CITYSCAPES, "png"), input_size=(640, 1280))
    pool, number = open_domains(data).pool, min(len(os.sched_getaffinity(0)), 8)

    def score(images: ReadAhead) -> None:
        for image_id in images.ahead(pool.image_ids * 4, str):
            images.image(image_id), images.label(image_id)
            time.sleep(GPU_S)

    seconds = interleaved({str(each): partial(score, ReadAhead(pool, each)) for each in (0, number)}, REPEATS)
    for each, taken in seconds.items():
        print(f"{each} decoders: {4 * len(pool.image_ids) / taken:.1f} images of 1024x2048 a second")
    return seconds["0"] / seconds[str(number)]


def measure_scaling(folder: Path) -> float:
    """Images per second with two actors, divided by that with one: medians of alternate runs with running actors."""
    data = FolderData(root=write_pictures(folder / "pictures", NUM_PICTURES, SIZE, "jpg"))
    weights = write_weights(Config(data=data), folder / "weights.pt")
    requests = [ScoreRequest(image_id, EMPTY) for image_id in open_domains(data).pool.image_ids]
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(REPEATS):
        for number, seen in rates.items():
            scorer = RayScorer(_with_scorers(data, number), keep=True)
            scorer.evaluate(weights)  # starts the actors and sends the weights
            start = time.perf_counter()
            count = sum(1 for _ in scorer.score(weights, 0, requests))
            seen.append(count / (time.perf_counter() - start))
            scorer.close()
    for number, seen in rates.items():
        print(f"{number} scoring actors: {statistics.median(seen):.1f} images of {SIZE[0]}x{SIZE[1]} a second")
    return statistics.median(rates[2]) / statistics.median(rates[1])


def measure_growth(folder: Path) -> float:
    """MB by which the peak of the driver's resident memory exceeds its start while tiny images are scored."""
    data = SyntheticData(num_pool=NUM_TINY, num_source=1, num_validation=1, size=(8, 8))
    # One window of 3x3 in each.
    config = _with_scorers(data, 2).model_copy(
        update={"strategy": StrategyConfig(budget=Budget.parse("9px"), rounds=1)}
    )
    weights = write_weights(config, folder / "tiny.pt")
    image_ids = open_domains(data).pool.image_ids
    scorer = RayScorer(config, keep=True)

    def buy(name: str, image_ids: Sequence[str]) -> None:
        requests = (ScoreRequest(image_id, EMPTY) for image_id in image_ids)
        Ledger(folder / name, image_ids, purchase_pixels=9).commit(0, scorer.score(weights, 0, requests))

    # The imports and the start of the actors are not measured.
    buy("warm", image_ids[:64])
    start = time.perf_counter()
    growth = peak_extra_mb(lambda: buy("ledger", image_ids))
    seconds = time.perf_counter() - start
    scorer.close()
    print(f"{NUM_TINY} images of 8x8 scored and bought with 2 actors: {NUM_TINY / seconds:.0f} a second")
    return growth


def bytes_per_region() -> float:
    """Bytes per region of a batch, with the regions of one of 5 rounds of 2.2 % of a Cityscapes image."""
    count = 1025
    selection = Selection(
        "frankfurt_000000_000294",
        np.zeros((count, 2), np.uint16),
        np.zeros(count, np.float32),
        np.full(count, 9, np.uint32),
        np.zeros(count, np.uint32),
        np.full(count, 3, np.uint32),
        np.full((1, 19), 9 * count // 19, np.int64),
    )
    return len(pickle.dumps(PackedSelections.pack([selection] * 8), protocol=5)) / (8 * count)


def write_pictures(root: Path, num_pool: int, size: tuple[int, int], suffix: str) -> Path:
    """Write images of the embedded task in the folder layout."""
    domains = open_domains(SyntheticData(num_source=1, num_pool=num_pool, num_validation=1, size=size))
    places = {"source/train": domains.source, "target/train": domains.pool, "target/val": domains.validation}
    for place, images in places.items():
        for kind in ("images", "labels"):
            (root / place / kind).mkdir(parents=True)
        for number, image_id in enumerate(images.image_ids):
            Image.fromarray(images.image(image_id)).save(root / place / "images" / f"{number:03d}.{suffix}", quality=92)
            Image.fromarray(images.label(image_id)).save(root / place / "labels" / f"{number:03d}.png")
    classes = [
        {"id": index, "name": name, "color": colour}
        for index, (name, colour) in enumerate(zip(domains.classes.names, domains.classes.colours, strict=True))
    ]
    tree = {"num_classes": len(classes), "ignore_index": IGNORE_LABEL, "classes": classes}
    (root / "classes.json").write_text(json.dumps(tree))
    return root


def write_weights(config: Config, path: Path) -> Path:
    """A checkpoint of an untrained network."""
    network = build_network(config.model, open_domains(config.data).classes.num_classes, seed=0)
    TrainingState(network.state_dict(), {"state": {}, "param_groups": []}, 0).save(path)
    return path


def _with_scorers(data: FolderData | SyntheticData, number: int) -> Config:
    return Config(data=data, cluster=Config().cluster.model_copy(update={"scorers": number}))


if __name__ == "__main__":
    main()
