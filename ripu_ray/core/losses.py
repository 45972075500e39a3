"""The losses, as separate sums and counts, from which workers that share a batch compute its exact mean.

Shapes: B batch, C classes, H x W pixels, n rows of a strip, D pixels near a boundary, K the 9 pixels of a 3x3 window.
"""

from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.core.prediction import EPSILON
from ripu_ray.core.windows import sliding

_STRIP_ROWS = 64
"""Rows per strip on the CPU: the (C, n, W) buffers about fit into the cache. Fewer rows are 10 % faster on idle cores
and several times slower on busy ones, where each small operation on several threads waits for the slowest thread."""


class LossTerm(NamedTuple):
    """A loss before its mean is taken.

    Attributes:
        total: scalar sum over the terms, differentiable, of the logits' dtype.
        count: scalar number of terms, without gradient.
    """

    total: Tensor
    count: Tensor  # type: ignore[assignment]  # hides tuple.count, which is not used

    def mean(self) -> Tensor:
        """total / count; 0, with gradient 0, if the count is 0."""
        return self.total / self.count.clamp(min=1)


def cross_entropy(logits_BCHW: Tensor, labels_BHW: Tensor, weights_C: Tensor | None = None) -> LossTerm:
    """Cross-entropy of the labelled pixels.

    Args:
        logits_BCHW: (B, C, H, W) float32 or float64; half precision cannot represent 1 + 1e-6.
        labels_BHW: (B, H, W) uint8 or int64 class ids, or IGNORE_LABEL.
        weights_C: (C,) of the logits' dtype, factor of the pixels of each class; None: all are 1.

    Returns:
        Sum in nats, and number of labelled pixels, or the sum of their weights.

    Source: the supervised loss of RIPU.
    """
    labels_BHW = labels_BHW.long()
    total = F.cross_entropy(logits_BCHW, labels_BHW, weights_C, ignore_index=IGNORE_LABEL, reduction="sum")
    is_labelled_BHW = labels_BHW != IGNORE_LABEL
    if weights_C is None:
        return LossTerm(total, is_labelled_BHW.sum())
    return LossTerm(total, (weights_C[labels_BHW.clamp(max=len(weights_C) - 1)] * is_labelled_BHW).sum())


def partial_label(logits_BCHW: Tensor, set_BHW: Tensor, sets_SC: Tensor) -> LossTerm:
    """Loss of pixels of which a set of classes is known: -log of the sum of p over the set.

    For a set of one class it is the cross-entropy.

    Args:
        logits_BCHW: (B, C, H, W) float32 or float64.
        set_BHW: (B, H, W) int32 or int64, the set of each pixel.
        sets_SC: (S, C) bool, the classes of each set; pixels of an empty set are not labelled.

    Returns:
        Sum in nats, and number of labelled pixels.

    Source: the merged positive loss of arXiv 2309.09319, over all pixels of a region.
    """
    is_known_BHW = sets_SC.any(dim=1)[set_BHW.long()]
    pixels_D = is_known_BHW.view(-1).nonzero()[:, 0]
    rows_DC: Tensor = _PixelRows.apply(logits_BCHW, pixels_D)  # type: ignore[no-untyped-call]
    inside_DC = sets_SC[set_BHW.view(-1)[pixels_D].long()]
    likely_D = rows_DC.masked_fill(~inside_DC, -torch.inf).logsumexp(dim=1)
    return LossTerm((rows_DC.logsumexp(dim=1) - likely_D).sum(), is_known_BHW.sum())


