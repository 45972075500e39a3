"""Time from logits to centres on one image of the size of Cityscapes, compared with the plain transcription.

    python benchmarks/acquisition.py                 a table, then the `figure:` lines of issue 3
    python benchmarks/acquisition.py --device cuda   on a GPU: the purchases, and what share of a round is acquisition

Both run alternately in one process, 3 times, and must buy the same regions; figures are medians. The plain version
uses all of torch's threads, the package one, as in a scoring actor. Peak memory is the growth of the resident set
above that of the logits, measured in a new process for each.
"""

import argparse
import io
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import reference
from benchmarks.measure import correlated_logits, interleaved, peak_extra_mb
from ripu_ray.config import Budget, Mode, ModelConfig
from ripu_ray.core.acquisition import Query
from ripu_ray.core.budget import allowed_pixels
from ripu_ray.core.purchase import score_image
from ripu_ray.core.regions import Windows
from ripu_ray.core.selection import select
from ripu_ray.models.networks import build_network

NUM_CLASSES, NETWORK_SIZE, LABEL_SIZE, ROUNDS = 19, (640, 1280), (1024, 2048), 5
RNG = np.random.default_rng(0)
NOTHING = np.zeros(LABEL_SIZE, dtype=np.bool_)
ALL_THREADS = torch.get_num_threads()


def score(logits_CHW: Tensor, size: tuple[int, int], mode: Mode, radius: int) -> Tensor:
    """(H, W) float32, by the package, on one thread."""
    torch.set_num_threads(1)
    return score_image(logits_CHW, size, "ripu", Query(Windows(size, mode, radius), mode, False, RNG))[0]


def score_plainly(logits_CHW: Tensor, size: tuple[int, int], mode: Mode, radius: int) -> Tensor:
    """(H, W) float32, by the plain transcription, on all threads."""
    torch.set_num_threads(ALL_THREADS)
    return reference.maps(logits_CHW, size, radius, mode)[2]


def buy(logits_CHW: Tensor, count: int) -> tuple[np.ndarray, float]:
    """By the package: (n, 2) centres, and the seconds of the selection."""
    score_HW = score(logits_CHW, LABEL_SIZE, "region", 1)
    start = time.perf_counter()
    return select(score_HW, NOTHING, count, 2)[0], time.perf_counter() - start


def buy_plainly(logits_CHW: Tensor, count: int) -> tuple[np.ndarray, float]:
    """By the plain transcription: (n, 2) centres, and the seconds of the selection."""
    score_HW = score_plainly(logits_CHW, LABEL_SIZE, "region", 1)
    start = time.perf_counter()
    return reference.greedy(score_HW, torch.from_numpy(NOTHING), count, 2), time.perf_counter() - start


def count_of(percent: str) -> int:
    """Regions of radius 1 in one of five rounds."""
    budget = Budget(value=Decimal(percent), unit="percent")
    return allowed_pixels(budget, [LABEL_SIZE], rounds=ROUNDS, round_index=0, spent_pixels=0) // 9


def compare_purchases(logits_CHW: Tensor, percent: str) -> dict[str, tuple[float, float]]:
    """Seconds (plain, package) of scoring and selection, and of the selection alone; asserts that both buy the same."""
    count = count_of(percent)
    sides = {"plain": buy_plainly, "product": buy}
    total: dict[str, list[float]] = {side: [] for side in sides}
    selection: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(3):
        centres = {}
        for side, run in sides.items():
            start = time.perf_counter()
            centres[side], seconds = run(logits_CHW, count)
            total[side].append(time.perf_counter() - start)
            selection[side].append(seconds)
        same = int((centres["plain"] == centres["product"]).all(axis=1).sum())
        assert same == len(centres["plain"]) == count, f"{percent} %: only {same} of {count} centres agree in order"
    print(f"{percent} %: {count} of {count} centres agree, in order")
    return {
        name: (statistics.median(taken["plain"]), statistics.median(taken["product"]))
        for name, taken in ((f"acquisition_ra_{percent}", total), (f"selection_{percent}", selection))
    }


def compare_pixel_score() -> tuple[float, float]:
    """Seconds (plain, package) of the PA score at 256 x 512, radius 32; asserts that they agree."""
    logits_CHW, size = correlated_logits(NUM_CLASSES, (160, 320)), (256, 512)
    plain, product = (
        partial(score_plainly, logits_CHW, size, "pixel", 32),
        partial(score, logits_CHW, size, "pixel", 32),
    )
    difference = float((plain() - product()).abs().max())
    assert difference < 1e-5, f"PA scores differ by {difference}"
    seconds = interleaved({"plain": plain, "product": product})
    return seconds["plain"], seconds["product"]


