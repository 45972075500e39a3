"""Images and labels in folders: `<root>/<domain>/<split>/{images,labels}/`, or wherever patterns say they lie."""

import copy
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ripu_ray.config import DatasetSection, Size
from ripu_ray.config.fields import Count, FilePath, LocalPath, Number, Seed
from ripu_ray.config.registry import DATASETS
from ripu_ray.data.caching import cached
from ripu_ray.data.encodings import read_label
from ripu_ray.data.images import ImageSet
from ripu_ray.data.labels import ClassTable, read_class_table
from ripu_ray.data.layout import IMAGES, LABELS, Pattern, find_place
from ripu_ray.data.listing import counted, keep_listed, match_pairs
from ripu_ray.data.loading import Domains, NoImages
from ripu_ray.data.pictures import (
    MAX_MEGAPIXELS,
    picture_size,
    read_image,
    resize_label,
    shown_size,
)
from ripu_ray.errors import DataError
from ripu_ray.storage.remote import check_readable

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
LABEL_SUFFIXES = (".png",)
_LOSSY_SUFFIXES = (".jpg", ".jpeg")
Share = Annotated[float, Number, Field(gt=0, lt=1)]


@DATASETS.register("folder")
class FolderData(DatasetSection):
    """Images and labels in `<root>/<domain>/<split>/{images,labels}/` with `<root>/classes.json`."""

    dataset: Literal["folder"] = "folder"
    """Name of the data set."""
    root: FilePath
    """Folder with classes.json and the images and labels."""
    images: Pattern = IMAGES
    """Pattern of the images' paths below `root` (docs/data.md)."""
    labels: Pattern = LABELS
    """Pattern of the labels' paths below `root`."""
    source: str = "source"
    """Folder of the source."""
    target: str = "target"
    """Folder of the target."""
    train_split: str = "train"
    """Folder of the source's images and of the pool."""
    validation_split: str = "val"
    """Folder of the target's validation images."""
    source_share: Share | None = None
    """Share of the target's images that are the source, with labels from the start. None: the folder `source`."""
    validation_share: Share | None = None
    """Share of the target's images that are used for validation. None: the folder `validation_split`."""
    split_seed: Seed = 0
    """Seed of the two shares. The choice depends only on this seed and the names of the images."""
    input_size: Size | None = None
    """Height and width of the images at the network's input; images are resized bilinearly. None: as stored."""
    label_size: Size | None = None
    """Height and width at which labels are bought and evaluated; labels are resized to nearest. None: as stored."""
    max_megapixels: Count = MAX_MEGAPIXELS
    """Maximum size of one picture. A larger picture is refused before it is decoded, which takes 3 MB per megapixel."""
    source_list: FilePath | None = None
    """Text file with the names of the images to use, one a line. None: all images."""
    target_list: FilePath | None = None
    """Text file with the names of the images to use, one a line. None: all images."""
    validation_list: FilePath | None = None
    """Text file with the names of the images to use, one a line. None: all images."""
    cache: LocalPath | None = None
    """Local folder for decoded and resized images and labels, which processes share. None: decode at every use."""

    @model_validator(mode="after")
    def _splits_are_told_once(self) -> Self:
        for split in ("source", "validation"):
            if getattr(self, f"{split}_share") and getattr(self, f"{split}_list"):
                raise ValueError(f"data.{split}_share takes a part of the target: leave out data.{split}_list")
        return self

    def open(self, with_source: bool = True) -> Domains:
        """See `DatasetSection`. Raises DataError, besides: `classes.json` is missing or wrong."""
        check_readable(self.root)
        if not self.root.is_dir():
            raise DataError(f"{self.root}: data.root is not a folder")
        classes = read_class_table(self.root / "classes.json")
        if self.asks_people and (self.source_share or self.validation_share):
            raise DataError("data.source_share and validation_share need labels, which oracle.kind human does not have")
        target = self._images(classes, self.target, self.train_split, self.target_list, "target", not self.asks_people)
        stems = tuple(target.files)
        kept, validation = stems, None
        if self.validation_share:
            chosen = _draw(stems, self.validation_share, self.split_seed, "validation")
            validation, kept = target.part(chosen), tuple(stem for stem in stems if stem not in chosen)
        elif not self.asks_people or self._has_labels(self.validation_split):
            validation = self._images(classes, self.target, self.validation_split, self.validation_list, "validation")
        source: ImageSet = NoImages()
        if self.source_share:
            # Drawn even if it is not opened, so that the pool is the same.
            chosen = _draw(stems, self.source_share, self.split_seed, "source", kept)
            kept = tuple(stem for stem in kept if stem not in chosen)
            source = self._cached(target.part(chosen), classes) if with_source else source
        elif with_source:
            images = self._images(classes, self.source, self.train_split, self.source_list, "source")
            source = self._cached(images, classes)
        if not kept:
            raise DataError(f"data.target has {len(stems)} images: too few for a pool beside source and validation")
        evaluated = self._cached(validation, classes) if validation else NoImages()
        return Domains(classes, source, self._cached(target.part(kept), classes), evaluated)

    def _images(
        self,
        classes: ClassTable,
        domain: str,
        split: str,
        names: Path | None,
        part: Literal["source", "target", "validation"],
        labelled: bool = True,
    ) -> "FolderImages":
        missing, hint = _HINTS[part]
        if missing and missing not in self.images + self.labels and names is None:
            raise DataError(f"data.images {self.images!r} has no {missing} to tell the {part} from the target: {hint}")
        folder = find_place(self.root, self.images, domain, split).folder
        if not folder.is_dir():
            raise DataError(f"{folder}: cannot be read (No such file or directory): {hint}")
        return FolderImages(
            self.root,
            domain,
            split,
            classes,
            self.input_size,
            self.label_size,
            names,
            (self.images, self.labels),
            self.max_megapixels,
            labelled,
        )

    def _has_labels(self, split: str) -> bool:
        return find_place(self.root, self.labels, self.target, split).folder.exists()

    def _cached(self, images: "FolderImages", classes: ClassTable) -> ImageSet:
        return cached(images, self.cache, "folder", classes, self.input_size, self.label_size)


