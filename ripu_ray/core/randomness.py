"""Random numbers that depend on seed and purpose, not on the process that draws them."""

import hashlib

import numpy as np


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Create an independent generator for each purpose.

    Args:
        seed: of the run.
        purpose: identifies the use, such as ("random", round, image id); the order matters, and 1 differs from "1".

    Returns:
        PCG64 seeded with the SHA-256 of all parts: the same on every worker and platform.
    """
    # repr quotes and escapes strings, so different parts never give the same text.
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


def torch_seed(seed: int, *purpose: str | int) -> int:
    """A seed in [0, 2**63) for a generator of torch; see `generator`."""
    return int(generator(seed, *purpose).integers(2**63))
