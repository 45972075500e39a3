"""Weights of rare classes: from the bought labels alone, and the same mean loss where there is one class."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from ripu_ray.config import Config, load_config
from ripu_ray.core.losses import cross_entropy
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.loading import open_domains
from ripu_ray.runs.grid import expand, warmup_key
from ripu_ray.simulation.local import LocalFineTuner
from ripu_ray.training.batches import Draw
from ripu_ray.training.job import TrainingJob
from ripu_ray.training.sampling import class_weights
from tests.conftest import TINY
from tests.running import ignore_steps, interrupt_third_step

WEIGHTED = (*TINY, "cluster.scorers=0", "training.class_weights=bought")


def _annotated(config: Config) -> dict[str, NDArray[np.int32]]:
    return {image_id: np.array([[9, 9], [20, 30]], np.int32) for image_id in open_domains(config.data).pool.image_ids}


@pytest.mark.parametrize(
    ("pixels", "weights"),
    [
        ([30, 10, 0], [1 / np.log(1.77), 1 / np.log(1.27), 1 / np.log(1.02)]),
        ([0, 9, 0], [1 / np.log(1.02), 1 / np.log(2.02), 1 / np.log(1.02)]),
        ([0, 0, 0], [1 / np.log(1.02)] * 3),
    ],
)
def test_weights_are_those_of_the_source(pixels: list[int], weights: list[float]) -> None:
    assert class_weights(np.array(pixels)).tolist() == pytest.approx(weights)


def test_the_loss_is_the_weighted_mean() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=rng)
    labels = torch.randint(0, 4, (2, 4, 5), generator=rng).byte()
    labels[labels == 3] = IGNORE_LABEL
    weights = torch.tensor([1.5, 2.0, 50.0])
    expected = F.cross_entropy(logits, labels.long(), weights, ignore_index=IGNORE_LABEL)
    torch.testing.assert_close(cross_entropy(logits, labels, weights).mean(), expected)
    single = labels.clone()
    single[labels != IGNORE_LABEL] = 1
    torch.testing.assert_close(cross_entropy(logits, single, weights).mean(), cross_entropy(logits, single).mean())
    nothing = torch.full_like(labels, IGNORE_LABEL)
    assert cross_entropy(logits, nothing, weights).mean() == 0


@pytest.mark.parametrize("missed", [0, 1])
def test_weights_come_from_the_answers_not_from_the_labels(missed: int) -> None:
    config = load_config(None, (*WEIGHTED, f"oracle.noise.missed_rate={missed}"))
    domains, annotated = open_domains(config.data), _annotated(config)
    counts = np.zeros(domains.classes.num_classes, np.int64)
    for image_id, centres in annotated.items():
        for row, col in [] if missed else centres.tolist():
            window = domains.pool.label(image_id)[row - 1 : row + 2, col - 1 : col + 2]
            counts += np.bincount(window.ravel(), minlength=256)[: len(counts)]
    found = Draw(config, domains, "cpu", annotated).class_weights()
    assert found is not None and found.tolist() == pytest.approx(class_weights(counts).tolist())
    assert Draw(config, domains, "cpu", None).class_weights() is None


def test_a_resumed_phase_is_the_phase_and_only_rounds_differ(tmp_path: Path) -> None:
    config = load_config(None, (*WEIGHTED, "training.checkpoint_every=1"))
    job = TrainingJob(config, 0, 3, None, tmp_path / "whole.pt", "round 0", _annotated(config))
    losses = LocalFineTuner(config).fit(job, ignore_steps)
    broken, other = (replace(job, output=tmp_path / name / "w.pt") for name in ("broken", "other"))
    broken.output.parent.mkdir()
    other.output.parent.mkdir()

    with pytest.raises(KeyboardInterrupt):
        LocalFineTuner(config).fit(broken, interrupt_third_step)
    assert LocalFineTuner(config).fit(broken, ignore_steps) == losses
    assert broken.output.read_bytes() == job.output.read_bytes()
    plain = load_config(None, (*TINY, "cluster.scorers=0"))
    assert LocalFineTuner(plain).fit(replace(other, config=plain), ignore_steps) != losses
    assert warmup_key(plain) == warmup_key(config) and "class_weights" not in plain.model_dump()["training"]
    arms = {"sweep.vary": ["training.class_weights=none,bought"], "sweep.acquisitions": ["ripu", "source_only"]}
    assert len(expand(load_config(None, TINY, arms))) == 3