def consistency(logits_BCHW: Tensor, labels_BHW: Tensor, kind: Literal["l1", "kl"] = "l1") -> LossTerm:
    """Distance of the prediction at label boundaries from the mean of its 3x3 neighbourhood.

    Args:
        logits_BCHW: (B, C, H, W) float32 or float64; half precision cannot represent 1 + 1e-6.
        labels_BHW: (B, H, W) uint8 or int64 class ids, or IGNORE_LABEL.
        kind: "l1": sum_c |p_c - mean_c|; "kl": sum_c p_c log(p_c / (mean_c + 1e-6) + 1e-6).

    Returns:
        Sum of the distances, and number of boundary pixels.

    Source: the consistency regularisation of RIPU, with boundary and padding of the reference implementation.
    """
    boundary_BHW = boundary(labels_BHW)
    if logits_BCHW.is_cuda:
        # Computed everywhere: a gather would make the GPU wait for the number of pixels.
        p_BCHW = torch.softmax(logits_BCHW, dim=1)
        distance_BHW = _distance(p_BCHW, dense_neighbour_mean(p_BCHW), kind).sum(dim=1)
        return LossTerm((distance_BHW * boundary_BHW).sum(), boundary_BHW.sum())
    pixels_D, neighbours_DK = _with_neighbours(boundary_BHW)
    rows_DC: Tensor = _PixelRows.apply(logits_BCHW, pixels_D)  # type: ignore[no-untyped-call]
    p_DC = torch.softmax(rows_DC, dim=1)
    mean_DC: Tensor = _NeighbourMean.apply(p_DC, neighbours_DK)  # type: ignore[no-untyped-call]
    total = _distance(p_DC, mean_DC, kind).sum(dim=1) @ boundary_BHW.view(-1)[pixels_D].to(p_DC.dtype)
    return LossTerm(total, boundary_BHW.sum())


def _distance(p: Tensor, mean: Tensor, kind: Literal["l1", "kl"]) -> Tensor:
    return (p - mean).abs() if kind == "l1" else p * torch.log(p / (mean + EPSILON) + EPSILON)


def dense_neighbour_mean(p_BCHW: Tensor) -> Tensor:
    """The mean of the 3x3 neighbourhood of every pixel, with replicate padding, (B, C, H, W)."""
    tall_BCHW = torch.cat([p_BCHW[:, :, :1], p_BCHW, p_BCHW[:, :, -1:]], dim=2)
    rows_BCHW = tall_BCHW[:, :, :-2] + tall_BCHW[:, :, 1:-1] + tall_BCHW[:, :, 2:]
    wide_BCHW = torch.cat([rows_BCHW[..., :1], rows_BCHW, rows_BCHW[..., -1:]], dim=3)
    return (wide_BCHW[..., :-2] + wide_BCHW[..., 1:-1] + wide_BCHW[..., 2:]) / 9


def plain_consistency(logits_BCHW: Tensor, labels_BHW: Tensor) -> Tensor:
    """The definition of the mean of `consistency` ("l1"), by dense convolutions and autograd; NaN without a term."""
    p_BCHW = torch.softmax(logits_BCHW, dim=1)
    ninth = torch.full((p_BCHW.shape[1], 1, 3, 3), 1 / 9, dtype=p_BCHW.dtype)
    mean_BCHW = F.conv2d(F.pad(p_BCHW, (1, 1, 1, 1), mode="replicate"), ninth, groups=len(ninth))
    return (p_BCHW - mean_BCHW).abs().sum(dim=1)[plain_boundary(labels_BHW)].mean()


def boundary(labels_BHW: Tensor) -> Tensor:
    """Class boundaries: pixels that are not void and whose 8-neighbour Laplacian of the zero-padded label map is not 0.

    Args:
        labels_BHW: (B, H, W) uint8 or int64.

    Returns:
        (B, H, W) bool.
    """
    labels_BHW = labels_BHW.short()
    around_BHW = sliding(sliding(F.pad(labels_BHW, (1, 1, 1, 1)), 1, 3, torch.add), 2, 3, torch.add)
    return (around_BHW != 9 * labels_BHW) & (labels_BHW != IGNORE_LABEL)


