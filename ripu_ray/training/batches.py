"""The batches of a training step: a function of (seed, step) alone, loaded in a thread during the previous step."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ripu_ray.config import AugmentationConfig, Config, NoiseConfig
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.core.oracle import Annotator
from ripu_ray.core.randomness import generator
from ripu_ray.data.images import ImageSet
from ripu_ray.data.loading import Domains
from ripu_ray.data.pictures import resize_label
from ripu_ray.data.region_maps import RegionMaps
from ripu_ray.errors import DataError
from ripu_ray.runs.answers import Answers
from ripu_ray.training.augmentation import augment, move
from ripu_ray.training.named_labels import Labels, NamedLabels, without_sets
from ripu_ray.training.sampling import RaritySampler, class_weights, draw_ids
from ripu_ray.training.teacher import Views, make_views
from ripu_ray.training.workers import num_workers, worker_rank


@dataclass(frozen=True)
class Batch:
    """Images (B, h, w, 3) uint8, RGB, labels (B, H, W) uint8, image ids, and the views of a teacher.

    With `sets_SC`, (S, C) bool sets of classes, the labels are int32 and say which set each pixel has.
    """

    images_BHW3: Tensor
    labels_BHW: Tensor
    image_ids: tuple[str, ...]
    views: Views | None = None
    sets_SC: Tensor | None = None

    def to(self, device: str) -> "Batch":
        """Copy the tensors to a device; from pinned memory, asynchronously."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> "Batch":
        """Copy the tensors to pinned memory."""
        return self._with(Tensor.pin_memory)

    def _with(self, copy: Callable[[Tensor], Tensor]) -> "Batch":
        views = self.views and self.views.copied(copy)
        sets_SC = None if self.sets_SC is None else copy(self.sets_SC)
        return Batch(copy(self.images_BHW3), copy(self.labels_BHW), self.image_ids, views, sets_SC)


Batches = tuple[Batch | None, Batch | None]
"""Source and target."""


