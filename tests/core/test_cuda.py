"""On a GPU: the same purchases given the same scores, the same losses but for rounding."""

import numpy as np
import pytest
import torch

from ripu_ray.config import Mode
from ripu_ray.core.losses import consistency, negative_learning
from ripu_ray.core.regions import Cells, grid_map
from ripu_ray.core.selection import select
from tests.core.golden import score

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
MODES: tuple[Mode, ...] = ("region", "pixel")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("radius", [1, 9])
def test_scores_agree_and_equal_scores_select_equally(radius: int, mode: Mode) -> None:
    logits_CHW, size = torch.randn(19, 40, 80), (64, 128)
    cpu, cuda = (score(logits, size, mode=mode, radius=radius) for logits in (logits_CHW, logits_CHW.cuda()))
    torch.testing.assert_close(cuda.cpu(), cpu, rtol=0, atol=1e-5)
    for values in (cpu, (10 * cpu).round()):
        found, expected = (select(on, np.zeros(size, np.bool_), 50, 2) for on in (values.cuda(), values))
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("acquisition", ["ripu", "random", "random_boundary", "class_reweighted", "margin"])
def test_cells_are_scored_where_the_logits_are(acquisition: str) -> None:
    logits_CHW, size = torch.randn(5, 12, 16), (24, 32)
    cpu, cuda = (
        score(logits, size, acquisition, mode="region", radius=2, regions=Cells(grid_map(size, 5)))
        for logits in (logits_CHW, logits_CHW.cuda())
    )
    assert cuda.is_cuda
    torch.testing.assert_close(cuda.cpu(), cpu, rtol=0, atol=1e-5)


def test_losses_agree() -> None:
    logits, labels = torch.randn(2, 5, 12, 17), torch.randint(5, (2, 12, 17))
    for term, other in (
        (negative_learning(logits, 0.1), negative_learning(logits.cuda(), 0.1)),
        (consistency(logits, labels), consistency(logits.cuda(), labels.cuda())),
    ):
        torch.testing.assert_close(other.mean().cpu(), term.mean(), rtol=1e-5, atol=0)
