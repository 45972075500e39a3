"""On a GPU: steps that are one CUDA graph have the losses of steps that are not."""

from pathlib import Path

import pytest
import torch

from ripu_ray.config import load_config
from tests.conftest import TINY
from tests.running import trained

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.filterwarnings("ignore")  # of torch.compile itself
@pytest.mark.parametrize("more", [(), ("training.compile=true",), ("training.precision=bfloat16",)])
def test_a_graph_has_the_losses_of_its_steps(tmp_path: Path, more: tuple[str, ...]) -> None:
    expected, found = (
        trained(
            load_config(None, (*TINY, "cluster.scorers=0", "cluster.gpu=true", *more, graph)),
            tmp_path / f"{graph}.pt",
            num_steps=20,
        )[1]
        for graph in ("training.cuda_graph=false", "training.cuda_graph=true")
    )
    assert found == pytest.approx(expected, rel=2e-2 if "bfloat16" in str(more) else 1e-3)