class Draw:
    """Loads the batches of a phase on the CPU; each worker takes every `num_workers`-th image of the same batch.

    Args:
        config: of the trial.
        domains: the data of `config`.
        device: of the training; for "cuda..." the batches are in pinned memory.
        annotated: image id -> (n, 2) bought centres; None: no target.
        answers: of people, in place of the pool's labels; None: the labels.
        named: image id -> (n, C) bool, classes named in each region, in place of the pool's labels; None: the labels.
    """

    def __init__(
        self,
        config: Config,
        domains: Domains,
        device: str,
        annotated: Mapping[str, NDArray[np.int32]] | None,
        answers: Answers | None = None,
        named: Mapping[str, NDArray[np.bool_]] | None = None,
    ) -> None:
        self._config, self._domains, self._annotated, self._answers = config, domains, annotated, answers
        self._annotator = Annotator(config.oracle.noise, config.seed, domains.classes.num_classes)
        self._named = NamedLabels(config.answer, named) if named is not None else None
        self._pinned = device.startswith("cuda")
        self._loaders = ThreadPoolExecutor(config.cluster.loader_threads, "loader")
        self._regions = RegionMaps(config.strategy, domains.pool)
        self._with_source = config.opens_source and not (config.training.source_free and annotated)
        self._rarity: RaritySampler | None = None
        if config.training.source_sampling == "rarity" and self._with_source:
            self._rarity = RaritySampler(domains.source, domains.classes.num_classes, config.seed)

    def __call__(self, step: int) -> Batches:
        """Load source and target of a step. Raises DataError: a file is missing or damaged."""
        return self._source(step), self._target(step)

    def class_weights(self) -> Tensor | None:
        """(C,) float32 by `training.class_weights`, from the labels of all annotated images; None: all are 1."""
        annotated, num_classes = self._annotated, self._domains.classes.num_classes
        if annotated is None or self._config.training.class_weights == "none":
            return None

        def pixels(image_id: str) -> NDArray[np.int64]:
            label_HW = self._annotation(image_id, annotated[image_id])
            return np.bincount(label_HW.ravel(), minlength=IGNORE_LABEL + 1)[:num_classes]

        counts = self._loaders.map(pixels, self._domains.pool.image_ids)
        return torch.from_numpy(class_weights(sum(counts, start=np.zeros(num_classes, np.int64))))

    def _source(self, step: int) -> Batch | None:
        images, size = self._domains.source, self._config.training.source_batch
        if not self._with_source:
            return None
        first = step * size
        if self._rarity:
            chosen = self._rarity.draw(first, size)
        else:
            chosen = draw_ids(images.image_ids, self._config.seed, "source", first, size)
        return self._batch("source", step, images, chosen, images.label)

    def _target(self, step: int) -> Batch | None:
        annotated, images = self._annotated, self._domains.pool
        if annotated is None:
            return None
        # Round steps are counted from the end of the warm-up, so that each epoch contains every image of the pool once.
        first = step - self._config.training.warmup_steps
        size = self._config.training.target_batch
        batch = self._batch(
            "target",
            step,
            images,
            draw_ids(images.image_ids, self._config.seed, "target", first * size, size),
            lambda image_id: self._annotation(image_id, annotated[image_id]),
        )
        return replace(batch, sets_SC=self._named.sets_SC) if self._named else batch

    def _annotation(self, image_id: str, centres: NDArray[np.int32]) -> Labels:
        size = self._domains.pool.label_size(image_id)
        regions = self._regions.of(image_id, size)
        if self._answers:
            return self._answers.label(image_id, regions, size)
        if self._named:
            return self._named.label(image_id, centres, regions, size)
        label_HW = self._domains.pool.label(image_id)
        if self._config.strategy.acquisition == "full" and self._config.oracle.noise == NoiseConfig():
            return label_HW
        return self._annotator.mask(image_id, label_HW, centres, regions)

    def _batch(
        self,
        domain: str,
        step: int,
        images: ImageSet,
        chosen: tuple[str, ...],
        label: Callable[[str], Labels],
    ) -> Batch:
        mine = range(worker_rank(), len(chosen), num_workers())
        # What is pasted into mine for a teacher: the batch in reverse order.
        with_teacher = domain == "target" and self._config.training.teacher == "ema"
        others = [len(chosen) - 1 - place for place in mine] if with_teacher else []
        places = list(dict.fromkeys([*mine, *others]))
        ids = [chosen[place] for place in places]
        images_NHW3, labels_NHW = list(self._loaders.map(images.image, ids)), list(self._loaders.map(label, ids))
        if self._config.training.label_resolution == "input":
            labels_NHW = [
                resize_label(label_HW, image_HW3.shape[:2])
                for label_HW, image_HW3 in zip(labels_NHW, images_NHW3, strict=True)
            ]

        _check_sizes(domain, "image", ids, images_NHW3)
        _check_sizes(domain, "label", ids, labels_NHW)

        def rng(index: int, purpose: str) -> np.random.Generator:
            # By the place in the whole batch, which may hold an image twice, and not by the worker.
            return generator(self._config.seed, purpose, domain, step, places[index], ids[index])

        views = None
        if with_teacher:
            moved = self._augmented(move, images_NHW3, [without_sets(label_HW) for label_HW in labels_NHW], rng)
            pairs = [(places.index(first), places.index(second)) for first, second in zip(mine, others, strict=True)]
            views = make_views(*moved, pairs, rng)
        own = slice(len(mine))
        pixels, classes = self._augmented(augment, images_NHW3[own], labels_NHW[own], rng)
        batch = Batch(torch.from_numpy(np.stack(pixels)), torch.from_numpy(np.stack(classes)), tuple(ids[own]), views)
        return batch.pinned() if self._pinned else batch

    def _augmented(
        self,
        change: Callable[..., tuple[NDArray[np.uint8], Labels]],
        images: Sequence[NDArray[np.uint8]],
        labels: Sequence[Labels],
        rng: Callable[[int, str], np.random.Generator],
    ) -> tuple[Sequence[NDArray[np.uint8]], Sequence[Labels]]:
        settings = self._config.training.augmentation
        if settings == AugmentationConfig():
            return images, labels
        rngs = [rng(index, "augmentation") for index in range(len(images))]
        changed = list(self._loaders.map(change, images, labels, [settings] * len(rngs), rngs))
        return [image for image, _ in changed], [label for _, label in changed]


def _check_sizes(domain: str, name: str, ids: Sequence[str], arrays: Sequence[NDArray[np.generic]]) -> None:
    """Raise DataError if the images or labels of a batch have different sizes."""
    height, width = arrays[0].shape[:2]
    for image_id, array in zip(ids, arrays, strict=True):
        rows, cols = array.shape[:2]
        if (rows, cols) != (height, width):
            raise DataError(f"{domain} {image_id}: {name} of {rows}x{cols}, but that of {ids[0]} is {height}x{width}")


def drawn_ahead(draw: Callable[[int], Batches], steps: Sequence[int]) -> Iterator[tuple[int, Batches]]:
    """Yield each step and its batches; a thread draws the next batches while the caller works on these.

    Args:
        draw: called once for each step, in order, from one thread.
        steps: to take.

    Raises:
        An error of `draw`, at the step of the call.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        pending = (thread.submit(draw, step) for step in steps)
        batches = next(pending, None)
        for step in steps:
            assert batches
            following = next(pending, None)
            yield step, batches.result()
            batches = following
