"""Shared by the annotation formats: names of images and classes, and the content of a file about one image."""

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ripu_ray.annotation.asking import Question
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.labels import ClassTable
from ripu_ray.errors import DataError
from ripu_ray.storage.bounded import read_limited

MAX_BYTES = 2**29
"""Of an annotation file."""
_PICTURES = (".png", ".jpg", ".jpeg")
_FOLDERS = ("images", "labels", "/", ".")
"""Parts of a path that do not count in the name of an image."""
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts in front of the name of an uploaded file."""
_DROPPED = re.compile(r"[^-\w.]")
"""What Django, in which Label Studio is written, drops from such a name after it has replaced spaces by underlines."""
TOKEN = "questions"
"""Name, in a file, of the token of a round's questions."""
ATTRIBUTES = ("round", "rank", "score", "row", "col", TOKEN)
"""Names of the attributes of a question."""
QUERY = -1
"""Label of a question itself, which is not an answer."""


@dataclass(frozen=True)
class Drawing:
    """One annotation: the pixels of a part of the image that have one label.

    Attributes:
        label: class id; IGNORE_LABEL: no class; QUERY: a question.
        corner: row and column of the mask's first pixel in the image.
        mask_hw: (h, w) bool.
        is_click: the mask is one pixel, which stands for the whole region of the question that it is in.
    """

    label: int
    corner: tuple[int, int]
    mask_hw: NDArray[np.bool_]
    is_click: bool = False


@dataclass(frozen=True)
class Sheet:
    """What a file says about one image, by one annotator.

    Attributes:
        image: its name in the file.
        size: (H, W) by the file; None: as the label map's.
        drawings: in order, later ones over earlier ones. Iterating raises ValueError, which names the annotation.
        name: of the sheet, if a file may have several of one image.
        seconds: of work, NaN if the tool does not record it.
        tokens: of the questions (`AskedTrial.token`), as far as the file still has them.
    """

    image: str
    size: tuple[int, int] | None
    drawings: Iterable[Drawing]
    name: str = ""
    seconds: float = math.nan
    tokens: tuple[str, ...] = ()


class Names:
    """Labels of an annotation tool: the classes, a label for questions, and one for pixels without class.

    Args:
        classes: of the data set. A class may already be called "query" or "void".
    """

    def __init__(self, classes: ClassTable) -> None:
        self.classes = classes
        self.query = _free("query", "query of ripu", classes)
        self.void = _free("void", "no class", classes)
        self._labels = {name: label for label, name in enumerate(classes.names)}
        self._labels |= {self.query: QUERY, self.void: IGNORE_LABEL}

    def label(self, name: object) -> int:
        """Class id, IGNORE_LABEL or QUERY. Raises ValueError: there is no such label."""
        if not isinstance(name, str) or name not in self._labels:
            known = ", ".join(self._labels)
            raise ValueError(f"unknown class {name!r}: expected {known}")
        return self._labels[name]

    @property
    def drawn(self) -> list[tuple[str, tuple[int, int, int]]]:
        """Name and colour of each label that a tool offers, in the order of the ids; the label of questions is last."""
        colours = (*self.classes.colours, (0, 0, 0), (255, 255, 255))
        return list(zip((*self.classes.names, self.void, self.query), colours, strict=True))


def _free(name: str, other: str, classes: ClassTable) -> str:
    """A name that no class has: the first or the second one, or the second with underlines after it."""
    while name in classes.names:
        name, other = other, f"{other}_"
    return name


