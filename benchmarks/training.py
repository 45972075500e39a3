"""Steps per second of training: each setting that may make it faster, off and on.

    python -m benchmarks.training                 on the CPU
    python -m benchmarks.training --device cuda   on a GPU

`compact` on images of 192x256 that are resized to 48x64, source and target, with all settings off or one of them on.
They run alternately in one process, 3 times; figures are medians without the first steps. Then all on over all off:

    figure: training_steps_ratio <all on / all off>
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image

from ripu_ray.config import Config, load_config
from ripu_ray.data.loading import open_domains
from ripu_ray.data.synthetic.images import SyntheticData
from ripu_ray.storage.files import replace_json
from ripu_ray.training import phase as training
from ripu_ray.training.batches import Batches, drawn_ahead
from ripu_ray.training.job import TrainingJob

STORED_SIZE, SIZE, NUM_PICTURES = (192, 256), (48, 64), 16
NUM_STEPS, NUM_UNCOUNTED, REPEATS = 15, 5, 3


def drawn_when_needed(draw: Callable[[int], Batches], steps: Sequence[int]) -> Iterator[tuple[int, Batches]]:
    """`drawn_ahead`, without the thread."""
    for step in steps:
        yield step, draw(step)


def main(device: str) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_pictures(root)
        off = [
            "data.dataset=folder",
            f"data.root={root}",
            f"data.input_size={list(SIZE)}",
            f"data.label_size={list(SIZE)}",
            "training.warmup_steps=0",
        ]
        settings = {
            "cache": [f"data.cache={root / 'cache'}"],
            "prefetch": [],
            "bfloat16": ["training.precision=bfloat16"],
            "channels_last": ["training.channels_last=true"],
        }
        if compiles(device):
            settings["compile"] = ["training.compile=true"]
        else:
            print("compile: left out, no compiler works here")
        everything = [setting for some in settings.values() for setting in some]
        sides = {
            name: (load_config(None, [*off, *some]), name in ("prefetch", "all on"))
            for name, some in {"all off": [], **settings, "all on": everything}.items()
        }
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(REPEATS):
            for name, (config, ahead) in sides.items():
                with patch.object(training, "drawn_ahead", drawn_ahead if ahead else drawn_when_needed):
                    rate = steps_per_second(config, device, 1, root / "weights.pt", NUM_STEPS, NUM_UNCOUNTED)
                rates[name].append(rate)
                print(f"{name:14} {rates[name][-1]:8.2f} steps/s", file=sys.stderr, flush=True)
    median = {name: statistics.median(values) for name, values in rates.items()}
    print(f"torch {torch.__version__}, {device}, 1 thread")
    for name, rate in median.items():
        print(f"{name:14} {rate:8.2f} steps/s {rate / median['all off']:6.2f} x")
    print(f"figure: training_steps_ratio {median['all on'] / median['all off']:.2f}")


def steps_per_second(
    config: Config, device: str, num_regions: int, output: Path, num_steps: int, num_uncounted: int
) -> float:
    """Steps per second of one phase on source and target, without the first steps."""
    domains = open_domains(config.data)
    height, width = domains.pool.label_size(domains.pool.image_ids[0])
    rng = np.random.default_rng(0)
    centres = rng.integers(0, (height, width), (num_regions, 2)).astype(np.int32)
    annotated = dict.fromkeys(domains.pool.image_ids, centres)
    job = TrainingJob(config, 0, num_steps, None, output, "round 0", annotated)
    times: list[float] = []

    def watch(done: int) -> None:
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter())

    training.train(job, domains, device, watch)
    return (num_steps - num_uncounted) / (times[-1] - times[num_uncounted - 1])


def write_pictures(root: Path) -> None:
    """Write the images of the embedded task as files."""
    data = SyntheticData(num_source=NUM_PICTURES, num_pool=NUM_PICTURES, num_validation=1, size=STORED_SIZE)
    domains = open_domains(data)
    names = domains.classes.names
    classes = [{"id": index, "name": name, "color": [index] * 3} for index, name in enumerate(names)]
    table = {"num_classes": len(names), "ignore_index": 255, "classes": classes}
    replace_json(root / "classes.json", table)
    for place, images in (
        ("source/train", domains.source),
        ("target/train", domains.pool),
        ("target/val", domains.validation),
    ):
        for kind in ("images", "labels"):
            (root / place / kind).mkdir(parents=True)
        for number, image_id in enumerate(images.image_ids):
            Image.fromarray(images.image(image_id)).save(root / place / "images" / f"{number}.png")
            Image.fromarray(images.label(image_id)).save(root / place / "labels" / f"{number}.png")


def compiles(device: str) -> bool:
    """Whether torch.compile works on this machine."""
    try:
        torch.compile(lambda x: (x + 1).relu())(torch.zeros(8, device=device))
    except Exception as error:  # noqa: BLE001  # whatever is missing
        print(str(error).splitlines()[0], file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    main(parser.parse_args().device)