def plain_boundary(labels_BHW: Tensor) -> Tensor:
    """The definition of `boundary`, by a convolution."""
    kernel = torch.full((1, 1, 3, 3), -1.0)
    kernel[0, 0, 1, 1] = 8.0
    laplacian_BHW = F.conv2d(labels_BHW[:, None].float(), kernel, padding=1)[:, 0]
    return (laplacian_BHW != 0) & (labels_BHW != IGNORE_LABEL)


def negative_learning(logits_BCHW: Tensor, threshold: float) -> LossTerm:
    """Loss of improbable classes: -log(1 - p + 1e-6) where p is below the threshold.

    Args:
        logits_BCHW: (B, C, H, W) float32 or float64; half precision cannot represent 1 + 1e-6.
        threshold: in (0, 1); the choice of (pixel, class) pairs has no gradient.

    Returns:
        Sum in nats, and number of chosen pairs.

    Source: the negative learning of RIPU.
    """
    if torch.compiler.is_compiling():  # the compiler makes one pass of the definition
        p_BCHW = torch.softmax(logits_BCHW, dim=1)
        is_chosen_BCHW = p_BCHW.detach() < threshold
        terms_BCHW = torch.where(is_chosen_BCHW, -torch.log(1 - p_BCHW + EPSILON), 0.0)
        return LossTerm(terms_BCHW.sum(), is_chosen_BCHW.sum())
    total, count = _NegativeLearning.apply(logits_BCHW, threshold)  # type: ignore[no-untyped-call]
    return LossTerm(total, count)


def plain_negative_learning(logits_BCHW: Tensor, threshold: float) -> Tensor:
    """The definition of the mean of `negative_learning`, by autograd; NaN without a term."""
    p_BCHW = torch.softmax(logits_BCHW, dim=1)
    return -torch.log(1 - p_BCHW[p_BCHW.detach() < threshold] + EPSILON).mean()


def _with_neighbours(boundary_BHW: Tensor) -> tuple[Tensor, Tensor]:
    """The pixels of the boundary's 3x3 windows, and the positions in that list of each pixel's own window.

    Returns:
        (D,) int64 flat pixels, and (D, 9) int64 positions in that list, D for a pixel that is not in it. Windows use
        replicate padding.
    """
    height, width = boundary_BHW.shape[1:]
    padded = F.pad(boundary_BHW.view(torch.uint8), (1, 1, 1, 1))
    near_BHW = sliding(sliding(padded, 1, 3, torch.maximum), 2, 3, torch.maximum)
    image_D, row_D, col_D = near_BHW.nonzero(as_tuple=True)
    step = torch.arange(-1, 2, device=boundary_BHW.device)
    rows_D3 = (row_D[:, None] + step).clamp_(0, height - 1) + image_D[:, None] * height
    cols_D3 = (col_D[:, None] + step).clamp_(0, width - 1)
    pixels_DK = (rows_D3[:, :, None] * width + cols_D3[:, None, :]).flatten(1)
    pixels_D = pixels_DK[:, 4]
    place = torch.full((boundary_BHW.numel(),), len(pixels_D), device=boundary_BHW.device)
    place[pixels_D] = torch.arange(len(pixels_D), device=boundary_BHW.device)
    return pixels_D, place[pixels_DK]


class _PixelRows(torch.autograd.Function):
    """(B, C, H, W) and distinct flat pixels (D,) -> (D, C): indexing whose gradient needs no accumulation."""

    @staticmethod
    def forward(ctx: Any, logits_BCHW: Tensor, pixels_D: Tensor) -> Tensor:
        ctx.save_for_backward(pixels_D)
        ctx.shape = logits_BCHW.shape
        image_D, inside_D = _split(pixels_D, logits_BCHW.shape)
        return logits_BCHW.flatten(2)[image_D, :, inside_D]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_DC: Tensor) -> tuple[Tensor, None]:
        gradient_BCHW = gradient_DC.new_zeros(ctx.shape)
        (pixels_D,) = ctx.saved_tensors
        image_D, inside_D = _split(pixels_D, ctx.shape)
        gradient_BCHW.flatten(2)[image_D, :, inside_D] = gradient_DC
        return gradient_BCHW, None


