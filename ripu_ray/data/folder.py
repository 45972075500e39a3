"""Images and labels in `<root>/<domain>/<split>/{images,labels}/`."""

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
LABEL_SUFFIXES = (".png",)
_IMAGE_MODES = ("RGB", "RGBA", "L", "LA", "P")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_GREY, _PNG_PALETTE = 0, 3
_EXIF_ORIENTATION = 0x0112
# What Pillow raises for damaged JPEG and PNG files, found by truncating and flipping bytes.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


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
        images = _list_files(folder / "images", IMAGE_SUFFIXES)
        labels = _list_files(folder / "labels", LABEL_SUFFIXES)
        if not images:
            raise DataError(f"{folder / 'images'}: holds no image ({', '.join(IMAGE_SUFFIXES)})")
        _refuse([images[stem] for stem in images if stem not in labels], "has no label")
        _refuse([labels[stem] for stem in labels if stem not in images], "has no image")
        self._num_classes = num_classes
        self._input_size = input_size
        self._label_size = label_size
        self._files = {f"{domain}/{split}/{stem}": (images[stem], labels[stem]) for stem in images}
        self.image_ids = tuple(self._files)

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """The image at the network's input size.

        Args:
            image_id: one of `image_ids`.

        Returns:
            (h, w, 3) uint8, RGB.

        Raises:
            DataError: the file is damaged, is not 8-bit, or asks to be rotated before it is shown.
        """
        path, _ = self._files[image_id]
        with _opened(path) as picture:
            if picture.mode not in _IMAGE_MODES:
                raise DataError(f"{path}: mode {picture.mode}: expected 8 bits a channel, colour or grey")
            # Labels are aligned with the pixels either as stored or as shown: which of them cannot be told.
            if picture.getexif().get(_EXIF_ORIENTATION, 1) != 1:
                raise DataError(f"{path}: its EXIF orientation asks for a rotation: store the pixels upright")
            picture.info.pop("transparency", None)
            colour = picture.convert("RGB")
            if self._input_size is not None and self._input_size != (colour.height, colour.width):
                colour = colour.resize(self._input_size[::-1], Image.Resampling.BILINEAR)
            return np.array(colour)

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
        image_path, path = self._files[image_id]
        _check_label_header(path)
        with _opened(image_path) as picture:
            image_size = picture.size
        with _opened(path) as picture:
            if picture.size != image_size:
                sizes = f"{picture.width}x{picture.height}, its image {image_size[0]}x{image_size[1]}"
                raise DataError(f"{path}: the label is {sizes} (width x height)")
            label = np.array(picture)
        counts = np.bincount(label.ravel(), minlength=IGNORE_LABEL + 1)
        unknown = np.flatnonzero(counts[self._num_classes : IGNORE_LABEL]) + self._num_classes
        if unknown.size:
            raise DataError(f"{path}: label id {unknown[0]} is outside the classes 0..{self._num_classes - 1} and 255")
        if self._label_size is not None and self._label_size != label.shape:
            resized = Image.fromarray(label).resize(self._label_size[::-1], Image.Resampling.NEAREST)
            label = np.array(resized)
        return label

    def label_size(self, image_id: str) -> tuple[int, int]:
        """(height, width) of `label(image_id)`, from the file's header at most. Raises DataError if it is damaged."""
        if self._label_size is not None:
            return self._label_size
        with _opened(self._files[image_id][1]) as picture:
            return picture.height, picture.width


def _plain_name(name: str) -> str:
    if name in ("", ".", "..") or set(name) & {"/", "\\", "\0"}:
        raise DataError(f"{name!r}: expected the name of a folder inside data.root, not a path")
    return name


def _list_files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Stem -> file, sorted by stem."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_file() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from None
    files: dict[str, Path] = {}
    for path in (folder / name for name in names):
        if path.suffix.lower() not in suffixes:
            continue
        if path.stem in files:
            raise DataError(f"{path}: {files[path.stem].name} has the same stem")
        files[path.stem] = path
    return dict(sorted(files.items()))


def _refuse(paths: list[Path], fault: str) -> None:
    if paths:
        more = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
        raise DataError(f"{paths[0]}: {fault}{more}")


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The picture, for reading inside the `with`; whatever is wrong with the file becomes a DataError that names it."""
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as picture:
            yield picture
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: the file is missing") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: not a JPEG or PNG image") from None
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: the image is damaged ({reason})") from None


def _check_label_header(path: Path) -> None:
    """Refuse what Pillow would read without complaint but with other numbers than the file holds.

    It spreads grey of 1, 2 or 4 bits over 0..255, and takes a JPEG that is named .png. Layout of the header: PNG
    specification, 5.2 and 11.2.1 (bit depth and colour type are bytes 24 and 25 of the file).
    """
    try:
        with path.open("rb") as file:
            header = file.read(26)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    if len(header) < 26 or header[:8] != _PNG_SIGNATURE:
        raise DataError(f"{path}: not a PNG image")
    depth, colour_type = header[24], header[25]
    if colour_type != _PNG_PALETTE and (colour_type, depth) != (_PNG_GREY, 8):
        raise DataError(f"{path}: expected a PNG of one 8-bit channel (class ids) or with a palette (of class ids)")
