"""Evaluation of one checkpoint on the validation images, in this process: metrics and pictures of the predictions."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ripu_ray.config import Config
from ripu_ray.core.metrics import confusion_counts, iou, miou, pixel_accuracy
from ripu_ray.data.cityscapes import NAMES_13, NOT_AMONG_13
from ripu_ray.data.labels import ClassTable
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import DataError, NonFiniteError
from ripu_ray.models.inference import predict
from ripu_ray.models.networks import build_network
from ripu_ray.models.pretrained import read_weights
from ripu_ray.simulation.local import local_device
from ripu_ray.storage.files import replace_file


@dataclass(frozen=True)
class Figures:
    """Metrics from confusion counts.

    Attributes:
        miou, accuracy: in [0, 1]; NaN when no pixel was counted.
        iou: class name -> IoU in [0, 1]; NaN for a class that is neither labelled nor predicted.
        miou_13: mean over 13 of SYNTHIA's 16 classes (without wall, fence and pole); None for other classes.
    """

    miou: float
    accuracy: float
    iou: dict[str, float]
    miou_13: float | None


def figures(confusion_CC: NDArray[np.int64], classes: ClassTable) -> Figures:
    """Compute the metrics from confusion counts (C, C) of `classes`; rows are true classes."""
    by_class = dict(zip(classes.names, iou(confusion_CC).tolist(), strict=True))
    among_13 = None
    if sorted(classes.names) == sorted((*NAMES_13, *NOT_AMONG_13)):
        kept = [by_class[name] for name in NAMES_13 if not np.isnan(by_class[name])]
        among_13 = float(np.mean(kept)) if kept else float("nan")
    return Figures(miou(confusion_CC), pixel_accuracy(confusion_CC), by_class, among_13)


def evaluate_checkpoint(
    config: Config,
    checkpoint: Path,
    flip: bool = False,
    predictions: Path | None = None,
    watch: Callable[[Iterable[str]], Iterable[str]] = lambda image_ids: image_ids,
) -> Figures:
    """Predict every validation image and compare with its label: see `ripu_ray.evaluate`."""
    torch.set_num_threads(config.cluster.threads)
    domains = open_domains(config.data, with_source=False)
    images, classes = domains.validation, domains.classes
    if not images.image_ids:
        raise DataError("the target has no validation images: expected images with labels, to compare predictions with")
    network = build_network(config.model, classes.num_classes, seed=0)
    network.load_state_dict(read_weights(checkpoint, network))
    device = local_device(config)
    network.to(device).eval()
    colours_C3 = np.array(classes.colours, np.uint8)
    confusion_CC = np.zeros((classes.num_classes, classes.num_classes), np.int64)
    for image_id in watch(images.image_ids):
        label_HW = images.label(image_id)
        image_13HW = network.to_input(images.image(image_id), device)[None]
        try:
            predicted_HW = predict(network, image_13HW, label_HW.shape, flip)
        except NonFiniteError as error:
            raise NonFiniteError(f"{checkpoint}, image {image_id}: {error}") from None
        confusion_CC += confusion_counts(predicted_HW, label_HW, classes.num_classes)
        if predictions is not None:
            picture = Image.fromarray(colours_C3[predicted_HW])
            replace_file(predictions / f"{image_id}.png", lambda file: picture.save(file, format="PNG"))  # noqa: B023
    return figures(confusion_CC, classes)
