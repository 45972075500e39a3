"""What was chosen, image by image, and packed for the wire and the ledger."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Selection:
    """The regions chosen in one image in one round, best first.

    Attributes:
        image_id: which image.
        centres_N2: (n, 2) uint16, row and column in label pixels.
        scores_N: (n,) float32.
        pixels_N: (n,) uint32, pixels of each region inside the image.
        void_pixels_N: (n,) uint32, those of them for which the oracle has no class.
    """

    image_id: str
    centres_N2: NDArray[np.uint16]
    scores_N: NDArray[np.float32]
    pixels_N: NDArray[np.uint32]
    void_pixels_N: NDArray[np.uint32]


@dataclass(frozen=True)
class PackedSelections:
    """The selections of several images in flat arrays: 10 bytes a region of up to 255 pixels, 12 up to 65,535."""

    counts_B: NDArray[np.int32]
    centres_N2: NDArray[np.uint16]
    scores_N: NDArray[np.float32]
    pixels_N: NDArray[np.unsignedinteger[Any]]
    void_pixels_N: NDArray[np.unsignedinteger[Any]]

    @classmethod
    def pack(cls, selections: Sequence[Selection]) -> "PackedSelections":
        """Put selections one behind the other."""
        pixels = np.concatenate([selection.pixels_N for selection in selections])
        narrow = np.min_scalar_type(int(pixels.max(initial=0)))
        return cls(
            np.array([len(selection.centres_N2) for selection in selections], np.int32),
            np.concatenate([selection.centres_N2 for selection in selections]),
            np.concatenate([selection.scores_N for selection in selections]),
            pixels.astype(narrow),
            np.concatenate([selection.void_pixels_N for selection in selections]).astype(narrow),
        )

    def unpack(self, image_ids: Sequence[str]) -> Iterator[Selection]:
        """Take them apart again; `image_ids` in the order of `pack`."""
        stops = np.cumsum(self.counts_B)
        for image_id, stop, count in zip(image_ids, stops, self.counts_B, strict=True):
            part = slice(stop - count, stop)
            yield Selection(
                image_id,
                self.centres_N2[part],
                self.scores_N[part],
                self.pixels_N[part].astype(np.uint32),
                self.void_pixels_N[part].astype(np.uint32),
            )
