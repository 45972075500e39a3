"""Negative learning and consistency, forward and backward, against the plain versions: [2, 19, 640, 1280], float32.

    python benchmarks/losses.py

Both run alternately in one process, 3 times, on one thread, the default of `cluster.threads`; values must agree.
Differences of gradients are printed, not asserted: where |p - mean| is 0 but for rounding, rounding decides its
slope, in the plain version, too.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import correlated_logits, interleaved
from ripu_ray.core.losses import (
    consistency,
    negative_learning,
    plain_boundary,
    plain_consistency,
    plain_negative_learning,
)

NUM_CLASSES, SIZE, THRESHOLD = 19, (640, 1280), 0.05


def both_ways(loss: Callable[[Tensor], Tensor], logits_BCHW: Tensor) -> tuple[float, Tensor]:
    """The loss and its gradient with respect to the logits."""
    leaf_BCHW = logits_BCHW.detach().requires_grad_()
    value = loss(leaf_BCHW)
    value.backward()  # type: ignore[no-untyped-call]
    assert leaf_BCHW.grad is not None
    return value.item(), leaf_BCHW.grad


def main() -> None:
    """The table and the figures of issue 3."""
    torch.set_num_threads(1)
    logits_BCHW = torch.stack([correlated_logits(NUM_CLASSES, SIZE, seed) for seed in (0, 1)])
    labels_BHW = torch.stack([correlated_logits(NUM_CLASSES, SIZE, seed).argmax(dim=0) for seed in (2, 3)]).byte()
    losses: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
        "negative_learning": (
            lambda logits: plain_negative_learning(logits, THRESHOLD),
            lambda logits: negative_learning(logits, THRESHOLD).mean(),
        ),
        "consistency": (
            lambda logits: plain_consistency(logits, labels_BHW),
            lambda logits: consistency(logits, labels_BHW).mean(),
        ),
    }
    figures = {}
    print(f"{float(plain_boundary(labels_BHW).float().mean()):.1%} boundary")
    for name, (plain, product) in losses.items():
        (value, gradient), (expected, expected_gradient) = (
            both_ways(product, logits_BCHW),
            both_ways(plain, logits_BCHW),
        )
        assert abs(value / expected - 1) < 1e-5, f"{name}: {value} against {expected}"
        far = (gradient - expected_gradient).abs() > 1e-5 * expected_gradient.abs().max()
        share = float(far.float().mean())
        del gradient, expected_gradient, far
        seconds = interleaved(
            {"plain": partial(both_ways, plain, logits_BCHW), "product": partial(both_ways, product, logits_BCHW)}
        )
        figures[name] = seconds["plain"] / seconds["product"]
        print(
            f"{name:20} {1e3 * seconds['plain']:8.0f} ms {1e3 * seconds['product']:8.0f} ms {figures[name]:6.1f} x   "
            f"{share:.0e} of the gradient's entries differ by more than 1e-5 of the largest"
        )
    for name, ratio in figures.items():
        print(f"figure: loss_{name} {ratio:.1f}")


if __name__ == "__main__":
    main()
