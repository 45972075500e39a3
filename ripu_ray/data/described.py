"""Data sets that are described by patterns: `dataset: patterns`."""

from typing import ClassVar, Literal

from pydantic import Field

from ripu_ray.config.fields import FilePath
from ripu_ray.config.registry import DATASETS
from ripu_ray.data.combining import shared_classes
from ripu_ray.data.description import Description, Reference, Texts, describe
from ripu_ray.data.finding import find_pairs
from ripu_ray.data.labels import ClassTable
from ripu_ray.data.loading import Domains
from ripu_ray.data.pairs import PairedImages
from ripu_ray.data.settings import FilesData, Split, WithSourceSizes
from ripu_ray.errors import DataError
from ripu_ray.storage.remote import check_readable

Choice = dict[str, Texts]
"""Placeholder of a description -> the values to use."""


class DescribedData(FilesData, WithSourceSizes):
    """A source and a target, each in a folder of its own."""

    of_source: ClassVar[tuple[str, ...]] = (
        *("source", "source_root", "source_choice", "source_input_size", "source_label_size"),
    )

    source_root: FilePath | None = None
    """Folder of the source, in which its patterns begin. It may be left out if the source is not opened."""
    target_root: FilePath
    """Folder of the target, in which its patterns begin."""


@DATASETS.register("patterns")
class PatternsData(DescribedData):
    """A source and a target, each described by a YAML file of this package or of one's own.

    The classes are those that both have, by name, in the order of the target; the others are void. Sizes are
    (height, width).
    """

    dataset: Literal["patterns"] = "patterns"
    """Name of the data set."""
    source: Reference | None = None
    """Name of a data set of this package, such as gtav, a YAML file, or a description. None: the source is not
    opened."""
    source_choice: Choice = Field(default_factory=dict)
    """Values of the placeholders of the source's description, such as {domain: Rural}. All values of a placeholder that
    is left out are used."""
    target: Reference
    """Name, YAML file or description of the target."""
    target_choice: Choice = Field(default_factory=dict)
    """Values of the placeholders of the target's description."""

    def open(self, with_source: bool = True) -> Domains:
        """See `DatasetSection`. Raises ConfigError, besides: a description is missing or wrong."""
        name, target = describe(self.target)
        own = classes = target.table(_origin(name))
        _check_choice("target", name, target, self.target_choice)
        if self.source is not None and not self.source_share:
            classes = shared_classes(describe(self.source)[1].table(""), own)
        if not target.has_splits and not ((self.target_list and self.validation_list) or self.validation_share):
            raise DataError(
                f"data.target: {name} has no {{split}}: expected data.target_list and data.validation_list, two lists, "
                "or data.validation_share"
            )
        check_readable(self.target_root)
        return self.share_out(ClassTable(classes.names, classes.colours), self._open, with_source, self.cache)

    def _open(self, part: Split) -> PairedImages | None:
        if part == "source":
            if self.source is None:
                raise DataError("data.source: expected the data set to train on first, such as gtav")
            name, described = describe(self.source)
            if self.source_root is None:
                raise DataError(f"data.source_root: expected the folder of {name}")
            _check_choice("source", name, described, self.source_choice)
            check_readable(self.source_root)
            root, choice, sizes = self.source_root, self.source_choice, (self.source_input_size, self.source_label_size)
        else:
            name, described = describe(self.target)
            root, choice, sizes = self.target_root, self.target_choice, (self.input_size, self.label_size)
        splits = described.splits
        places = described.places(splits.validation if part == "validation" else splits.train, choice)
        labelled = part == "source" or not self.asks_people
        if part == "validation" and self.asks_people:
            labelled = all((root / place.label.folder).exists() for place in places)
            if not labelled:
                return None
        pairs = find_pairs(name, places, root, getattr(self, f"{part}_list"), labelled)
        return PairedImages(pairs, described.table(_origin(name)), *sizes, self.max_megapixels)

    def __hash__(self) -> int:
        return hash(self.model_dump_json())


def _origin(name: str) -> str:
    """Where a description is written, for messages."""
    return name if name.endswith((".yaml", ".yml")) or " " in name else f"{name}.yaml"


def _check_choice(domain: str, name: str, description: Description, choice: Choice) -> None:
    """Raises DataError: the description has no such placeholder, or no such value of it."""
    for placeholder, values in choice.items():
        place = f"data.{domain}_choice.{placeholder}"
        if placeholder not in description.choices:
            known = ", ".join(description.choices) or "none"
            raise DataError(f"{place}: {name} has no such placeholder: expected {known}")
        for value in values:
            if value not in description.choices[placeholder]:
                known = ", ".join(description.choices[placeholder])
                raise DataError(f"{place}: {name} has no {value}: expected {known}")
