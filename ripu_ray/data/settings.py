"""Settings that data sets of pictures share, and the shares in which a target is divided."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ripu_ray.config import DatasetSection, Size
from ripu_ray.config.fields import Count, FilePath, LocalPath, Number, Seed
from ripu_ray.data.caching import cached
from ripu_ray.data.combining import with_classes
from ripu_ray.data.labels import ClassTable
from ripu_ray.data.loading import Domains, NoImages
from ripu_ray.data.pairs import PairedImages
from ripu_ray.data.pictures import MAX_MEGAPIXELS
from ripu_ray.errors import DataError, counted

Share = Annotated[float, Number, Field(gt=0, lt=1)]
Split = Literal["source", "target", "validation"]
OpenSplit = Callable[[Split], PairedImages | None]


class PicturesData(DatasetSection):
    """A data set of pictures."""

    of_source: ClassVar[tuple[str, ...]] = ()
    """The settings that are not used with `source_share`."""
    of_validation: ClassVar[tuple[str, ...]] = ()
    """The settings that are not used with `validation_share`."""

    source_share: Share | None = None
    """Share of the target's images that are the source, with labels from the start. None: the source is a data set of
    its own."""
    validation_share: Share | None = None
    """Share of the target's images that are used for validation. None: validation has a split or a list of its own."""
    split_seed: Seed = 0
    """Seed of the two shares. The choice depends only on this seed and the names of the images."""
    input_size: Size | None = None
    """Height and width of the images at the network's input; images are resized bilinearly. None: as stored."""
    label_size: Size | None = None
    """Height and width at which labels are bought and evaluated; labels are resized to nearest. None: as stored."""
    max_megapixels: Count = MAX_MEGAPIXELS
    """Maximum size of one picture. A larger picture is refused before it is decoded, which takes 3 MB per megapixel."""

    @model_validator(mode="after")
    def _splits_are_told_once(self) -> Self:
        for split in ("source", "validation"):
            if getattr(self, f"{split}_share") and getattr(self, f"{split}_list", None):
                raise ValueError(f"data.{split}_share takes a part of the target: leave out data.{split}_list")
        return self

    def without_effect(self) -> Iterator[str]:
        """See `DatasetSection`."""
        for share, keys in (("source_share", self.of_source), ("validation_share", self.of_validation)):
            for key in keys if getattr(self, share) else ():
                if self._is_meant(key):
                    yield f"data.{key} is not used: data.{share} takes a part of the target"
        if self.split_seed and not (self.source_share or self.validation_share):
            yield "data.split_seed is not used without data.source_share or data.validation_share"

    def _is_meant(self, key: str) -> bool:
        """Whether a setting has another value than its default."""
        field = type(self).model_fields.get(key)
        return bool(field and getattr(self, key) != field.get_default(call_default_factory=True))

    def share_out(
        self, classes: ClassTable, open_split: OpenSplit, with_source: bool, cache: Path | None = None
    ) -> Domains:
        """Source, pool and validation.

        Args:
            classes: of all of them; labels of other classes become void.
            open_split: the images of a split; None: it has none.
            with_source: see `DatasetSection.open`.
            cache: folder for decoded images and labels.

        Raises:
            DataError: the target has too few images for the shares, or no labels; or `open_split` raises it.
        """
        if self.asks_people and (self.source_share or self.validation_share):
            raise DataError("data.source_share and validation_share need labels, which oracle.kind human does not have")
        target = open_split("target")
        assert target is not None
        kept = target.image_ids
        validation: PairedImages | None
        if self.validation_share:
            validation, kept = self._draw(target, kept, self.validation_share, "validation")
        else:
            validation = open_split("validation")
        source: PairedImages | None = None
        if self.source_share:
            # Drawn even if it is not opened, so that the pool is the same.
            source, kept = self._draw(target, kept, self.source_share, "source")
            source = source if with_source else None
        elif with_source:
            source = open_split("source")
        if not kept:
            count = len(target.image_ids)
            raise DataError(
                f"data.target has {counted(count, 'image')}: too few for a pool beside source and validation"
            )
        first, pool, held_out = (
            with_classes(cached(images, cache), images.classes, classes) if images else NoImages()
            for images in (source, target.part(kept), validation)
        )
        tables = dict.fromkeys(images.classes for images in (source, target, validation) if images)
        return Domains(classes, first, pool, held_out, tuple(table for table in tables if table != classes))

    def _draw(
        self, target: PairedImages, among: tuple[str, ...], share: float, purpose: str
    ) -> tuple[PairedImages, tuple[str, ...]]:
        """A share of the target's images, at least one, and what is left.

        The digests of their names choose them, the same in every process.
        """

        def digest(name: str) -> bytes:
            return sha256(repr((self.split_seed, purpose, name)).encode()).digest()

        chosen = frozenset(sorted(among, key=digest)[: max(1, round(share * len(target.image_ids)))])
        return target.part(chosen), tuple(name for name in among if name not in chosen)


class FilesData(PicturesData):
    """A data set of files."""

    source_list: FilePath | None = None
    """Text or Parquet file with the names of the images to use, one a line. None: all images."""
    target_list: FilePath | None = None
    """Text or Parquet file with the names of the images to use, one a line. None: all images."""
    validation_list: FilePath | None = None
    """Text or Parquet file with the names of the images to use, one a line. None: all images."""
    cache: LocalPath | None = None
    """Local folder for decoded and resized images and labels, which processes share. None: decode at every use."""


class WithSourceSizes(PicturesData):
    """A data set whose source has sizes of its own; those of `PicturesData` are the target's."""

    source_input_size: Size | None = None
    """Height and width of the source's images at the network's input. None: as stored."""
    source_label_size: Size | None = None
    """Height and width of the source's labels in training. None: as stored."""

    @property
    def source_prefix(self) -> str:
        """See `DatasetSection`."""
        return "data." if self.source_share else "data.source_"