def _split(pixels_D: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    pixels_per_image = shape[2] * shape[3]
    return pixels_D // pixels_per_image, pixels_D % pixels_per_image


class _NeighbourMean(torch.autograd.Function):
    """Rows (D, C) -> the mean of each row's nine neighbours; absent ones count as 0.

    With replicate padding, membership in a window is symmetric, including repetitions. So the function is its own
    gradient.
    """

    @staticmethod
    def forward(ctx: Any, rows_DC: Tensor, neighbours_DK: Tensor) -> Tensor:
        ctx.save_for_backward(neighbours_DK)
        return _neighbour_mean(rows_DC, neighbours_DK)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_DC: Tensor) -> tuple[Tensor, None]:
        return _neighbour_mean(gradient_DC, *ctx.saved_tensors), None


def _neighbour_mean(rows_DC: Tensor, neighbours_DK: Tensor) -> Tensor:
    return F.embedding_bag(neighbours_DK, F.pad(rows_DC, (0, 0, 0, 1)), mode="sum") / 9


class _NegativeLearning(torch.autograd.Function):
    """Sum and gradient in one pass over strips that fit into the cache; only the gradient is saved."""

    @staticmethod
    def forward(ctx: Any, logits_BCHW: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
        num_images, num_classes, height, width = logits_BCHW.shape
        num_rows = _STRIP_ROWS if logits_BCHW.is_cpu else height
        total = torch.zeros((), dtype=torch.float64, device=logits_BCHW.device)
        num_likely = torch.zeros((), dtype=torch.int64, device=logits_BCHW.device)
        gradient_BCHW = torch.empty_like(logits_BCHW) if ctx.needs_input_grad[0] else None
        # The largest number below the threshold, since torch.threshold keeps values that are greater.
        below = torch.nextafter(
            torch.tensor(threshold, dtype=logits_BCHW.dtype), torch.zeros((), dtype=logits_BCHW.dtype)
        ).item()
        buffers = [logits_BCHW.new_empty(num_classes, num_rows, width) for _ in range(3)]
        for image in range(num_images):
            for top in range(0, height, num_rows):
                rows = slice(top, min(top + num_rows, height))
                p_CnW, unlikely_CnW, rest_CnW = (buffer[:, : rows.stop - top] for buffer in buffers)
                torch.softmax(rest_CnW.copy_(logits_BCHW[image, :, rows]), dim=0, out=p_CnW)
                likely_CnW = torch.threshold(p_CnW, below, 0.0, out=rest_CnW)
                num_likely += torch.count_nonzero(likely_CnW)
                torch.sub(p_CnW, likely_CnW, out=unlikely_CnW)
                torch.neg(unlikely_CnW, out=rest_CnW).add_(1).add_(EPSILON)
                if gradient_BCHW is not None:
                    # d(-log rest)/dp = 1 / rest; through the softmax: p (1 / rest - sum over classes of p / rest)
                    slope_CnW = unlikely_CnW.div_(rest_CnW)
                    p_CnW.mul_(slope_CnW.sum(dim=0))
                    torch.sub(slope_CnW, p_CnW, out=gradient_BCHW[image, :, rows])
                total -= rest_CnW.log_().sum()
        # Each likely class contributed -log(1 + epsilon) to the sum.
        one = logits_BCHW.new_ones(())
        total += num_likely * torch.log(one + EPSILON)
        if gradient_BCHW is not None:
            ctx.save_for_backward(gradient_BCHW)
        count = logits_BCHW.numel() - num_likely
        ctx.mark_non_differentiable(count)
        return total.to(logits_BCHW.dtype), count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None]:
        (gradient_BCHW,) = ctx.saved_tensors
        return gradient_BCHW * gradient, None
