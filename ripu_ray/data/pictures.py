"""Pictures on disk: opened so that whatever is wrong with a file becomes one line that names it."""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ripu_ray.errors import DataError

PNG_GREY, PNG_COLOUR, PNG_PALETTE, PNG_COLOUR_ALPHA = 0, 2, 3, 6
"""Colour types of a PNG header."""
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_IMAGE_MODES = ("RGB", "RGBA", "L", "LA", "P")
_EXIF_ORIENTATION = 0x0112
# What Pillow raises for damaged JPEG and PNG files, found by truncating and flipping bytes: tests/fuzz.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
    Warning,
    Image.DecompressionBombError,
)
# Of pictures so large that they may be made to fill the memory, and of tags that are cut off, Pillow only warns.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
warnings.filterwarnings("error", category=UserWarning, module=r"PIL\.")


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The picture, for reading inside the `with`; whatever is wrong with the file becomes a DataError that names it."""
    try:
        # Opened here, as Pillow would ask the operating system for what may be behind a URL.
        with path.open("rb") as file, Image.open(file, formats=("JPEG", "PNG")) as picture:
            if getattr(picture, "is_animated", False):
                raise DataError(f"{path}: an animation: which of its pictures is meant cannot be told")
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


def read_image(path: Path, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """A picture in colour.

    Args:
        path: JPEG or PNG.
        size: (height, width), resized bilinearly; None: as stored.

    Returns:
        (h, w, 3) uint8, RGB, the caller's own.

    Raises:
        DataError: the file is damaged, is not 8-bit, or asks to be rotated before it is shown.
    """
    with opened(path) as picture:
        # Of colour in 16 bits Pillow keeps one byte, and says nothing.
        if picture.mode not in _IMAGE_MODES or (picture.format == "PNG" and png_header(path)[0] > 8):
            raise DataError(f"{path}: mode {picture.mode}: expected 8 bits a channel, colour or grey")
        check_upright(picture, path)
        picture.info.pop("transparency", None)
        colour = picture.convert("RGB")
        if size is not None and size != (colour.height, colour.width):
            colour = colour.resize(size[::-1], Image.Resampling.BILINEAR)
        return np.array(colour)


def check_upright(picture: Image.Image, path: Path) -> None:
    """Refuse a picture that asks to be rotated before it is shown. Reads the whole file. Raises DataError."""
    # Labels are aligned with the pixels either as stored or as shown: which of them cannot be told.
    if picture.getexif().get(_EXIF_ORIENTATION, 1) != 1:
        raise DataError(f"{path}: its EXIF orientation asks for a rotation: store the pixels upright")


def picture_size(path: Path) -> tuple[int, int]:
    """(height, width), from the file's header. Raises DataError if it is damaged."""
    with opened(path) as picture:
        return picture.height, picture.width


def resize_label(label_HW: NDArray[np.uint8], size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """The label map at (height, width) `size`, each pixel its nearest; None, or the same size, returns it."""
    if size is None or size == label_HW.shape:
        return label_HW
    return np.array(Image.fromarray(label_HW).resize(size[::-1], Image.Resampling.NEAREST))


def png_header(path: Path) -> tuple[int, int]:
    """Bit depth and colour type of a PNG: what is really stored, whatever Pillow makes of it.

    Raises:
        DataError: the file cannot be read, or is no PNG.

    Source: PNG specification, 5.2 and 11.2.1 (bytes 24 and 25 of the file).
    """
    try:
        with path.open("rb") as file:
            header = file.read(26)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    if len(header) < 26 or header[:8] != _PNG_SIGNATURE:
        raise DataError(f"{path}: not a PNG image")
    return header[24], header[25]
