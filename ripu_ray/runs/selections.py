"""The selected regions of each image, and their compact form for transfer and for the ledger."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Selection:
    """The selected regions of one image in one round, best first.

    Attributes:
        image_id: of the image.
        centres_N2: (n, 2) uint16, row and column in label pixels.
        scores_N: (n,) float32, the scores of the ranking.
        pixels_N: (n,) uint32, pixels of each region inside the image.
        void_pixels_N: (n,) uint32, void pixels among them.
        boundary_pixels_N: (n,) uint32, the length of the class boundaries inside each region.
        class_pixels_MC: (m, C) labelled pixels of each class. With a budget for the whole pool, m = n: one row for each
            region, since only the first regions may be bought. Otherwise m = 1: one row for all regions.
        clicks_N: (n,) uint32, the price of each answer in clicks; empty for masks, which have one each.
        named_NC: (n, C) bool, the classes that the annotator names in each region; empty for masks.
    """

    image_id: str
    centres_N2: NDArray[np.uint16]
    scores_N: NDArray[np.float32]
    pixels_N: NDArray[np.uint32]
    void_pixels_N: NDArray[np.uint32]
    boundary_pixels_N: NDArray[np.uint32]
    class_pixels_MC: NDArray[np.integer[Any]]
    clicks_N: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    named_NC: NDArray[np.bool_] = field(default_factory=lambda: np.empty((0, 0), np.bool_))

    def first(self, count: int) -> "Selection":
        """The best `count` regions; `class_pixels_MC` must have a row for each region."""
        arrays = {name: value[:count] for name, value in vars(self).items() if name != "image_id"}
        return Selection(self.image_id, **arrays)


@dataclass(frozen=True)
class PackedSelections:
    """The selections of several images in flat arrays: 11 bytes per region of up to 127 pixels, 14 up to 32,767."""

    counts_B: NDArray[np.int32]
    centres_N2: NDArray[np.uint16]
    scores_N: NDArray[np.float32]
    pixels_N: NDArray[np.unsignedinteger[Any]]
    void_pixels_N: NDArray[np.unsignedinteger[Any]]
    boundary_pixels_N: NDArray[np.unsignedinteger[Any]]
    class_rows_B: NDArray[np.int32]
    class_pixels_MC: NDArray[np.unsignedinteger[Any]]
    clicks_N: NDArray[np.unsignedinteger[Any]]
    named_NC: NDArray[np.bool_]

    @classmethod
    def pack(cls, selections: Sequence[Selection]) -> "PackedSelections":
        """Concatenate selections."""

        def narrow(arrays: list[NDArray[Any]]) -> NDArray[np.unsignedinteger[Any]]:
            joined = np.concatenate(arrays)
            return joined.astype(np.min_scalar_type(int(joined.max(initial=0))))

        return cls(
            np.array([len(selection.centres_N2) for selection in selections], np.int32),
            np.concatenate([selection.centres_N2 for selection in selections]),
            np.concatenate([selection.scores_N for selection in selections]),
            narrow([selection.pixels_N for selection in selections]),
            narrow([selection.void_pixels_N for selection in selections]),
            narrow([selection.boundary_pixels_N for selection in selections]),
            np.array([len(selection.class_pixels_MC) for selection in selections], np.int32),
            narrow([selection.class_pixels_MC for selection in selections]),
            narrow([selection.clicks_N for selection in selections]),
            np.concatenate([selection.named_NC for selection in selections]),
        )

    def unpack(self, image_ids: Sequence[str]) -> Iterator[Selection]:
        """Split them again; `image_ids` in the order of `pack`."""
        stops = np.cumsum(self.counts_B)
        class_pixels = np.split(self.class_pixels_MC, np.cumsum(self.class_rows_B)[:-1])
        for image_id, stop, count, class_pixels_MC in zip(image_ids, stops, self.counts_B, class_pixels, strict=True):
            part = slice(stop - count, stop)
            yield Selection(
                image_id,
                self.centres_N2[part],
                self.scores_N[part],
                self.pixels_N[part].astype(np.uint32),
                self.void_pixels_N[part].astype(np.uint32),
                self.boundary_pixels_N[part].astype(np.uint32),
                class_pixels_MC,
                self.clicks_N[part].astype(np.uint32),
                self.named_NC[part],
            )
