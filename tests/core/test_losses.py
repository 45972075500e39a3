"""Losses: gradients, empty sets, and sums that add across workers. The values are golden: test_golden.py."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ripu_ray.core.losses import (
    LossTerm,
    boundary,
    consistency,
    cross_entropy,
    dense_neighbour_mean,
    negative_learning,
    plain_boundary,
    plain_consistency,
    plain_negative_learning,
)
from ripu_ray.core.metrics import IGNORE_LABEL

Loss = Callable[[Tensor, Tensor], LossTerm]
LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "consistency_l1": consistency,
    "consistency_kl": lambda logits, labels: consistency(logits, labels, "kl"),
    "negative_learning": lambda logits, labels: negative_learning(logits, 0.2),
}


def problem(seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Logits (3, 4, 11, 7) that want a gradient, and labels with void and boundaries."""
    drawn = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(3, 4, 11, 7, generator=drawn, dtype=dtype)
    labels = torch.randint(4, (3, 3, 2), generator=drawn).repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :11, :7]
    return logits.requires_grad_(), labels.masked_fill(torch.rand(3, 11, 7, generator=drawn) < 0.1, IGNORE_LABEL)


def gradient(value: Tensor, logits: Tensor) -> Tensor:
    return torch.autograd.grad(value, logits)[0]


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_the_finite_difference(name: str) -> None:
    logits, labels = problem(dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda logits: LOSSES[name](logits, labels).mean(), (logits,), atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_sums_and_counts_add_across_workers(name: str) -> None:
    logits, labels = problem()
    whole, parts = LOSSES[name](logits, labels), [LOSSES[name](logits[i : i + 1], labels[i : i + 1]) for i in range(3)]
    total, count = sum(part.total for part in parts), sum(part.count for part in parts)
    assert isinstance(total, Tensor)
    assert whole.count == count
    assert not whole.count.requires_grad
    torch.testing.assert_close(total / count, whole.mean())
    torch.testing.assert_close(gradient(total / count, logits), gradient(whole.mean(), logits))


@pytest.mark.parametrize("name", ["cross_entropy", "consistency_l1", "consistency_kl"])
def test_without_a_term_the_mean_and_its_gradient_are_0(name: str) -> None:
    logits, labels = problem()
    term = LOSSES[name](logits, torch.full_like(labels, IGNORE_LABEL))
    assert (term.count.item(), term.mean().item()) == (0, 0)
    assert (gradient(term.mean(), logits) == 0).all()


def test_negative_learning_without_a_term_is_0() -> None:
    logits = torch.zeros(1, 4, 5, 5, requires_grad=True)
    term = negative_learning(logits, 0.05)
    assert term.count == 0
    assert term.mean().item() == pytest.approx(0, abs=1e-10)
    assert (gradient(term.mean(), logits) == 0).all()


@pytest.mark.parametrize("threshold", [0.05, 0.25, 0.9])
@pytest.mark.parametrize("size", [(5, 6), (8, 9), (21, 4)])
def test_negative_learning_is_the_plain_version(size: tuple[int, int], threshold: float) -> None:
    logits = (3 * torch.randn(2, 6, *size, generator=torch.Generator().manual_seed(1))).requires_grad_()
    value, plain = negative_learning(logits, threshold).mean(), plain_negative_learning(logits, threshold)
    torch.testing.assert_close(value, plain, rtol=1e-5, atol=0)
    expected = gradient(plain, logits)
    torch.testing.assert_close(gradient(value, logits), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_the_threshold_itself_is_not_below_it() -> None:
    assert negative_learning(torch.zeros(1, 4, 2, 2), 0.25).count == 0
    assert negative_learning(torch.zeros(1, 4, 2, 2), 0.2500001).count == 16


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (12, 17)])
def test_consistency_is_the_plain_version_up_to_the_borders(size: tuple[int, int]) -> None:
    drawn = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 3, *size, generator=drawn).requires_grad_()
    labels = torch.randint(3, (2, *size), generator=drawn)
    value, plain = consistency(logits, labels).mean(), plain_consistency(logits, labels)
    if plain.isnan():
        assert value == 0
        return
    torch.testing.assert_close(value, plain, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(gradient(value, logits), gradient(plain, logits), rtol=0, atol=1e-5)


def test_boundary_is_where_the_laplacian_is_not_0() -> None:
    labels = problem(3)[1]
    assert torch.equal(boundary(labels), plain_boundary(labels))
    assert torch.equal(boundary(labels.byte()), plain_boundary(labels))


def test_any_memory_layout_and_no_gradient_wanted() -> None:
    logits, labels = problem()
    strided = logits.detach().contiguous(memory_format=torch.channels_last)
    for loss in LOSSES.values():
        torch.testing.assert_close(loss(strided, labels).mean(), loss(logits, labels).mean().detach())


def test_a_nan_is_not_hidden() -> None:
    logits = torch.zeros(1, 3, 4, 4)
    logits[0, 0, 0, 0] = torch.nan
    assert negative_learning(logits, 0.05).mean().isnan()


def test_what_a_gpu_computes_is_the_same_loss() -> None:
    logits, labels = problem(dtype=torch.float64)
    p = torch.softmax(logits, dim=1)
    dense = ((p - dense_neighbour_mean(p)).abs().sum(dim=1) * boundary(labels)).sum()
    sparse = consistency(logits, labels).total
    torch.testing.assert_close(dense, sparse)
    torch.testing.assert_close(gradient(dense, logits), gradient(sparse, logits))
    # The backend that compiles nothing; inside, the definition takes the place of the strips.
    compiled = torch.compile(lambda logits: tuple(negative_learning(logits, 0.2)), backend="eager")(logits)
    expected = negative_learning(logits, 0.2)
    assert compiled[1] == expected.count
    torch.testing.assert_close(compiled[0], expected.total)
    torch.testing.assert_close(gradient(compiled[0], logits), gradient(expected.total, logits))
