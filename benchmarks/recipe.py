"""Steps per second of the paper's recipe at its own sizes: GTAV -> Cityscapes, 2 + 2 images, RA 2.2 %.

    python -m benchmarks.recipe                   on a GPU
    python -m benchmarks.recipe --device cpu      on the CPU: minutes a step

The images are enlarged embedded scenes in the layouts and sizes of the data sets (GTAV 1052x1914, Cityscapes
1024x2048), with configs/gtav_cityscapes.yaml. The settings for speed are added one after the other. The first steps
are not counted.

    figure: <network>_steps_per_s <everything on>
    figure: <network>_steps_ratio <everything on / everything off>
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.training import compiles, steps_per_second
from ripu_ray.config import load_config
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.description import describe
from ripu_ray.data.loading import open_domains
from ripu_ray.data.synthetic.images import SyntheticData

ROOT = Path(__file__).parent.parent
GTAV_SIZE, CITYSCAPES_SIZE = (1914, 1052), (2048, 1024)
"""Width and height."""
NUM_PICTURES, NUM_STEPS, NUM_UNCOUNTED = 4, 25, 8
NUM_PURCHASES = 5126
"""Regions of 3x3 in 1024x2048 pixels at 2.2 %."""
SETTINGS = {
    "all off": ["training.precision=float32", "training.channels_last=false"],
    "cache": ["data.cache={cache}"],
    "bfloat16": ["training.precision=bfloat16"],
    "cuda_graph": ["training.cuda_graph=true"],
    "speed: auto": ["training.speed=auto"],
}


def main(device: str, networks: list[str]) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_pictures(root)
        print(f"torch {torch.__version__}, {torch.cuda.get_device_name() if device == 'cuda' else device}")
        for network in networks:
            on = [f"model.name={network}", "training.warmup_steps=0", "training.schedule_steps=62500"]
            on += [f"data.source_root={root / 'gtav'}", f"data.target_root={root / 'cityscapes'}"]
            rates: list[float] = []
            for name, added in SETTINGS.items():
                if name == "speed: auto" and not compiles(device):
                    print("compile: left out, no compiler works here")
                    continue
                on += [setting.format(cache=root / "cache") for setting in added]
                rates.append(_measure(on, device, root / "weights.pt", f"{network} {name}"))
            print(f"figure: {network}_steps_per_s {rates[-1]:.2f}")
            print(f"figure: {network}_steps_ratio {rates[-1] / rates[0]:.2f}", flush=True)


def _measure(settings: list[str], device: str, output: Path, name: str) -> float:
    start = time.perf_counter()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    config = load_config(ROOT / "configs" / "gtav_cityscapes.yaml", settings)
    rate = steps_per_second(config, device, NUM_PURCHASES, output, NUM_STEPS, NUM_UNCOUNTED)
    memory = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else 0.0
    print(f"{name:32} {rate:8.2f} steps/s {memory:6.1f} GB  ({time.perf_counter() - start:.0f} s in all)", flush=True)
    return rate


def write_pictures(root: Path) -> None:
    """Write both data sets in their published layouts, with few images: embedded scenes, enlarged and with noise."""
    scenes = open_domains(SyntheticData(num_source=NUM_PICTURES, size=(128, 256))).source
    ids = np.zeros(256, np.uint8)  # void is 0, "unlabeled"
    for label_id, class_id in describe("cityscapes")[1].table("cityscapes.yaml").encoding.ids or ():
        if class_id != IGNORE_LABEL:
            ids[class_id] = label_id
    for number, image_id in enumerate(scenes.image_ids):
        picture, label = scenes.image(image_id), Image.fromarray(ids[scenes.label(image_id)])
        for split in ("train", "val"):
            city, stem = Path(split) / "city", f"city_{number:06d}_000019"
            _save_image(picture, root / "cityscapes/leftImg8bit" / city / f"{stem}_leftImg8bit.png", CITYSCAPES_SIZE)
            _save_label(label, root / "cityscapes/gtFine" / city / f"{stem}_gtFine_labelIds.png", CITYSCAPES_SIZE)
        _save_image(picture, root / f"gtav/images/{number:05d}.png", GTAV_SIZE)
        label.putpalette([channel for index in range(256) for channel in (index, 255 - index, 0)])
        _save_label(label, root / f"gtav/labels/{number:05d}.png", GTAV_SIZE)


def _save_image(picture_HW3: NDArray[np.uint8], path: Path, size: tuple[int, int]) -> None:
    larger = np.asarray(Image.fromarray(picture_HW3).resize(size, Image.Resampling.BICUBIC))
    grain = np.random.default_rng(0).integers(-4, 5, larger.shape, np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((larger + grain).clip(0, 255).astype(np.uint8)).save(path, compress_level=1)


def _save_label(label: Image.Image, path: Path, size: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    label.resize(size, Image.Resampling.NEAREST).save(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--network", choices=("deeplabv2", "deeplabv3plus"), action="append")
    given = parser.parse_args()
    main(given.device, given.network or ["deeplabv2", "deeplabv3plus"])
