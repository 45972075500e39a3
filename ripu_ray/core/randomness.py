"""Random numbers that depend on what they are for, never on who draws them."""

import hashlib

import numpy as np


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A generator of its own for each purpose.

    Args:
        seed: of the run.
        purpose: what the numbers are for, such as ("random", round, image id); the order matters, and 1 is not "1".

    Returns:
        PCG64 seeded with the SHA-256 of all parts: the same on every worker and platform.
    """
    # repr quotes and escapes texts, so no two lists of parts share one text
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
