"""Pictures on disk. Each fault of a file is one line that names the file."""

import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ripu_ray.errors import DataError, whole_message

Id = TypeVar("Id", bound=np.integer[Any])
PNG_GREY, PNG_COLOUR, PNG_PALETTE, PNG_COLOUR_ALPHA = 0, 2, 3, 6
"""Colour types of a PNG header."""
_LFS = b"version https://git-lfs"
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
)
MAX_MEGAPIXELS = 200
"""Of one picture, unless a setting allows more: an aerial tile of 10,000 pixels a side has 100."""
# `opened` has a limit of its own, that a setting can raise.
Image.MAX_IMAGE_PIXELS = None
# The check before a run notes them; every later reading would repeat them.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
_TURNED = (5, 6, 7, 8)
"""EXIF orientations that exchange height and width."""


class _Reading(threading.local):
    """The file that this thread reads."""

    path: Path | None = None


_reading = _Reading()


@contextmanager
def noted_warnings() -> Iterator[dict[str, dict[Path, None]]]:
    """What Pillow warns of while it reads, from all threads: warning -> files, each once."""
    noted: dict[str, dict[Path, None]] = {}

    def note(message: Warning | str, category: type[Warning], *place: object, **more: object) -> None:
        if _reading.path is None:
            show(message, category, *place, **more)  # type: ignore[arg-type]
        else:
            noted.setdefault(" ".join(str(message).split()), {})[_reading.path] = None

    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=UserWarning, module=r"PIL\.")
        show, warnings.showwarning = warnings.showwarning, note
        yield noted


@contextmanager
def opened(path: Path, max_megapixels: int = MAX_MEGAPIXELS) -> Iterator[Image.Image]:
    """The picture, for reading inside the `with`. Every fault of the file becomes a DataError that names the file.

    A file of several pictures is the first of them if it is a camera's (MPO), and refused if it is an animation.
    """
    before, _reading.path = _reading.path, path
    try:
        # Opened here, as Pillow would ask the operating system for what may be behind a URL.
        with path.open("rb") as file, Image.open(file, formats=("JPEG", "PNG")) as picture:
            if picture.width * picture.height > max_megapixels * 10**6:
                size = f"{picture.width}x{picture.height} pixels"
                raise DataError(f"{path}: {size}: expected at most {max_megapixels} million (data.max_megapixels)")
            if getattr(picture, "is_animated", False) and picture.format != "MPO":
                raise DataError(f"{path}: an animation, expected a single picture")
            yield picture
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: {_reason(path, error)}") from None
    except _DAMAGE as error:
        raise DataError(f"{path}: the image is damaged ({whole_message(error)})") from None
    finally:
        _reading.path = before


def _unlike(start: bytes, wanted: str) -> str:
    """What a file is that begins with these bytes, and is no picture."""
    if start.startswith(_LFS):
        return "a pointer of Git LFS, not the picture: `git lfs pull` fetches it"
    return f"not a {wanted} image"


def _reason(path: Path, error: OSError) -> str:
    """Why a file cannot be read."""
    if lost := _lost_link(path):
        return lost
    if isinstance(error, FileNotFoundError):
        return "the file is missing"
    if isinstance(error, UnidentifiedImageError):
        with path.open("rb") as file:
            return _unlike(file.read(len(_LFS)), "JPEG or PNG")
    if error.strerror:  # of the operating system, not of Pillow
        return f"cannot be read ({error.strerror})"
    return f"the image is damaged ({whole_message(error)})"


def _lost_link(path: Path) -> str:
    """What a link without a target names; "" for any other file."""
    return f"a link to {path.readlink()}, which is not there" if path.is_symlink() and not path.exists() else ""