class Images:
    """The images of the pool by their names in files.

    Args:
        image_ids: of the pool.
    """

    def __init__(self, image_ids: Sequence[str]) -> None:
        self._by_name: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        self._by_upload: dict[str, list[str]] = {}
        self._by_path = {_composed(image_id): image_id for image_id in image_ids}
        for path, image_id in self._by_path.items():
            *folders, stem = path.split("/")
            parts = (*(part for part in folders if part not in _FOLDERS), stem)
            self._by_name.setdefault(stem, []).append((image_id, parts))
            self._by_upload.setdefault(_uploaded(stem), []).append(image_id)

    def name_of(self, path: Path) -> str:
        """The name of the image of a label map: the path if `find` finds an image, else the file's name."""
        try:
            self.find(path.as_posix())
        except ValueError:
            return path.name
        return path.as_posix()

    def find(self, name: str) -> str:
        """The image whose id ends with a name, or with whose id the name ends; folders `images`, `labels` are ignored.

        Args:
            name: with "/" between folders, with or without the suffix of a picture.

        Raises:
            ValueError: there is none, or several.
        """
        path = PurePosixPath(_composed(name).replace("\\", "/"))
        # An id may itself end like the name of a picture: that of `a.jpg.png` is `a.jpg`.
        stems = (path.stem, path.name) if path.suffix.lower() in _PICTURES else (path.name,)
        for stem in stems:
            if image_id := self._by_path.get(str(path.with_name(stem)) if stem else ""):
                return image_id
        folders = tuple(part for part in path.parts[:-1] if part not in _FOLDERS)
        for last in dict.fromkeys((*stems, *(_UPLOADED.sub("", stem) for stem in stems))):
            if last in stems:
                given = (*folders, last)
                found = [
                    image_id
                    for image_id, own in self._by_name.get(last, [])
                    if own[-len(given) :] == given or given[-len(own) :] == own
                ]
            else:  # an uploaded file has lost its folders
                found = self._by_upload.get(_uploaded(last), [])
            if len(found) > 1:
                raise ValueError(f"may be {found[0]} or {found[1]}: expected a name with its folders")
            if found:
                return found[0]
        raise ValueError("is not an image of the pool")


def _uploaded(stem: str) -> str:
    """A name without suffix as Label Studio stores it. Source: `get_valid_filename` of Django."""
    return _DROPPED.sub("", stem.replace(" ", "_"))


def _composed(name: str) -> str:
    """A name with accents as parts of their letters; macOS separates them."""
    return unicodedata.normalize("NFC", name)


@dataclass(frozen=True)
class Export:
    """What is written for a tool about one image.

    Attributes:
        image_id, size: of the image; (H, W) of its labels.
        token: of the questions (`AskedTrial.token`).
        questions: in it, in the order of the round.
        regions: for each question, corner and mask of its region.
        predicted: for each question, (h, w) uint8 classes that the network predicts in the box of its region.
    """

    image_id: str
    size: tuple[int, int]
    token: str
    questions: tuple[Question, ...]
    regions: tuple[Drawing, ...]
    predicted: tuple[NDArray[np.uint8], ...]

    @property
    def file_name(self) -> str:
        """Path of the image below the folder of images."""
        return f"{self.image_id}.png"

    def predictions(self) -> Iterable[tuple[Question, Drawing]]:
        """For each question, a drawing for each predicted class in its region."""
        for question, region, predicted_hw in zip(self.questions, self.regions, self.predicted, strict=True):
            for label in np.unique(predicted_hw[region.mask_hw]).tolist():
                yield question, Drawing(label, region.corner, region.mask_hw & (predicted_hw == label))


def attributes(question: Question, token: str) -> dict[str, int | float | str]:
    """The attributes of a question in a tool, with the token of its round."""
    values = (question.round, question.rank, question.score, *question.key[1:], token)
    return dict(zip(ATTRIBUTES, values, strict=True))


def tokens(values: Iterable[object]) -> tuple[str, ...]:
    """The values that a file has for TOKEN, without empty ones, which a tool may add."""
    return tuple(str(value) for value in values if value not in (None, ""))


def read_bytes(path: Path) -> bytes:
    """The content of an annotation file. Raises DataError: it cannot be read, or is too large."""
    try:
        return read_limited(path, MAX_BYTES)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
