"""One phase of training: the step, the schedule, and what a batch is."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ripu_ray.config import Config, load_config
from ripu_ray.core.budget import annotate
from ripu_ray.data.loading import open_domains
from ripu_ray.models.networks import build_network
from ripu_ray.simulation.local import LocalFineTuner
from ripu_ray.training.checkpoint import load_training_state
from ripu_ray.training.job import TrainingJob
from ripu_ray.training.optimiser import poly_rate
from ripu_ray.training.phase import seed_dropout, train
from ripu_ray.training.sampling import draw_ids
from tests.conftest import TINY
from tests.data.folders import STEMS, write_data_set
from tests.running import ignore_steps


def test_poly_rate_is_the_reference_s(golden: Path) -> None:
    expected = json.loads((golden / "poly_lr.json").read_text())
    for step, rate in expected["lr"].items():
        ours = poly_rate(expected["base_lr"], int(step), expected["max_steps"], expected["power"])
        assert ours == pytest.approx(rate, rel=1e-12)
    assert poly_rate(1.0, 70_000, 62_500, 0.9) == 0.0


@pytest.mark.parametrize("name", ["compact", "deeplabv2", pytest.param("deeplabv3plus", marks=pytest.mark.slow)])
def test_one_step_is_the_paper_s(tmp_path: Path, name: str) -> None:
    """Losses and weights after one step, against a transcription of the paper.

    In double precision for `compact`. In a hundred layers some ReLU stands so near 0 that the precision decides, and
    dropout draws other channels in double precision.
    """
    dtype = torch.float64 if name == "compact" else torch.float32
    # At 0.05 a fresh network calls nothing unlikely.
    recipe = ("training.optimiser=sgd", "training.head_rate_factor=10", "training.negative_threshold=0.1")
    tiny = load_config(None, (*TINY, *recipe, f"model.name={name}"))
    domains = open_domains(tiny.data)
    annotated = {
        image_id: np.array([[4 + index, 7], [20, 30]][: index % 3], np.int32).reshape(-1, 2)
        for index, image_id in enumerate(domains.pool.image_ids)
    }
    job = TrainingJob(tiny, 3, 1, start=None, output=tmp_path / "w.pt", phase="round 0", annotated=annotated)
    losses = LocalFineTuner(tiny).fit(job, ignore_steps)

    training = tiny.training
    network = build_network(tiny.model, domains.classes.num_classes, tiny.seed).to(dtype)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    def logits(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return torch.nn.functional.interpolate(network(images), size, mode="bilinear", align_corners=True)

    source_ids = draw_ids(domains.source.image_ids, tiny.seed, "source", 3 * training.source_batch, 4)
    target_ids = draw_ids(domains.pool.image_ids, tiny.seed, "target", 0, 4)
    size = domains.pool.label_size(target_ids[0])
    source = torch.stack([network.to_input(domains.source.image(image_id)) for image_id in source_ids]).to(dtype)
    target = torch.stack([network.to_input(domains.pool.image(image_id)) for image_id in target_ids]).to(dtype)
    source_label = torch.from_numpy(np.stack([domains.source.label(image_id) for image_id in source_ids])).long()
    target_label = torch.from_numpy(
        np.stack([annotate(domains.pool.label(image_id), annotated[image_id], 1) for image_id in target_ids])
    ).long()

    seed_dropout(tiny.seed, 3)
    source_logits, target_logits = logits(source, size), logits(target, size)
    p = source_logits.softmax(1)
    means = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(p, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    kernel = -torch.ones(1, 1, 3, 3, dtype=torch.float64)
    kernel[0, 0, 1, 1] = 8
    laplacian = torch.nn.functional.conv2d(source_label[:, None].double(), kernel, padding=1)[:, 0]
    boundary = (laplacian != 0) & (source_label != 255)
    q = target_logits.softmax(1)
    unlikely = (q < training.negative_threshold).detach()
    expected = {
        "source_cross_entropy": torch.nn.functional.cross_entropy(source_logits, source_label, ignore_index=255),
        "consistency": (p - means).abs().sum(1)[boundary].mean(),
        "target_cross_entropy": torch.nn.functional.cross_entropy(target_logits, target_label, ignore_index=255),
        "negative_learning": -torch.log(1 - q[unlikely] + 1e-6).mean(),
    }
    weights = (1.0, training.consistency_weight, 1.0, training.negative_weight)
    loss = torch.stack([weight * term for weight, term in zip(weights, expected.values(), strict=True)]).sum()
    for key, term in expected.items():
        assert losses[key] == pytest.approx(float(term.detach()), rel=1e-5)
    assert losses["total"] == pytest.approx(float(loss.detach()), rel=1e-5)

    torch.autograd.backward(loss)
    rate = poly_rate(training.learning_rate, 3, 3 + 3 * 2, training.power)
    after = load_training_state(job.output).network
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None
        factor = 10 if key.startswith("head.") else 1
        step = factor * rate * (parameter.grad + training.weight_decay * parameter.detach())
        error = (after[key].to(dtype) - (before[key] - step)).abs().max()
        rounding = torch.finfo(torch.float32).eps * before[key].abs().max()
        assert error <= 1e-5 * step.abs().max() + rounding, key


@pytest.mark.parametrize("resolution", ["label", "input"])
def test_every_bought_pixel_reaches_the_loss_unless_labels_shrink(
    tiny: Config, tmp_path: Path, resolution: str
) -> None:
    """Labels twice as large as images: the target's loss is the mean over all bought pixels, or over what is left."""
    data = write_data_set(tmp_path).model_copy(update={"input_size": (12, 20), "label_size": (24, 40)})
    training = tiny.training.model_copy(
        update={"label_resolution": resolution, "target_batch": len(STEMS), "warmup_steps": 0}
    )
    config = tiny.model_copy(update={"data": data, "training": training})
    domains = open_domains(data)
    # From the third row on: the first two are void in these labels.
    annotated = {image_id: np.array([[4, 5], [9, 17], [20, 30]], np.int32) for image_id in domains.pool.image_ids}
    job = TrainingJob(config, 0, 1, start=None, output=tmp_path / "w.pt", phase="round 0", annotated=annotated)
    labels: list[Tensor] = []

    def watch(step: nn.Module) -> nn.Module:
        step.register_forward_pre_hook(lambda _, batches: labels.append(batches[1].labels_BHW))
        return step

    losses = train(job, domains, "cpu", ignore_steps, wrap=watch)
    (label_BHW,) = labels
    num_bought = len(STEMS) * 3 * 9
    num_left = int((label_BHW != 255).sum())
    # Every second row and column is kept: of a 3x3 window 1, 2 or 4 pixels.
    assert num_left == num_bought if resolution == "label" else num_left < num_bought / 2

    network = build_network(config.model, domains.classes.num_classes, config.seed)
    ids = draw_ids(domains.pool.image_ids, config.seed, "target", 0, len(STEMS))
    logits = network(torch.stack([network.to_input(domains.pool.image(image_id)) for image_id in ids]))
    size = (24, 40) if resolution == "label" else (12, 20)
    logits = torch.nn.functional.interpolate(logits, size, mode="bilinear", align_corners=True)
    expected = torch.nn.functional.cross_entropy(logits, label_BHW.long(), ignore_index=255)
    assert losses["target_cross_entropy"] == pytest.approx(float(expected.detach()), rel=1e-5)


