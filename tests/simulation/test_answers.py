"""Answers cheaper than masks: what they cost, what is kept of them, and that training knows no more."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ripu_ray.config import Answer, Config, load_config
from ripu_ray.core.losses import cross_entropy, partial_label
from ripu_ray.core.oracle import Annotator
from ripu_ray.data.loading import open_domains
from ripu_ray.data.region_maps import RegionMaps
from ripu_ray.errors import ConfigError, RunFolderError
from ripu_ray.runs.grid import expand
from ripu_ray.runs.ledger import Ledger
from ripu_ray.simulation.preflight import check_trials
from ripu_ray.training.batches import Draw
from tests.conftest import TINY
from tests.running import committed, execute_trial, ignore, run_all

BY_CLASS = ("strategy.allocation=pool", "strategy.class_share=0.5")
NOISE = ("oracle.noise.flips=0.5", "oracle.noise.jitter_pixels=2", "oracle.noise.missed_rate=0.3")


def settle(*settings: str) -> Config:
    return load_config(None, (*TINY, "strategy.windows.region=5", "cluster.scorers=0", *settings))


def plainly_named(answer: str, mask_HW: NDArray[np.uint8], inside: Any) -> set[int]:
    """The answer to one region, by its definition."""
    values = mask_HW[inside].ravel()
    counts = {int(label): int((values == label).sum()) for label in np.unique(values) if label != 255}
    most = max(counts.values(), default=0)
    return {*counts} if answer == "multi_hot" else {*[label for label in counts if counts[label] == most][:1]}


@pytest.mark.parametrize(
    ("answer", "settings"),
    [
        ("multi_hot", NOISE),
        ("dominant", ("strategy.shape=grid", "strategy.allocation=pool", *NOISE)),
        pytest.param("dominant", (), marks=pytest.mark.slow),
        pytest.param("multi_hot", ("strategy.shape=superpixels", "training.source_free=true"), marks=pytest.mark.slow),
        pytest.param("multi_hot", (*BY_CLASS, "training.label_resolution=input"), marks=pytest.mark.slow),
    ],
)
def test_the_ledger_has_the_answers_and_training_sees_them_alone(
    tmp_path: Path, answer: Answer, settings: tuple[str, ...]
) -> None:
    config = settle(f"oracle.answer={answer}", *settings)
    run, masks = run_all(tmp_path / "run", config), run_all(tmp_path / "masks", settle(*settings))
    (trial_id,) = run.trials
    domains = open_domains(config.data)
    ledger = Ledger(run.trial(trial_id).path, domains.pool.image_ids, None, answer=answer)
    named, centres = ledger.named(), ledger.annotated()
    assert named is not None
    annotator = Annotator(config.oracle.noise, config.seed, domains.classes.num_classes)
    draw = Draw(config, domains, "cpu", centres, None, named)
    clicks, regions = 0, RegionMaps(config.strategy, domains.pool)
    for image_id in domains.pool.image_ids:
        label_HW = domains.pool.label(image_id)
        of_image = regions.of(image_id, label_HW.shape)
        mask_HW = annotator.mask(image_id, label_HW, centres[image_id], of_image)
        seen_HW = draw._annotation(image_id, centres[image_id])
        assert (seen_HW[~of_image.cover(centres[image_id])] == (0 if answer == "multi_hot" else 255)).all()
        for (row, col), named_C in zip(centres[image_id].tolist(), named[image_id], strict=True):
            inside = of_image.members(row, col)
            expected = plainly_named(answer, mask_HW, inside)
            assert set(np.flatnonzero(named_C).tolist()) == expected
            (value,) = np.unique(seen_HW[inside]).tolist()
            if answer == "multi_hot":
                assert draw._named is not None and draw._named.sets_SC is not None
                assert set(draw._named.sets_SC[value].nonzero()[:, 0].tolist()) == expected
            else:
                assert {value} - {255} == expected
            clicks += max(1, len(plainly_named(answer, label_HW, inside)))
    last, by_mask = (each.trial(trial_id).stage(1).read() for each in (run, masks))
    assert (last.clicks, last.boundary_pixels) == (clicks, 0)
    assert last.annotation_s == pytest.approx(2.4 * clicks)
    assert ("target_partial_label" in last.losses) == (answer == "multi_hot")
    first, first_by_mask = (each.trial(trial_id).stage(0).read() for each in (run, masks))
    # The same is bought in the first round, whatever is said of it, and the record counts by the true labels.
    assert (first.spent_pixels, first.void_pixels, first.bought) == (
        first_by_mask.spent_pixels,
        first_by_mask.void_pixels,
        first_by_mask.bought,
    )
    assert first.weights_sha256 != first_by_mask.weights_sha256
    assert last.spent_pixels <= last.budget_pixels == by_mask.budget_pixels
    before = committed(run)
    shutil.rmtree(run.trial(trial_id).path / "round_01")
    execute_trial(run, trial_id, ignore)
    assert committed(run) == before
    with pytest.raises(RunFolderError, match=r"classes bought, but oracle\.answer is mask"):
        Ledger(run.trial(trial_id).path, domains.pool.image_ids, None, answer="mask")


def test_the_partial_label_loss_is_its_definition() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    sets = torch.tensor([[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0], [1, 1, 1, 1]], dtype=torch.bool)
    chosen = torch.randint(0, 4, (2, 3, 5))
    term = partial_label(logits, chosen.int(), sets)
    p = logits.softmax(dim=1).permute(0, 2, 3, 1)
    expected = -(p * sets[chosen]).sum(dim=-1)[chosen > 0].log().sum()
    assert term.count == (chosen > 0).sum()
    torch.testing.assert_close(term.total, expected)
    torch.testing.assert_close(*(torch.autograd.grad(x, logits, retain_graph=True) for x in (term.total, expected)))
    single = torch.cat([torch.zeros(1, 4, dtype=torch.bool), torch.eye(4, dtype=torch.bool)])
    labels = torch.randint(0, 4, (2, 3, 5))
    torch.testing.assert_close(partial_label(logits, labels + 1, single).total, cross_entropy(logits, labels).total)
    assert partial_label(logits, torch.zeros_like(labels), single).mean() == 0


def test_answers_that_say_nothing_new_or_too_little() -> None:
    vary = {"sweep.modes": ["region", "pixel"], "sweep.vary": {"oracle.answer": ["dominant", "mask", "multi_hot"]}}
    trials = expand(load_config(None, TINY, {**vary, "sweep.acquisitions": ["ripu", "full"]}))
    assert [(trial.config.strategy.mode, trial.config.answer) for trial in trials if "ripu" in trial.arm] == [
        ("region", "dominant"),
        ("pixel", "mask"),
        ("region", "mask"),
        ("region", "multi_hot"),
    ]
    assert [trial.arm for trial in trials if "full" in trial.arm] == ["full"]
    for setting, says in (
        ("strategy.acquisition=class_reweighted", "acquisition class_reweighted: counts the pixels of each class"),
        ("strategy.avoid_void=learned", "avoid_void learned: counts the pixels of each class"),
        ("oracle.kind=human", "oracle.answer dominant: people draw masks"),
    ):
        with pytest.raises(ConfigError, match=says):
            check_trials(expand(settle("oracle.answer=dominant", setting)))
    weighted = ("oracle.answer=multi_hot", "training.class_weights=bought")
    with pytest.raises(ConfigError, match="class_weights: needs one class for each pixel"):
        check_trials(expand(settle(*weighted)))
    check_trials(expand(settle(*weighted, "strategy.mode=pixel")))