def peak_memory(run: str, count: int) -> float:
    """MB above the logits of `buy` or `buy_plainly`, in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_memory, (run, count))


def _peak_memory(run: str, count: int) -> float:
    logits_CHW = correlated_logits(NUM_CLASSES, NETWORK_SIZE)
    # the start of threads and libraries is not measured
    score_plainly(logits_CHW[:, :8, :8], (16, 16), "region", 1)
    score(logits_CHW[:, :8, :8], (16, 16), "region", 1)
    return peak_extra_mb(partial({"buy": buy, "buy_plainly": buy_plainly}[run], logits_CHW, count))


def on_cpu() -> None:
    """The table and the figures of issue 3."""
    logits_CHW = correlated_logits(NUM_CLASSES, NETWORK_SIZE)
    mixed = float((reference.maps(logits_CHW, LABEL_SIZE, 1, "region")[0] > 1e-3).float().mean())
    print(f"torch {torch.__version__}, {ALL_THREADS} threads; {mixed:.1%} of the 3x3 windows are mixed")
    rows: dict[str, tuple[float, float]] = {}
    for percent in ("2.2", "5"):
        rows |= compare_purchases(logits_CHW, percent)
    rows["acquisition_pa_score"] = compare_pixel_score()
    modes: tuple[Mode, ...] = ("region", "pixel")
    for mode in modes:
        seconds = interleaved({str(k): partial(score, logits_CHW, LABEL_SIZE, mode, k) for k in (1, 32)}, repeats=5)
        rows[f"radius 32 / 1, {mode}"] = seconds["32"], seconds["1"]
    print(f"{'':24} {'plain':>12} {'product':>12} {'ratio':>10}")
    for name, (plain_s, product_s) in rows.items():
        print(f"{name:24} {1e3 * plain_s:9.1f} ms {1e3 * product_s:9.2f} ms {plain_s / product_s:8.1f} x")
    plain_mb, product_mb = (peak_memory(run, count_of("2.2")) for run in ("buy_plainly", "buy"))
    print(f"{'peak extra memory':24} {plain_mb:9.0f} MB {product_mb:9.1f} MB {plain_mb / product_mb:8.1f} x")
    for name in ("acquisition_ra_2.2", "acquisition_ra_5", "acquisition_pa_score"):
        print(f"figure: {name} {rows[name][0] / rows[name][1]:.1f}")
    print(f"figure: acquisition_memory {plain_mb / product_mb:.1f}")


def describe_round(device: str, images: int = 20) -> None:
    """Images per second of decoding, of DeepLab-V2 in float32 and bfloat16, and of acquisition at 2.2 %."""
    network = build_network(ModelConfig(name="deeplabv2"), NUM_CLASSES, seed=0).to(device).eval()
    device_CHW, count = correlated_logits(NUM_CLASSES, NETWORK_SIZE).to(device), count_of("2.2")
    with io.BytesIO() as file:
        noise_HW3 = RNG.integers(0, 255, (16, 32, 3), dtype=np.uint8)
        Image.fromarray(noise_HW3).resize(LABEL_SIZE[::-1], Image.Resampling.BICUBIC).save(file, format="PNG")
        stored = file.getvalue()

    def decode() -> Tensor:
        with Image.open(io.BytesIO(stored)) as picture:
            small = picture.convert("RGB").resize(NETWORK_SIZE[::-1], Image.Resampling.BILINEAR)
        return network.to_input(np.array(small))[None]

    batch_13HW = decode().to(device)

    @torch.inference_mode()
    def forward(precision: torch.dtype) -> None:
        with torch.autocast(device, precision, enabled=precision != torch.float32):
            network(batch_13HW)

    parts: dict[str, Callable[[], object]] = {
        "decode": decode,
        "forward float32": partial(forward, torch.float32),
        "forward bfloat16": partial(forward, torch.bfloat16),
        "acquisition": partial(buy, device_CHW, count),
    }
    seconds = {}
    for name, run in parts.items():
        run()
        _wait_for(device)
        start = time.perf_counter()
        for _ in range(images):
            run()
        _wait_for(device)
        seconds[name] = (time.perf_counter() - start) / images
        print(f"{name:18} {1e3 * seconds[name]:9.1f} ms {1 / seconds[name]:9.1f} images/s")
    for precision in ("float32", "bfloat16"):
        total = seconds["decode"] + seconds[f"forward {precision}"] + seconds["acquisition"]
        print(f"figure: acquisition_share_{precision} {seconds['acquisition'] / total:.3f}")


def _wait_for(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def on_cuda() -> None:
    """Whether the purchases are those of the CPU, images per second of acquisition, and its share of a round."""
    logits_CHW = correlated_logits(NUM_CLASSES, NETWORK_SIZE)
    device_CHW = logits_CHW.cuda()
    for percent in ("2.2", "5"):
        count = count_of(percent)
        score_HW = score(device_CHW, LABEL_SIZE, "region", 1)
        same = [select(scores, NOTHING, count, 2)[0].tolist() for scores in (score_HW, score_HW.cpu())]
        assert same[0] == same[1], "the device selects differently, given the same scores"
        bought = [{tuple(centre) for centre in buy(given, count)[0].tolist()} for given in (logits_CHW, device_CHW)]
        images = 20
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(images):
            buy(device_CHW, count)
        rate = images / (time.perf_counter() - start)
        print(f"{percent} %: {len(bought[0] & bought[1])} of {count} centres are those of the CPU's own scores")
        print(f"figure: acquisition_cuda_{percent} {rate:.1f}")
    describe_round("cuda")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    if parser.parse_args().device == "cuda":
        on_cuda()
    else:
        on_cpu()
