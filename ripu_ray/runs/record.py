"""The record of a committed round."""

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator

Losses = dict[str, float]
"""Mean of each loss over the steps of a phase, and "total"."""

Share = Annotated[float, BeforeValidator(lambda value: float("nan") if value is None else value)]
"""In [0, 1], or NaN, which is null in JSON."""


@dataclass(frozen=True)
class RoundRecord:
    """The results of a committed round. Equal runs give equal records, so it contains no times.

    Attributes:
        round: 0-based; -1 is the source-only warm-up, before anything is bought.
        step: optimiser updates so far.
        budget_pixels: pixels that may be bought over all rounds in the pool, rounded down by image unless the images
            share the budget; 0 in the warm-up.
        spent_pixels, void_pixels, clipped_pixels, clicks: so far, over the pool.
        spent_share: spent_pixels over the pool's pixels, in [0, 1].
        boundary_pixels: length of the outlines inside what was bought so far.
        annotation_s: seconds of annotation so far, by `oracle.cost`.
        bought: class name -> labelled pixels bought so far, by the true labels.
        miou, accuracy: on the validation split, in [0, 1]; NaN without validation images.
        iou: class name -> IoU in [0, 1]; None for a class that is neither labelled nor predicted.
        losses: means over the round's steps.
        signals: of predictions on a fixed sample of the pool, without labels, if `stopping` asks for them: "kappa" and
            "changed", against the round before, and "uncertainty" of what is not bought.
        purchase_sha256, weights_sha256: digests of the round's files; empty where there is none.
    """

    round: int
    step: int
    budget_pixels: int
    spent_pixels: int
    void_pixels: int
    clipped_pixels: int
    clicks: int
    spent_share: float
    miou: Share
    accuracy: Share
    iou: dict[str, float | None]
    losses: Losses
    purchase_sha256: str
    weights_sha256: str
    boundary_pixels: int
    annotation_s: float
    bought: dict[str, int]
    signals: dict[str, float] = field(default_factory=dict)

    @property
    def labelled_share(self) -> float | None:
        """Share of the bought pixels that have a label, in [0, 1]; None before the first purchase."""
        return 1 - self.void_pixels / self.spent_pixels if self.spent_pixels else None

    def to_tree(self) -> dict[str, Any]:
        """The record as JSON: NaN, which JSON does not have, as None, and no signals where none are monitored."""
        tree = {key: None if value != value else value for key, value in asdict(self).items()}
        if not self.signals:
            del tree["signals"]
        return tree
