"""Data sets that are described by patterns: `dataset: patterns`."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from ripu_ray.config import DatasetSection, Size
from ripu_ray.config.fields import FilePath, LocalPath
from ripu_ray.config.registry import DATASETS
from ripu_ray.data.caching import cached
from ripu_ray.data.combining import shared_classes, with_classes
from ripu_ray.data.description import Description, Reference, Texts, describe
from ripu_ray.data.finding import find_pairs
from ripu_ray.data.images import ImageSet
from ripu_ray.data.labels import ClassTable
from ripu_ray.data.loading import Domains, NoImages
from ripu_ray.data.pairs import PairedImages
from ripu_ray.errors import DataError
from ripu_ray.storage.remote import check_readable

Choice = dict[str, Texts]
"""Placeholder of a description -> the values to use."""


@DATASETS.register("patterns")
class PatternsData(DatasetSection):
    """A source and a target, each described by a YAML file of this package or of one's own.

    The classes are those that both have, by name, in the order of the target; the others are void. Sizes are
    (height, width), as in `FolderData`.
    """

    source_prefix: ClassVar[str] = "data.source_"

    dataset: Literal["patterns"] = "patterns"
    """Name of the data set."""
    source: Reference | None = None
    """Name of a data set of this package, such as gtav, a YAML file, or a description. None: the source is not
    opened."""
    source_root: FilePath | None = None
    """Folder of the source, in which the patterns begin."""
    source_choice: Choice = Field(default_factory=dict)
    """Values of the placeholders of the source's description, such as {domain: Rural}. All values of a placeholder that
    is left out are used."""
    target: Reference
    """Name, YAML file or description of the target."""
    target_root: FilePath
    """Folder of the target, in which the patterns begin."""
    target_choice: Choice = Field(default_factory=dict)
    """Values of the placeholders of the target's description."""
    source_list: FilePath | None = None
    """Text or Parquet file with the names of the images to use, one a line. None: all images."""
    target_list: FilePath | None = None
    """Text or Parquet file with the names of the images to use, one a line. None: all images."""
    validation_list: FilePath | None = None
    """Text or Parquet file with the names of the images to use, one a line. None: all images."""
    source_input_size: Size | None = None
    """Height and width of the source's images at the network's input. None: as stored."""
    source_label_size: Size | None = None
    """Height and width of the source's labels in training. None: as stored."""
    input_size: Size | None = None
    """Height and width of the target's images at the network's input; images are resized bilinearly. None: as
    stored."""
    label_size: Size | None = None
    """Height and width at which the target's labels are bought and evaluated; labels are resized to nearest. None: as
    stored."""
    cache: LocalPath | None = None
    """Local folder for decoded and resized images and labels, which processes share. None: decode at every use."""

    def open(self, with_source: bool = True) -> Domains:
        """See `DatasetSection`. Raises ConfigError, besides: a description is missing or wrong."""
        name, target = describe(self.target)
        choice = _checked("target", name, target, self.target_choice)
        own = classes = target.table(_origin(name))
        if self.source is not None:
            classes = shared_classes(describe(self.source)[1].table(""), own)
        if not target.has_splits and not (self.target_list and self.validation_list):
            raise DataError(
                f"data.target: {name} has no {{split}}: expected data.target_list and data.validation_list, two lists"
            )
        check_readable(self.target_root)

        def images(split: str, names: Path | None) -> ImageSet:
            pairs = find_pairs(name, target, self.target_root, split, choice, names)
            files = PairedImages(pairs, own, self.input_size, self.label_size)
            ours = cached(files, self.cache, "patterns", own, self.input_size, self.label_size)
            return with_classes(ours, own, classes)

        return Domains(
            ClassTable(classes.names, classes.colours),
            self._open_source(classes) if with_source else NoImages(),
            images(target.splits.train, self.target_list),
            images(target.splits.validation, self.validation_list),
        )

    def _open_source(self, classes: ClassTable) -> ImageSet:
        if self.source is None:
            raise DataError("data.source: expected the data set to train on first, such as gtav")
        name, source = describe(self.source)
        if self.source_root is None:
            raise DataError(f"data.source_root: expected the folder of {name}")
        check_readable(self.source_root)
        choice = _checked("source", name, source, self.source_choice)
        pairs = find_pairs(name, source, self.source_root, source.splits.train, choice, self.source_list)
        own, sizes = source.table(_origin(name)), (self.source_input_size, self.source_label_size)
        images = cached(PairedImages(pairs, own, *sizes), self.cache, "patterns", own, *sizes)
        return with_classes(images, own, classes)

    def __hash__(self) -> int:
        return hash(self.model_dump_json())


def _origin(name: str) -> str:
    """Where a description is written, for messages."""
    return name if name.endswith((".yaml", ".yml")) or " " in name else f"{name}.yaml"


def _checked(domain: str, name: str, description: Description, choice: Mapping[str, tuple[str, ...]]) -> Choice:
    """The choice itself. Raises DataError: the description has no such placeholder, or no such value of it."""
    for placeholder, values in choice.items():
        place = f"data.{domain}_choice.{placeholder}"
        if placeholder not in description.choices:
            known = ", ".join(description.choices) or "none"
            raise DataError(f"{place}: {name} has no such placeholder: expected {known}")
        for value in values:
            if value not in description.choices[placeholder]:
                known = ", ".join(description.choices[placeholder])
                raise DataError(f"{place}: {name} has no {value}: expected {known}")
    return dict(choice)
