"""The run-length code of Label Studio's brush: a bit stream over the RGBA values of an image, row by row.

Own code: label-studio-sdk, which has it, would replace numpy by an older version
(docs/decisions/0007-annotation-formats.md). Source: label_studio_sdk/converter/brush.py and thi.ng/rle-pack: 32 bits
number of values, 5 bits word size - 1, 4 x 4 bits run sizes - 1, then blocks: 1 bit is-run, 2 bits which run size, the
length - 1 in that many bits, and one value, or as many values as the length says.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ripu_ray.annotation.masks import Size

_WORD = 8
_SIZES = (3, 4, 8, 16)


def encode(mask_HW: NDArray[np.bool_]) -> list[int]:
    """The bytes of a mask: each pixel is four values of 0 or 255."""
    flat = mask_HW.ravel()
    edges = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    bits = [f"{4 * flat.size:032b}", f"{_WORD - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    longest = 1 << _SIZES[-1]
    for start, stop in pairwise(edges):
        left = 4 * (stop - start)
        while left:
            length = min(left, longest)
            index = next(i for i, size in enumerate(_SIZES) if length <= 1 << size)
            bits.append(f"1{index:02b}{length - 1:0{_SIZES[index]}b}{255 * int(flat[start]):08b}")
            left -= length
    stream = "".join(bits)
    stream += "0" * (-len(stream) % 8)
    return [int(stream[place : place + 8], 2) for place in range(0, len(stream), 8)]


def decode(code: object, size: Size) -> NDArray[np.bool_]:
    """The mask of a code: pixels whose fourth value is not 0.

    Args:
        code: list of bytes.
        size: (H, W) of the image.

    Raises:
        ValueError: not a code of an image of this size.
    """
    if not isinstance(code, list) or not all(type(byte) is int and 0 <= byte < 256 for byte in code):
        raise ValueError("a brush without a list of bytes")
    reader, total = _Bits(bytes(code)), 4 * size[0] * size[1]
    if (found := reader.take(32)) != total:
        raise ValueError(f"a brush of {found} values: expected {total}, 4 of each pixel")
    word = reader.take(5) + 1
    sizes = [reader.take(4) + 1 for _ in range(4)]
    parts: list[NDArray[np.bool_]] = []
    done = 0
    while done < total:
        is_run = reader.take(1)
        length = reader.take(sizes[reader.take(2)]) + 1
        if done + length > total:
            raise ValueError("a brush with more values than its image")
        if is_run:
            parts.append(np.full(length, reader.take(word) > 0))
        else:
            parts.append(np.array([reader.take(word) > 0 for _ in range(length)]))
        done += length
    return np.concatenate(parts).reshape(*size, 4)[..., 3]


class _Bits:
    """Reads whole numbers from a stream of bits, the most significant bit first."""

    def __init__(self, content: bytes) -> None:
        self._content, self._place = content, 0

    def take(self, count: int) -> int:
        """The next `count` bits. Raises ValueError: the stream ends before."""
        first, stop = self._place, self._place + count
        if stop > 8 * len(self._content):
            raise ValueError("a brush that is cut off")
        self._place = stop
        last = -(-stop // 8)
        value = int.from_bytes(self._content[first // 8 : last], "big") >> (8 * last - stop)
        return value & ((1 << count) - 1)
