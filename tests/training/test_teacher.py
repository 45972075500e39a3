"""The teacher: its targets, the loss to them, and that neither workers nor a resume change them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ripu_ray.config import Config, load_config
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.loading import open_domains
from ripu_ray.models.networks import build_network
from ripu_ray.runs.grid import expand, warmup_key
from ripu_ray.simulation.local import LocalFineTuner
from ripu_ray.training import batches
from ripu_ray.training.batches import Batch, Draw
from ripu_ray.training.checkpoint import load_training_state, network_state
from ripu_ray.training.job import TrainingJob
from ripu_ray.training.logits import predict
from ripu_ray.training.optimiser import update_average
from ripu_ray.training.teacher import DECAY, draw_box, in_box, teach
from tests.conftest import TINY
from tests.running import ignore_steps, interrupt_third_step

# A fresh network is sure of nothing.
TEACHER = (*TINY, "cluster.scorers=0", "training.teacher=ema", "training.teacher_threshold=0.15")


def _job(config: Config, output: Path) -> TrainingJob:
    annotated = {image_id: np.array([[9, 9]], np.int32) for image_id in open_domains(config.data).pool.image_ids}
    return TrainingJob(config, 0, 3, None, output, "round 0", annotated)


def _target(config: Config, rank: int, workers: int, patch: pytest.MonkeyPatch) -> Batch:
    patch.setattr(batches, "worker_rank", lambda: rank)
    patch.setattr(batches, "num_workers", lambda: workers)
    domains = open_domains(config.data)
    annotated = {image_id: np.array([[9, 9]], np.int32) for image_id in domains.pool.image_ids}
    _, target = Draw(config, domains, "cpu", annotated)(6)  # at step 4, chance draws no box
    assert target and target.views
    return target


def test_targets_and_loss_are_the_plain_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(None, TEACHER)
    target = _target(config, 0, 1, monkeypatch)
    network = build_network(config.model, 10, seed=0).eval()
    with torch.no_grad():
        sure = predict(network, config.training, target.images_BHW3, target.labels_BHW.shape[-2:]).softmax(1).amax(1)
    # So that the teacher is sure of half of the pixels.
    threshold = float(sure.median())
    config = load_config(None, (*TEACHER, f"training.teacher_threshold={threshold}"))
    assert target.views
    views = teach(network, config.training, target.views)
    assert views.targets_VHW is not None
    with torch.no_grad():
        p = predict(network, config.training, target.images_BHW3, target.labels_BHW.shape[-2:]).softmax(1)
        logits = predict(network, config.training, views.strong_VHW3, target.labels_BHW.shape[-2:])
    total, count, kinds = 0.0, 0, set()
    log_q = logits.log_softmax(1)
    for view in range(8):
        own, other = view % 4, 3 - view % 4
        for row, col in np.ndindex(*target.labels_BHW.shape[1:]):
            image = other if views.is_pasted_VHW[view, row, col] else own
            expected = IGNORE_LABEL
            if target.labels_BHW[image, row, col] == IGNORE_LABEL:
                count += 1
                if p[image, :, row, col].max() >= threshold:
                    expected = int(p[image, :, row, col].argmax())
                    total -= float(log_q[view, expected, row, col])
            assert views.targets_VHW[view, row, col] == expected
            kinds.add((image == own, expected == IGNORE_LABEL))
    assert len(kinds) == 4
    term = views.loss(logits)
    assert int(term.count) == count and float(term.total) == pytest.approx(total, rel=1e-4)


def test_boxes_are_those_of_the_recipe_at_every_size() -> None:
    boxes = [draw_box(np.random.default_rng(seed)) for seed in range(200)]
    areas = [(bottom - top) * (right - left) for top, bottom, left, right in boxes]
    assert 60 < sum(area > 0 for area in areas) < 140 and max(areas) <= 0.4
    for box in boxes[:20]:
        small, large = in_box(box, (6, 8)), in_box(box, (18, 24))
        assert (large[1::3, 1::3] == small).all()


def test_views_do_not_depend_on_the_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = ("training.augmentation.flip=0.5", "training.augmentation.scale=[0.5, 2]", "training.target_batch=6")
    config = load_config(None, (*TEACHER, *moved))
    whole = _target(config, 0, 1, monkeypatch)
    network = build_network(config.model, 10, seed=0).eval()
    for rank in range(4):
        part = _target(config, rank, 4, monkeypatch)
        assert part.views and whole.views
        assert part.image_ids == whole.image_ids[rank::4] and part.images_BHW3.equal(whole.images_BHW3[rank::4])
        mine = [*range(rank, 6, 4), *range(6 + rank, 12, 4)]
        assert part.views.strong_VHW3.equal(whole.views.strong_VHW3[mine])
        taught, expected = (teach(network, config.training, views).targets_VHW for views in (part.views, whole.views))
        assert taught is not None and expected is not None
        assert (taught != expected[mine]).float().mean() < 1e-3  # batches of other sizes may round differently


@pytest.mark.parametrize("scores", [False, True])
def test_a_resumed_phase_is_the_phase_and_the_average_is_the_weights_average(tmp_path: Path, scores: bool) -> None:
    config = load_config(None, (*TEACHER, "training.checkpoint_every=1", *(["training.ema=0.9"] if scores else [])))
    job = _job(config, tmp_path / "whole.pt")
    losses = LocalFineTuner(config).fit(job, ignore_steps)
    assert losses["teacher"] > 0
    broken = replace(job, output=tmp_path / "broken" / "w.pt")
    broken.output.parent.mkdir()

    with pytest.raises(KeyboardInterrupt):
        LocalFineTuner(config).fit(broken, interrupt_third_step)
    assert broken.partial.exists()
    assert LocalFineTuner(config).fit(broken, ignore_steps) == losses
    assert broken.output.read_bytes() == job.output.read_bytes()
    state = load_training_state(job.output)
    assert (state.average is not None, state.teacher is not None) == (scores, not scores)
    used = network_state(job.output)
    assert all(tensor.equal((state.average if scores else state.network)[name]) for name, tensor in used.items())  # type: ignore[index]
    (tmp_path / "one").mkdir()
    # One step from the start: the average of the first weights and of those after it.
    LocalFineTuner(config).fit(replace(job, num_steps=1, output=tmp_path / "one" / "w.pt"), ignore_steps)
    one = load_training_state(tmp_path / "one" / "w.pt")
    network = build_network(config.model, 10, seed=config.seed)
    average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(one.network)
    update_average(average, network, 0.9 if scores else DECAY, 1)
    kept = one.average if scores else one.teacher
    assert kept and all(tensor.equal(kept[name]) for name, tensor in average.items())


def test_a_teacher_is_an_arm_with_the_same_warm_up_and_references_have_none() -> None:
    settings = {"training.teacher": ["none", "ema"]}
    config = load_config(None, [f"sweep.vary={settings}", "sweep.acquisitions=[ripu, full, source_only]"])
    trials = {trial.trial_id: trial.config for trial in expand(config)}
    assert set(trials) == {
        "region-w3-ripu-b2.2-s0",
        "region-w3-ripu-b2.2-teacher_ema-s0",
        "full-s0",
        "source_only-s0",
    }
    assert len({warmup_key(trial) for trial in trials.values()}) == 1
    assert [name for name, trial in trials.items() if trial.training.teacher == "ema"] == [
        "region-w3-ripu-b2.2-teacher_ema-s0"
    ]
