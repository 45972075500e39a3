"""The peak of training on a device: its fastest product of matrices, and the network's operations per image."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

import torch

from ripu_ray.config import TrainingConfig
from ripu_ray.models.protocol import Network

_SIZE, _REPETITIONS = 4096, 20
"""Of the product of matrices. The matrices take 200 MB in float32."""
_PASSES = 3
"""A backward pass has about twice the operations of a forward pass: the gradients of inputs and of weights."""


def images_at_peak(network: Network, training: TrainingConfig, height: int, width: int) -> float:
    """Images per second that training would reach if it ran as fast as a product of matrices in the same precision.

    Args:
        network: on its device; its mode, weights and buffers are left as they are.
        training: gives the precision.
        height, width: of an image in pixels.

    Returns:
        The number for one worker; 0 if the network's operations cannot be counted, or memory is short.
    """
    device = next(network.parameters()).device
    dtype = torch.bfloat16 if training.precision == "bfloat16" else torch.float32
    with suppress(Exception):  # the network may be a user's, and may accept no single blank image; memory may be short
        operations = _PASSES * forward_operations(network, torch.zeros(1, height, width, 3, dtype=torch.uint8))
        return operations_per_second(device, dtype) / operations
    return 0.0


def forward_operations(network: Network, images_BHW3: torch.Tensor) -> int:
    """Floating-point operations of a forward pass, as torch counts them: those of convolutions and products."""
    from torch.utils.flop_counter import FlopCounterMode

    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            # `network(...)` may be compiled, which hides the operations.
            network.forward(network.to_input(images_BHW3, next(network.parameters()).device))
    finally:
        for module, mode in modes:
            module.training = mode
    return int(counter.get_total_flops())


@cache
def operations_per_second(device: torch.device, dtype: torch.dtype, size: int = _SIZE) -> float:
    """Floating-point operations per second of a product of two square matrices with `size` rows."""
    left, right = (torch.ones(size, size, device=device, dtype=dtype) for _ in range(2))
    with _precision_of_convolutions():
        for repetitions in (3, _REPETITIONS):  # the first ones choose the kernel
            _wait(device)
            start_s = time.perf_counter()
            for _ in range(repetitions):
                torch.mm(left, right)
            _wait(device)
            elapsed_s = time.perf_counter() - start_s
    return 2 * size**3 * _REPETITIONS / elapsed_s


@contextmanager
def _precision_of_convolutions() -> Iterator[None]:
    """Let products of float32 matrices use TF32 if convolutions do, as they do by default."""
    products = torch.backends.cuda.matmul
    before = products.allow_tf32
    products.allow_tf32 = torch.backends.cudnn.allow_tf32
    try:
        yield
    finally:
        products.allow_tf32 = before


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