_HINTS = {
    "target": ("", "data.target and data.train_split name the folders of the target"),
    "validation": (
        "{split}",
        "data.validation_split names the target's folder for validation; without one, set data.validation_share=0.2",
    ),
    "source": (
        "{domain}",
        "data.source names the source's folder; without one, data.source_share=0.3 starts from a labelled part of "
        "the target",
    ),
}
"""What a pattern needs to tell a part of the data apart, and what to do where it is not there."""


def _draw(
    stems: Sequence[str], share: float, seed: int, purpose: str, among: Sequence[str] | None = None
) -> frozenset[str]:
    """A share of the images, at least one, by the digest of their names: the same in every process.

    Args:
        stems: of which it is a share.
        share: in (0, 1).
        seed: another one draws others.
        purpose: likewise.
        among: those that may be drawn; None: all.
    """
    order = sorted(
        stems if among is None else among, key=lambda stem: sha256(repr((seed, purpose, stem)).encode()).digest()
    )
    return frozenset(order[: max(1, round(share * len(stems)))])


class FolderImages:
    """The images of one domain and split, with their labels; the `ImageSet` of a folder.

    Images are .jpg, .jpeg or .png (in any case), 8 bits a channel; labels are .png of the same stem, as `read_label`
    reads them. Hidden files and files of other kinds are passed over.

    Args:
        root: the data set's folder.
        domain: name of a folder in `root`.
        split: name of a folder in `root`/`domain`.
        classes: of the labels, and how these are stored.
        input_size: (height, width) of `image`, resized bilinearly; None: as stored.
        label_size: (height, width) of `label`, resized to nearest; None: as stored.
        names: list of the images to use; None: all.
        patterns: of the image and the label files, see `Pattern`. What `labels` means is no image.
        max_megapixels: of one picture.
        labelled: False: no labels are looked for, and `label` must not be called.

    Raises:
        DataError: a folder is missing or holds no image, an image and label pair is not complete, or two images have
            one stem. The files' contents are not looked at.
    """

    image_ids: tuple[str, ...]
    """`<domain>/<split>/<stem>`, sorted; without those of them that the pattern of images does not have."""
    files: Mapping[str, tuple[Path, Path]]
    """Image id -> image and label."""

    def __init__(
        self,
        root: Path,
        domain: str,
        split: str,
        classes: ClassTable,
        input_size: tuple[int, int] | None = None,
        label_size: tuple[int, int] | None = None,
        names: Path | None = None,
        patterns: tuple[str, str] = (IMAGES, LABELS),
        max_megapixels: int = MAX_MEGAPIXELS,
        labelled: bool = True,
    ) -> None:
        of_images, of_labels = (find_place(root, pattern, domain, split) for pattern in patterns)
        labels = of_labels.files((*LABEL_SUFFIXES, *_LOSSY_SUFFIXES)) if labelled else {}
        taken = set(labels.values())
        images = {stem: path for stem, path in of_images.files(IMAGE_SUFFIXES).items() if path not in taken}
        if not images:
            raise DataError(f"{of_images.folder}: holds no image ({', '.join(IMAGE_SUFFIXES)})")
        if names is not None:
            images = keep_listed(images, names)
            labels = {stem: path for stem, path in labels.items() if stem in images}
        if not labelled:
            labels = images  # an image stands for its own label, which has its size
        lossy = [path for path in labels.values() if labelled and path.suffix.lower() in _LOSSY_SUFFIXES]
        if faults := [f"{path}: a JPEG label, whose compression changes ids and colours: save PNGs" for path in lossy]:
            raise DataError(counted(faults), faults)
        self._classes = classes
        self._input_size, self._label_size = input_size, label_size
        self._max_megapixels = max_megapixels
        told = [name for place, name in (("{domain}", domain), ("{split}", split)) if place in patterns[0]]
        self.files = {"/".join((*told, stem)): pair for stem, pair in match_pairs(images, labels).items()}
        self.image_ids = tuple(self.files)

    def part(self, image_ids: Collection[str]) -> "FolderImages":
        """These of the images alone."""
        images = copy.copy(self)
        images.files = {image_id: pair for image_id, pair in self.files.items() if image_id in image_ids}
        images.image_ids = tuple(images.files)
        return images

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """The image at the network's input size.

        Args:
            image_id: one of `image_ids`.

        Returns:
            (h, w, 3) uint8, RGB.

        Raises:
            DataError: the file is damaged, is not 8-bit or too large, or asks to be rotated before it is shown while
                its label does not have the size that it is then shown in.
        """
        image_path, path = self.files[image_id]
        return read_image(image_path, self._input_size, self._max_megapixels, path)

    def label(self, image_id: str) -> NDArray[np.uint8]:
        """The label map at the size at which labels are bought and evaluated.

        Args:
            image_id: one of `image_ids`.

        Returns:
            (H, W) uint8 class ids, 255 = void.

        Raises:
            DataError: the file is damaged or stored in another way, differs in size from its image, or holds an id or
                a colour that no class has.
        """
        image_path, path = self.files[image_id]
        label_HW = read_label(path, self._classes, self._max_megapixels)
        height, width = picture_size(image_path, self._max_megapixels)
        if label_HW.shape == (width, height):
            height, width = shown_size(image_path, self._max_megapixels)
        if label_HW.shape != (height, width):
            sizes = f"{label_HW.shape[1]}x{label_HW.shape[0]}, its image {width}x{height}"
            raise DataError(f"{path}: the label is {sizes} (width x height)")
        return resize_label(label_HW, self._label_size)

    def label_size(self, image_id: str) -> tuple[int, int]:
        """(height, width) of `label(image_id)`, from the file's header at most. Raises DataError if it is damaged."""
        if self._label_size is not None:
            return self._label_size
        return picture_size(self.files[image_id][1], self._max_megapixels)
