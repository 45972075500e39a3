"""Data sets in the format of Hugging Face's library `datasets`, from the hub or from a folder that it has saved.

The library runs no code of a data set and reads no pickles: versions that did are excluded in pyproject.toml.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator

from ripu_ray.config.fields import LocalPath
from ripu_ray.config.registry import DATASETS
from ripu_ray.data.combining import shared_classes
from ripu_ray.data.description import LabelFormat
from ripu_ray.data.labels import ClassTable
from ripu_ray.data.loading import Domains
from ripu_ray.data.pairs import PairedImages
from ripu_ray.data.settings import Split, WithSourceSizes
from ripu_ray.errors import ConfigError, DataError, first_line
from ripu_ray.storage.files import InMemoryFile
from ripu_ray.storage.hub import hub_or_cache
from ripu_ray.storage.remote import locate

_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?(@[\w./-]+)?", re.ASCII)
_SAVED = ("dataset_dict.json", "state.json")
"""What `save_to_disk` leaves in its folder."""


def _origin(value: object) -> object:
    if not isinstance(value, str) or _HUB_ID.fullmatch(value):
        return value
    if value.startswith(("/", "./", "../", "~", "$", "file:")):
        return locate(value)
    raise ValueError(
        f"{value!r}: expected an id of the hub, such as user/name or user/name@revision, or a folder that "
        "begins with /, ./, ../, ~ or $"
    )


Origin = Annotated[str | LocalPath, BeforeValidator(_origin)]
"""An id of the hub, if wanted with `@` and a revision, or a folder that begins with `/`, `./`, `../`, `~` or `$`."""


@DATASETS.register("huggingface")
class HuggingFaceData(WithSourceSizes):
    """A source and a target in the format of the library `datasets`, with columns of images.

    The classes are those that both have, by name, in the order of the target. Sizes are (height, width).
    """

    of_source: ClassVar[tuple[str, ...]] = (
        *("source", "source_split", "source_labels", "source_input_size", "source_label_size"),
    )
    of_validation: ClassVar[tuple[str, ...]] = ("validation_split",)

    dataset: Literal["huggingface"] = "huggingface"
    """Name of the data set."""
    source: Origin | None = None
    """Id of the source in the Hugging Face Hub, or a folder. None: the source is not opened."""
    source_split: str = "train"
    """Split of the source."""
    source_labels: LabelFormat | None = None
    """Format of the source's labels. None: `labels`."""
    target: Origin
    """Id of the target in the Hugging Face Hub, or a folder that begins with `/`, `./`, `../`, `~` or `$`."""
    train_split: str = "train"
    """Split of the pool."""
    validation_split: str = "validation"
    """Split for validation."""
    labels: LabelFormat
    """Format of the labels."""
    image_column: str = "image"
    """Column of the images."""
    label_column: str = "label"
    """Column of the labels."""

    def open(self, with_source: bool = True) -> Domains:
        """See `DatasetSection`. Raises ConfigError, besides: the library is not installed."""
        own = classes = self.labels.table("data.labels")
        theirs = self.source_labels.table("data.source_labels") if self.source_labels else own
        if self.source is not None and not self.source_share:
            classes = shared_classes(theirs, own)

        def open_split(part: Split) -> PairedImages:
            if part == "source":
                if self.source is None:
                    raise DataError("data.source: expected the data set to train on first")
                rows = self._rows("source", self.source, self.source_split)
                return PairedImages(rows, theirs, self.source_input_size, self.source_label_size, self.max_megapixels)
            rows = self._rows("target", self.target, self.train_split if part == "target" else self.validation_split)
            return PairedImages(rows, own, self.input_size, self.label_size, self.max_megapixels)

        return self.share_out(ClassTable(classes.names, classes.colours), open_split, with_source)

    def _rows(self, domain: str, origin: str | Path, split: str) -> "Rows":
        splits = _load(origin)
        if split not in splits:
            setting = {"source": "source_split"}.get(domain, "train_split and data.validation_split")
            raise DataError(f"{origin}: has no split {split!r}: expected {', '.join(splits)} as data.{setting}")
        return Rows(f"{domain}/{split}", f"{origin}, {split}", splits[split], (self.image_column, self.label_column))

    def __hash__(self) -> int:
        return hash(self.model_dump_json())


class Rows(Mapping[str, tuple[Path, Path]]):
    """Image id -> image and label of each row, as files that are read from memory.

    Args:
        prefix: of the image ids, which are `<prefix>/<row>`.
        place: data set and split, for messages.
        rows: the library's `Dataset`.
        columns: of images and of labels.

    Raises:
        DataError: there is no such column, it does not hold images, or there is no row.
    """

    def __init__(self, prefix: str, place: str, rows: Any, columns: tuple[str, str]) -> None:
        from datasets import Image

        for setting, column in zip(("image_column", "label_column"), columns, strict=True):
            if column not in rows.features:
                known = ", ".join(rows.features)
                raise DataError(f"{place}: has no column {column!r}: expected one of {known} as data.{setting}")
            if not isinstance(rows.features[column], Image):
                kind = type(rows.features[column]).__name__
                raise DataError(f"{place}: the column {column!r} is of type {kind}: expected Image")
            rows = rows.cast_column(column, Image(decode=False))
        if not len(rows):
            raise DataError(f"{place}: holds no row")
        self._rows, self._place, self._columns = rows, place, columns
        digits = len(str(len(rows) - 1))
        self._numbers = {f"{prefix}/{number:0{digits}d}": number for number in range(len(rows))}

    def __getitem__(self, image_id: str) -> tuple[Path, Path]:
        number = self._numbers[image_id]
        row = self._rows[number]
        image, label = (self._file(row[column], f"{self._place}, row {number}, {column}") for column in self._columns)
        return image, label

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def _file(self, value: dict[str, Any] | None, name: str) -> Path:
        if value is None or not (value["bytes"] or value["path"]):
            raise DataError(f"{name}: is empty")
        if value["bytes"] is None:
            return Path(value["path"])
        file = InMemoryFile(name)
        file.content = value["bytes"]
        return file


def _load(origin: str | Path) -> dict[str, Any]:
    """The splits of a data set by name. Raises ConfigError: no library; DataError: no such data set."""
    try:
        import datasets
    except ImportError:
        raise ConfigError("data.dataset huggingface needs datasets: pip install 'ripu-ray[datasets]'") from None
    if isinstance(origin, Path) and not any((origin / name).is_file() for name in _SAVED):
        raise DataError(f"{origin}: expected a folder that the library's save_to_disk has written")
    why = ""
    try:
        if isinstance(origin, Path):
            loaded = datasets.load_from_disk(str(origin))
        else:
            name, _, revision = origin.partition("@")
            with hub_or_cache() as why:
                loaded = datasets.load_dataset(name, revision=revision or None)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, datasets.exceptions.DatasetsError) as error:
        # LookupError and those behind it: of JSON files with other keys or kinds of values.
        reason = f"not in the cache; {why}" if why else first_line(error)
        raise DataError(f"{origin}: cannot be loaded ({reason})") from None
    if isinstance(loaded, datasets.DatasetDict):
        return dict(loaded)
    return {str(loaded.split or "train"): loaded}
