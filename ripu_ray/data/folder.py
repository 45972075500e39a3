"""Images and labels in `<root>/<domain>/<split>/{images,labels}/`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import DatasetSection, Size
from ripu_ray.config.fields import FilePath, LocalPath
from ripu_ray.config.registry import DATASETS
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.caching import cached
from ripu_ray.data.images import ImageSet
from ripu_ray.data.labels import read_class_table
from ripu_ray.data.listing import list_files, match_pairs
from ripu_ray.data.loading import Domains, NoImages
from ripu_ray.data.pictures import (
    PNG_GREY,
    PNG_PALETTE,
    check_upright,
    opened,
    picture_size,
    png_header,
    read_image,
    resize_label,
)
from ripu_ray.errors import DataError
from ripu_ray.storage.remote import check_readable

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
LABEL_SUFFIXES = (".png",)


@DATASETS.register("folder")
class FolderData(DatasetSection):
    """Images and labels in `<root>/<domain>/<split>/{images,labels}/` with `<root>/classes.json`."""

    dataset: Literal["folder"] = "folder"
    root: FilePath
    source: str = "source"
    target: str = "target"
    train_split: str = "train"
    validation_split: str = "val"
    input_size: Size | None = None
    """(height, width) the network sees; images are resized bilinearly. None: as stored."""
    label_size: Size | None = None
    """(height, width) at which labels are bought and evaluated; resized to nearest. None: as stored."""
    cache: LocalPath | None = None
    """Folder for decoded and resized images and labels, on a local disk; many processes may share it. None: decode
    at every use."""

    def open(self, with_source: bool = True) -> Domains:
        """See `DatasetSection`. Raises DataError, besides: `classes.json` is missing or wrong."""
        check_readable(self.root)
        if not self.root.is_dir():
            raise DataError(f"{self.root}: data.root is not a folder")
        classes = read_class_table(self.root / "classes.json")

        def images(domain: str, split: str) -> ImageSet:
            files = FolderImages(self.root, domain, split, classes.num_classes, self.input_size, self.label_size)
            return cached(files, self.cache, "folder", classes, self.input_size, self.label_size)

        return Domains(
            classes=classes,
            source=images(self.source, self.train_split) if with_source else NoImages(),
            pool=images(self.target, self.train_split),
            validation=images(self.target, self.validation_split),
        )


class FolderImages:
    """The images of one domain and split, with their labels; the `ImageSet` of a folder.

    Images are .jpg, .jpeg or .png (in any case), 8 bits a channel; labels are .png of the same stem, 8-bit, one
    channel, holding class ids (a palette's indices are the ids). Hidden files and files of other kinds are passed over.

    Args:
        root: the data set's folder.
        domain: name of a folder in `root`.
        split: name of a folder in `root`/`domain`.
        num_classes: labels hold ids 0..num_classes-1 and 255.
        input_size: (height, width) of `image`, resized bilinearly; None: as stored.
        label_size: (height, width) of `label`, resized to nearest; None: as stored.

    Raises:
        DataError: a folder is missing or holds no image, an image and label pair is not complete, or two images have
            one stem. The files' contents are not looked at.
    """

    image_ids: tuple[str, ...]
    """`<domain>/<split>/<stem>`, sorted."""
    files: Mapping[str, tuple[Path, Path]]
    """Image id -> image and label."""

    def __init__(
        self,
        root: Path,
        domain: str,
        split: str,
        num_classes: int,
        input_size: tuple[int, int] | None = None,
        label_size: tuple[int, int] | None = None,
    ) -> None:
        folder = root / _plain_name(domain) / _plain_name(split)
        images = list_files(folder / "images", IMAGE_SUFFIXES)
        labels = list_files(folder / "labels", LABEL_SUFFIXES)
        if not images:
            raise DataError(f"{folder / 'images'}: holds no image ({', '.join(IMAGE_SUFFIXES)})")
        pairs = match_pairs(images, labels)
        self._num_classes = num_classes
        self._input_size = input_size
        self._label_size = label_size
        self.files = {f"{domain}/{split}/{stem}": pair for stem, pair in pairs.items()}
        self.image_ids = tuple(self.files)

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """The image at the network's input size.

        Args:
            image_id: one of `image_ids`.

        Returns:
            (h, w, 3) uint8, RGB.

        Raises:
            DataError: the file is damaged, is not 8-bit, or asks to be rotated before it is shown.
        """
        return read_image(self.files[image_id][0], self._input_size)

    def label(self, image_id: str) -> NDArray[np.uint8]:
        """The label map at the size at which labels are bought and evaluated.

        Args:
            image_id: one of `image_ids`.

        Returns:
            (H, W) uint8 class ids, 255 = void.

        Raises:
            DataError: the file is damaged, is not an 8-bit single-channel PNG, differs in size from its image, or
                holds an id outside the classes.
        """
        image_path, path = self.files[image_id]
        _check_label_header(path)
        height, width = picture_size(image_path)
        with opened(path) as picture:
            if picture.size != (width, height):
                sizes = f"{picture.width}x{picture.height}, its image {width}x{height}"
                raise DataError(f"{path}: the label is {sizes} (width x height)")
            check_upright(picture, path)
            label = np.array(picture)
        counts = np.bincount(label.ravel(), minlength=IGNORE_LABEL + 1)
        unknown = np.flatnonzero(counts[self._num_classes : IGNORE_LABEL]) + self._num_classes
        if unknown.size:
            raise DataError(f"{path}: label id {unknown[0]} is outside the classes 0..{self._num_classes - 1} and 255")
        return resize_label(label, self._label_size)

    def label_size(self, image_id: str) -> tuple[int, int]:
        """(height, width) of `label(image_id)`, from the file's header at most. Raises DataError if it is damaged."""
        if self._label_size is not None:
            return self._label_size
        return picture_size(self.files[image_id][1])


def _plain_name(name: str) -> str:
    if name in ("", ".", "..") or set(name) & {"/", "\\", "\0"}:
        raise DataError(f"{name!r}: expected the name of a folder inside data.root, not a path")
    return name


def _check_label_header(path: Path) -> None:
    """Refuse what Pillow would read without complaint but with other numbers than the file holds.

    It spreads grey of 1, 2 or 4 bits over 0..255, and takes a JPEG that is named .png.
    """
    depth, colour_type = png_header(path)
    if colour_type != PNG_PALETTE and (colour_type, depth) != (PNG_GREY, 8):
        raise DataError(f"{path}: expected a PNG of one 8-bit channel (class ids) or with a palette (of class ids)")
