"""Images and labels in `<root>/<domain>/<split>/{images,labels}/`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ripu_ray.config import DatasetSection, Size
from ripu_ray.config.fields import FilePath, LocalPath
from ripu_ray.config.registry import DATASETS
from ripu_ray.data.caching import cached
from ripu_ray.data.encodings import read_label
from ripu_ray.data.images import ImageSet
from ripu_ray.data.labels import ClassTable, read_class_table
from ripu_ray.data.listing import counted, keep_listed, list_files, match_pairs
from ripu_ray.data.loading import Domains, NoImages
from ripu_ray.data.pictures import (
    picture_size,
    read_image,
    resize_label,
)
from ripu_ray.errors import DataError
from ripu_ray.storage.remote import check_readable

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
LABEL_SUFFIXES = (".png",)
_LOSSY_SUFFIXES = (".jpg", ".jpeg")


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
    source_list: FilePath | None = None
    """Text file, one image name a line: the images of the source to use. None: all. The others likewise."""
    target_list: FilePath | None = None
    validation_list: FilePath | None = None
    cache: LocalPath | None = None
    """Folder for decoded and resized images and labels, on a local disk; many processes may share it. None: decode
    at every use."""

    def open(self, with_source: bool = True) -> Domains:
        """See `DatasetSection`. Raises DataError, besides: `classes.json` is missing or wrong."""
        check_readable(self.root)
        if not self.root.is_dir():
            raise DataError(f"{self.root}: data.root is not a folder")
        classes = read_class_table(self.root / "classes.json")

        def images(domain: str, split: str, names: Path | None, labelled: bool = True) -> ImageSet:
            files = FolderImages(self.root, domain, split, classes, self.input_size, self.label_size, names, labelled)
            return cached(files, self.cache, "folder", classes, self.input_size, self.label_size)

        return Domains(
            classes=classes,
            source=images(self.source, self.train_split, self.source_list) if with_source else NoImages(),
            pool=images(self.target, self.train_split, self.target_list, labelled=not self.asks_people),
            validation=NoImages()
            if self.asks_people and not (self.root / self.target / self.validation_split / "labels").exists()
            else images(self.target, self.validation_split, self.validation_list),
        )


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
        labelled: False: no labels are looked for, and `label` must not be called.

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
        classes: ClassTable,
        input_size: tuple[int, int] | None = None,
        label_size: tuple[int, int] | None = None,
        names: Path | None = None,
        labelled: bool = True,
    ) -> None:
        folder = root / _plain_name(domain) / _plain_name(split)
        images = list_files(folder / "images", IMAGE_SUFFIXES)
        # An image without label stands for its own label, which has its size.
        labels = list_files(folder / "labels", (*LABEL_SUFFIXES, *_LOSSY_SUFFIXES)) if labelled else images
        if not images:
            raise DataError(f"{folder / 'images'}: holds no image ({', '.join(IMAGE_SUFFIXES)})")
        if names is not None:
            images = keep_listed(images, names)
            labels = {stem: path for stem, path in labels.items() if stem in images}
        lossy = [path for path in labels.values() if labelled and path.suffix.lower() in _LOSSY_SUFFIXES]
        if faults := [f"{path}: a JPEG label, whose compression changes ids and colours: save PNGs" for path in lossy]:
            raise DataError(counted(faults), faults)
        pairs = match_pairs(images, labels)
        self._classes = classes
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
            DataError: the file is damaged or stored in another way, differs in size from its image, or holds an id or
                a colour that no class has.
        """
        image_path, path = self.files[image_id]
        label_HW = read_label(path, self._classes)
        height, width = picture_size(image_path)
        if label_HW.shape != (height, width):
            sizes = f"{label_HW.shape[1]}x{label_HW.shape[0]}, its image {width}x{height}"
            raise DataError(f"{path}: the label is {sizes} (width x height)")
        return resize_label(label_HW, self._label_size)

    def label_size(self, image_id: str) -> tuple[int, int]:
        """(height, width) of `label(image_id)`, from the file's header at most. Raises DataError if it is damaged."""
        if self._label_size is not None:
            return self._label_size
        return picture_size(self.files[image_id][1])


def _plain_name(name: str) -> str:
    if name in ("", ".", "..") or set(name) & {"/", "\\", "\0"}:
        raise DataError(f"{name!r}: expected the name of a folder inside data.root, not a path")
    return name