def read_image(
    path: Path, size: tuple[int, int] | None, max_megapixels: int = MAX_MEGAPIXELS, label: Path | None = None
) -> NDArray[np.uint8]:
    """A picture in colour.

    Args:
        path: JPEG or PNG.
        size: (height, width), resized bilinearly; None: as stored.
        max_megapixels: of the picture.
        label: the picture's label. Its size shows whether a picture with an EXIF rotation of 90 degrees is turned.

    Returns:
        (h, w, 3) uint8, RGB, the caller's own.

    Raises:
        DataError: the file is damaged, is not 8-bit, or its EXIF orientation rotates it. A rotation of 90 degrees is
            accepted if the label has the size of the rotated picture and not that of the stored one.
    """
    with opened(path, max_megapixels) as picture:
        # Of colours in 16 bits, Pillow keeps one byte without a warning.
        if picture.mode not in _IMAGE_MODES or (picture.format == "PNG" and png_header(path)[0] > 8):
            raise DataError(f"{path}: mode {picture.mode}: expected 8 bits a channel, colour or grey")
        orientation = _orientation(picture)
        turned = orientation in _TURNED and label is not None and picture.width != picture.height
        if turned and label and picture_size(label, max_megapixels) == picture.size:
            picture = ImageOps.exif_transpose(picture)
        elif orientation != 1:
            _refuse_rotation(path)
        picture.info.pop("transparency", None)
        colour = picture if picture.mode == "RGB" else picture.convert("RGB")  # of 100 megapixels, a copy is 400 MB
        if size is not None and size != (colour.height, colour.width):
            colour = colour.resize(size[::-1], Image.Resampling.BILINEAR)
        return np.array(colour)


def check_upright(picture: Image.Image, path: Path) -> None:
    """Refuse a picture whose EXIF orientation rotates it. Reads the whole file. Raises DataError."""
    if _orientation(picture) != 1:
        _refuse_rotation(path)


def _refuse_rotation(path: Path) -> NoReturn:
    # Labels may be aligned with the pixels as stored or as shown.
    raise DataError(
        f"{path}: its EXIF orientation asks for a rotation: store the pixels upright (mogrify -auto-orient)"
    )


def _orientation(picture: Image.Image) -> int:
    """1 to 8, as shown by every viewer; whatever else a camera wrote means 1."""
    orientation = picture.getexif().get(_EXIF_ORIENTATION, 1)
    return orientation if orientation in range(1, 9) else 1


def picture_size(path: Path, max_megapixels: int = MAX_MEGAPIXELS) -> tuple[int, int]:
    """(height, width) as stored, from the file's header. Raises DataError if it is damaged or too large."""
    with opened(path, max_megapixels) as picture:
        return picture.height, picture.width


def shown_size(path: Path, max_megapixels: int = MAX_MEGAPIXELS) -> tuple[int, int]:
    """(height, width) after the rotation that the file asks for. Raises DataError if it is damaged or too large."""
    with opened(path, max_megapixels) as picture:
        return picture.size if _orientation(picture) in _TURNED else picture.size[::-1]


def resize_label(label_HW: NDArray[Id], size: tuple[int, int] | None) -> NDArray[Id]:
    """The label map at (height, width) `size`, each pixel its nearest; None, or the same size, returns it."""
    if size is None or size == label_HW.shape:
        return label_HW
    return np.array(Image.fromarray(label_HW).resize(size[::-1], Image.Resampling.NEAREST))


def png_header(path: Path) -> tuple[int, int]:
    """Bit depth and colour type of a PNG as they are stored; Pillow may convert them.

    Raises:
        DataError: the file cannot be read, or is not a PNG.

    Source: PNG specification, 5.2 and 11.2.1 (bytes 24 and 25 of the file).
    """
    try:
        with path.open("rb") as file:
            header = file.read(26)
    except OSError as error:
        raise DataError(f"{path}: {_lost_link(path) or f'cannot be read ({error.strerror})'}") from None
    if len(header) < 26 or header[:8] != _PNG_SIGNATURE:
        raise DataError(f"{path}: {_unlike(header, 'PNG')}")
    return header[24], header[25]