def test_each_epoch_holds_every_image_once() -> None:
    ids = tuple("abcdefg")
    drawn = [image for step in range(7) for image in draw_ids(ids, 0, "source", 3 * step, 3)]
    epochs = [drawn[start : start + 7] for start in (0, 7, 14)]
    assert all(sorted(epoch) == sorted(ids) for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert drawn != [image for step in range(7) for image in draw_ids(ids, 1, "source", 3 * step, 3)]


def test_a_phase_in_two_parts_is_the_phase(tiny: Config, tmp_path: Path) -> None:
    tuner = LocalFineTuner(tiny)
    tuner.fit(TrainingJob(tiny, 0, 4, None, tmp_path / "whole.pt", "warm-up"), ignore_steps)
    tuner.fit(TrainingJob(tiny, 0, 1, None, tmp_path / "part.pt", "warm-up"), ignore_steps)
    tuner.fit(TrainingJob(tiny, 1, 3, tmp_path / "part.pt", tmp_path / "rest.pt", "warm-up"), ignore_steps)
    assert (tmp_path / "rest.pt").read_bytes() == (tmp_path / "whole.pt").read_bytes()


def test_a_fresh_network_starts_from_the_named_checkpoint(tiny: Config, tmp_path: Path) -> None:
    first = TrainingJob(tiny, 0, 2, start=None, output=tmp_path / "first.pt", phase="warm-up")
    LocalFineTuner(tiny).fit(first, ignore_steps)
    model = tiny.model.model_copy(update={"init_from": first.output})
    started = tiny.model_copy(update={"model": model, "seed": 7})
    second = TrainingJob(started, 0, 0, start=None, output=tmp_path / "second.pt", phase="warm-up")
    LocalFineTuner(started).fit(second, ignore_steps)
    before, after = (load_training_state(job.output).network for job in (first, second))
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
