"""Evaluating a checkpoint: the run's own figures, the mirror image, pictures, and SYNTHIA's 13 classes."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ripu_ray.config import Config, override
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import DataError, NonFiniteError, StorageError
from ripu_ray.models.inference import predict
from ripu_ray.models.networks import build_network
from ripu_ray.runs.grid import warmup_key
from ripu_ray.simulation.evaluation import evaluate_checkpoint, figures
from tests.data.photographs import write_photographs
from tests.data.published import CLASSES_16, CLASSES_19
from tests.running import run_all


def save_fresh(config: Config, path: Path) -> Path:
    network = build_network(config.model, 10, seed=3)
    torch.save({"network": network.state_dict()}, path)
    return path


def test_a_run_s_weights_have_the_run_s_figures(tiny: Config, tmp_path: Path) -> None:
    warmup = run_all(tmp_path / "run", tiny).warmup(warmup_key(tiny))
    record = warmup.read()
    result = evaluate_checkpoint(tiny, warmup.weights)
    assert (result.miou, result.accuracy) == (record.miou, record.accuracy)
    assert {name: None if np.isnan(value) else value for name, value in result.iou.items()} == record.iou
    assert result.miou_13 is None


def test_predictions_are_pictures_in_the_classes_colours(tiny: Config, tmp_path: Path) -> None:
    domains = open_domains(tiny.data)
    weights = save_fresh(tiny, tmp_path / "w.pt")
    seen: list[str] = []

    def watch(image_ids: Iterable[str]) -> list[str]:
        seen.extend(image_ids)
        return seen

    evaluate_checkpoint(tiny, weights, predictions=tmp_path / "p", watch=watch)
    assert tuple(seen) == domains.validation.image_ids
    network = build_network(tiny.model, 10, seed=3).eval()
    for image_id in domains.validation.image_ids:
        predicted = predict(network, network.to_input(domains.validation.image(image_id))[None], (32, 48))
        with Image.open(tmp_path / "p" / f"{image_id}.png") as picture:
            assert picture.mode == "RGB"
            np.testing.assert_array_equal(np.asarray(picture), np.array(domains.classes.colours)[predicted])


def test_flipping_averages_probabilities(tiny: Config) -> None:
    network = build_network(tiny.model, 10, seed=3).eval()
    image = network.to_input(open_domains(tiny.data).validation.image("target/val/00000"))[None]
    with torch.inference_mode():
        both = [
            torch.nn.functional.interpolate(network(x), (64, 96), mode="bilinear", align_corners=True)[0].softmax(0)
            for x in (image, torch.flip(image, (3,)))
        ]
    expected = ((both[0] + torch.flip(both[1], (2,))) / 2).argmax(0).numpy()
    np.testing.assert_array_equal(predict(network, image, (64, 96), flip=True), expected)
    mirrored = predict(network, torch.flip(image, (3,)), (64, 96), flip=True)
    assert (mirrored[:, ::-1] == expected).mean() > 0.999
    assert (predict(network, image, (64, 96)) != expected).any()


def test_13_of_16_classes_are_those_the_literature_counts() -> None:
    confusion = np.diag(np.arange(1, 17))
    confusion[0] += 10
    assert figures(np.diag(np.arange(1, 20)), CLASSES_19).miou_13 is None
    result = figures(confusion, CLASSES_16)
    assert result.miou_13 is not None
    kept = [value for index, value in enumerate(result.iou.values()) if index not in (3, 4, 5)]
    assert len(kept) == 13
    assert result.miou_13 == pytest.approx(np.mean(kept))
    assert result.miou_13 != pytest.approx(result.miou)


def test_a_checkpoint_that_does_not_fit_or_is_not_finite(tiny: Config, tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({"network": build_network(tiny.model, 4, seed=0).state_dict()}, path)
    with pytest.raises(DataError, match="the checkpoint has 4 classes, the data 10"):
        evaluate_checkpoint(tiny, path)
    state = build_network(tiny.model, 10, seed=0).state_dict()
    torch.save({"network": {name: tensor * float("nan") for name, tensor in state.items()}}, path)
    with pytest.raises(DataError, match=r"w\.pt: not weights of this network: a NaN or an infinity: at2"):
        evaluate_checkpoint(tiny, path)
    # Each weight is a number, and what comes out is none.
    overflowing = {
        name: torch.full_like(tensor, 3e38) if name.startswith("head") else tensor for name, tensor in state.items()
    }
    torch.save({"network": overflowing}, path)
    with pytest.raises(NonFiniteError, match=r"w\.pt, image target/val/00000: a NaN"):
        evaluate_checkpoint(tiny, path)


def test_without_validation_images_nothing_is_evaluated(tmp_path: Path) -> None:
    places = (("day", ""), ("night", ""))
    write_photographs(tmp_path, "{domain}/images/{number}.png", "{domain}/labels/{number}.png", "ids", places)
    shutil.rmtree(tmp_path / "night/labels")
    (tmp_path / "classes.json").write_text('["a", "b", "c"]')
    folders = {"images": "{domain}/images/*", "labels": "{domain}/labels/*", "source": "day", "target": "night"}
    data = {"dataset": "folder", "root": str(tmp_path), **folders}
    config = override(Config(), {"data": data, "oracle.kind": "human"})
    with pytest.raises(DataError, match="the target has no validation images: expected images with labels"):
        evaluate_checkpoint(config, tmp_path / "absent.pt")


def test_pictures_that_cannot_be_written_are_named(tiny: Config, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/target/val/00000\.png: cannot be written"):
        evaluate_checkpoint(tiny, save_fresh(tiny, tmp_path / "w.pt"), predictions=tmp_path / "file")
