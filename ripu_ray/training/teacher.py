"""The teacher: a moving average of the weights. The network learns its confident predictions, in strong views.

N images: those of this worker, and those that are pasted into them, which another worker may have. B: those of this
worker. V = NUM_VIEWS * B strong views, all images under the first view, then all under the second.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ripu_ray.config import TrainingConfig
from ripu_ray.core.losses import LossTerm
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.models.protocol import Network
from ripu_ray.training.augmentation import Uint8, recolour
from ripu_ray.training.logits import predict
from ripu_ray.training.named_labels import Labels

DECAY = 0.996
"""Of the average without `training.ema`. Source: UniMatch V2, as are all numbers here; but in the first steps, the
decay is that of `update_average`, which is smaller than UniMatch V2's min(1 - 1 / (t + 1), 0.996)."""
NUM_VIEWS = 2
_JITTER, _GREY_CHANCE, _BLUR_CHANCE = 0.5, 0.2, 0.5
_BOX_CHANCE, _BOX_AREA, _BOX_RATIO = 0.5, (0.02, 0.4), (0.3, 1 / 0.3)


@dataclass(frozen=True)
class Views:
    """What teacher and network see of a target batch.

    Attributes:
        weak_NHW3: (N, h, w, 3) uint8.
        labels_NHW: (N, H, W) uint8 bought labels.
        own_V, pasted_V: (V,) int64, image of each strong view, and the one that is pasted into it.
        strong_VHW3: (V, h, w, 3) uint8.
        is_pasted_VHW: (V, H, W) bool, the pixels that are pasted.
        targets_VHW: (V, H, W) uint8 classes, set by `teach`.
    """

    weak_NHW3: Tensor
    labels_NHW: Tensor
    own_V: Tensor
    pasted_V: Tensor
    strong_VHW3: Tensor
    is_pasted_VHW: Tensor
    targets_VHW: Tensor | None = None

    def copied(self, copy: Callable[[Tensor], Tensor]) -> "Views":
        """Apply `copy` to all tensors."""
        tensors = {name: copy(tensor) for name, tensor in vars(self).items() if tensor is not None}
        return Views(**tensors)

    def mixed(self, values_NHW: Tensor) -> Tensor:
        """Values of the weak views as the strong views show them, (V, H, W)."""
        return torch.where(self.is_pasted_VHW, values_NHW[self.pasted_V], values_NHW[self.own_V])

    def loss(self, logits_VCHW: Tensor) -> LossTerm:
        """Cross-entropy to `targets_VHW`: the sum over confident pixels, the count of all that are not bought."""
        assert self.targets_VHW is not None
        targets_VHW = self.targets_VHW.long()
        total = F.cross_entropy(logits_VCHW, targets_VHW, ignore_index=IGNORE_LABEL, reduction="sum")
        return LossTerm(total, (self.mixed(self.labels_NHW) == IGNORE_LABEL).sum())


def make_views(
    weak: Sequence[Uint8],
    labels: Sequence[Labels],
    pairs: Sequence[tuple[int, int]],
    rng: Callable[[int, str], np.random.Generator],
) -> Views:
    """Draw the strong views of a batch.

    Args:
        weak: N images (h, w, 3).
        labels: N label maps (H, W).
        pairs: of each image of this worker, its index and that of the image to paste.
        rng: (index of an image, purpose) -> a generator of this step.
    """
    strong, masks = [], []
    size = labels[0].shape
    for view in range(NUM_VIEWS):
        coloured = [
            recolour(image, _JITTER, _GREY_CHANCE, _BLUR_CHANCE, rng(index, f"strong {view}"))
            for index, image in enumerate(weak)
        ]
        for own, pasted in pairs:
            box = draw_box(rng(own, f"box {view}"))
            inside_HW = in_box(box, weak[own].shape[:2])
            strong.append(np.where(inside_HW[:, :, None], coloured[pasted], coloured[own]))
            masks.append(in_box(box, size))
    own_B, pasted_B = (torch.tensor(column) for column in zip(*pairs, strict=True))
    return Views(
        weak_NHW3=torch.from_numpy(np.stack(weak)),
        labels_NHW=torch.from_numpy(np.stack(labels)),
        own_V=own_B.repeat(NUM_VIEWS),
        pasted_V=pasted_B.repeat(NUM_VIEWS),
        strong_VHW3=torch.from_numpy(np.stack(strong)),
        is_pasted_VHW=torch.from_numpy(np.stack(masks)),
    )


def draw_box(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Top, bottom, left and right of a CutMix box, as shares of height and width; zeros for no box."""
    if rng.random() >= _BOX_CHANCE:
        return 0.0, 0.0, 0.0, 0.0
    area = rng.uniform(*_BOX_AREA)
    while True:
        ratio, top, left = rng.uniform(*_BOX_RATIO), rng.random(), rng.random()
        bottom, right = top + math.sqrt(area * ratio), left + math.sqrt(area / ratio)
        if bottom <= 1 and right <= 1:
            return top, bottom, left, right


def in_box(box: tuple[float, float, float, float], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """(H, W) bool: the pixels whose centres are inside the box; it fits pictures of one scene at any size."""
    top, bottom, left, right = box
    rows, cols = ((np.arange(side) + 0.5) / side for side in size)
    rows_H, cols_W = (rows >= top) & (rows < bottom), (cols >= left) & (cols < right)
    return rows_H[:, None] & cols_W


@torch.no_grad()
def teach(teacher: Network, training: TrainingConfig, views: Views) -> Views:
    """Set the targets: the teacher's class where it is at least `teacher_threshold` sure and nothing is bought."""
    logits_NCHW = predict(teacher, training, views.weak_NHW3, views.labels_NHW.shape[-2:])
    sure_NHW, classes_NHW = logits_NCHW.softmax(1).max(1)
    open_NHW = (sure_NHW >= training.teacher_threshold) & (views.labels_NHW == IGNORE_LABEL)
    return replace(views, targets_VHW=views.mixed(torch.where(open_NHW, classes_NHW, IGNORE_LABEL).byte()))
