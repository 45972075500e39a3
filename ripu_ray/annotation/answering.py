"""Answers of annotation tools -> the questions they answer, checked, and committed all or none.

Rules: pixels count inside the asked regions alone. In one sheet, later drawings lie over earlier ones. A question with
at least one drawn pixel is answered; its other pixels have no class. Two sheets that answer one question must agree. An
answer that a round is trained on is never changed.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ripu_ray.annotation import coco, cvat, labelstudio, pngs
from ripu_ray.annotation.asking import AskedTrial
from ripu_ray.annotation.catalogue import QUERY, Images, Names, Sheet
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.errors import DataError, first_of, in_one_line
from ripu_ray.runs.answers import Answer, Key, check_size


@dataclass
class Outcome:
    """What `answer` did.

    Attributes:
        answered: number of questions that were open and are answered now.
        repeated: number of answers that were given before and are the same.
        replaced: number of answers that replace others.
        partly: number of new answers in which some pixels were not drawn; these pixels have no class.
        outside: number of labelled pixels outside all questions, by image.
        accepted: whether the labels outside all questions are used.
        skipped: one line for each image, file or answer that was skipped.
    """

    answered: int = 0
    repeated: int = 0
    replaced: int = 0
    partly: int = 0
    outside: dict[str, int] = field(default_factory=dict)
    accepted: bool = False
    skipped: list[str] = field(default_factory=list)


def answer(
    asked: AskedTrial,
    files: Sequence[Path],
    skip_bad: bool = False,
    accept_extra: bool = False,
    replace_answers: bool = False,
) -> Outcome:
    """Read answers, match them to the questions, and commit them: all of them, or none. See `ripu_ray.answer`.

    Raises:
        DataError: `faults` has a line for each file.
    """
    intake = _Intake(asked, accept_extra, replace_answers)
    by_file: dict[Path, list[str]] = defaultdict(list)
    for path, name in (pair for given in files for pair in _listed(given)):
        try:
            sheets = [*_read(path, name, intake)]
        except DataError as error:
            by_file[path] += error.faults
            continue
        for sheet in sheets:
            try:
                by_file[path] += intake.take(path, sheet)
            except ValueError as error:
                by_file[path].append(f"{_place(path, sheet)}: {error}")
            check_size(intake.num_bytes, path)
    faults = [fault for lines in by_file.values() for fault in lines]
    if faults and not skip_bad:
        raise DataError(first_of(faults), [first_of(lines) for lines in by_file.values() if lines])
    if new := intake.new():
        asked.answers.commit(new)
    intake.outcome.skipped = faults
    return intake.outcome


class _Intake:
    """The new answers of one call."""

    def __init__(self, asked: AskedTrial, accept_extra: bool, replace_answers: bool = False) -> None:
        self._asked, self._replace = asked, replace_answers
        self.names, self.images = Names(asked.classes), Images(asked.pool.image_ids)
        self._tokens = [asked.token(round_index) for round_index in range(asked.asked.num_rounds)]
        self._keys: dict[str, list[Key]] = defaultdict(list)
        for key in asked.keys:
            self._keys[key[0]].append(key)
        self._found: dict[Key, Answer] = {}
        self._partly: set[Key] = set()
        self._replaced: set[Key] = set()
        self._repeated: Counter[Key] = Counter()
        self._bought: dict[str, set[tuple[int, ...]]] = {}
        self._disputed: set[Key] = set()
        self._outside_new: list[Answer] = []
        self.num_bytes = 0
        self._outside: dict[str, NDArray[np.uint8]] = {}
        self.outcome = Outcome(accepted=accept_extra)

    def new(self) -> list[Answer]:
        """The answers that are new, and labels outside the questions if they are accepted. Completes the outcome."""
        taken = [answer for key, answer in self._found.items() if key not in self._disputed]
        self.outcome.replaced = len(self._replaced - self._disputed)
        self.outcome.answered = len(taken) - self.outcome.replaced
        self.outcome.partly = len(self._partly - self._replaced - self._disputed)
        self.outcome.repeated = sum(self._repeated[key] for key in self._repeated.keys() - self._disputed)
        return [*taken, *self._outside_new]

    def take(self, path: Path, sheet: Sheet) -> list[str]:
        """Take the answers of a sheet, and return a line for each one that differs from another one.

        Raises:
            ValueError: the sheet is wrong, and none of its answers is taken.
        """
        image_id = self.images.find(sheet.image)
        size = self._asked.pool.label_size(image_id)
        if sheet.size and sheet.size != size:
            found, expected = (f"{height}x{width}" for height, width in (sheet.size, size))
            raise ValueError(f"is {found} (height x width): expected {expected}, as its labels")
        if others := {*sheet.tokens}.difference(self._tokens):
            raise ValueError(f"answers the questions {min(others)[:40]!r} of another run than {self._asked.run.path}")
        label_HW, drawn_HW = self._paint(sheet, image_id, size)
        source = in_one_line(f"{path}" + (f", {sheet.name}" if sheet.name else ""))
        answers = []
        for key in self._keys[image_id]:
            members = self._asked.regions(image_id).members(*key[1:])
            is_whole = bool(drawn_HW[members].all())
            # A brush often touches a question of another round, which the annotator does not see.
            is_meant = not sheet.tokens or self._tokens[self._asked.keys[key]] in sheet.tokens
            if drawn_HW[members].any() and (is_whole or is_meant):
                answers.append((Answer(key, label_HW[members].ravel(), source), is_whole))
                drawn_HW[members] = False
        differing: list[str] = []
        for found_answer, is_whole in answers:
            differing += self._add(replace(found_answer, seconds=sheet.seconds / len(answers)), is_whole)
        differing += self._add_outside(image_id, np.where(drawn_HW, label_HW, np.uint8(IGNORE_LABEL)), source)
        return differing

    def _paint(self, sheet: Sheet, image_id: str, size: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """(H, W) labels, later drawings over earlier ones, and (H, W) whether anything was drawn."""
        label_HW, drawn_HW = np.full(size, IGNORE_LABEL, np.uint8), np.zeros(size, np.bool_)
        owner_HW = None
        for drawing in sheet.drawings:
            (top, left), (height, width) = drawing.corner, drawing.mask_hw.shape
            if drawing.label == QUERY:
                continue
            if drawing.is_click:
                owner_HW = self._owners(image_id, size) if owner_HW is None else owner_HW
                if (number := owner_HW[top, left]) >= 0:
                    members = self._asked.regions(image_id).members(*self._keys[image_id][number][1:])
                    label_HW[members], drawn_HW[members] = drawing.label, True
                    continue
            part = slice(top, top + height), slice(left, left + width)
            label_HW[part][drawing.mask_hw] = drawing.label
            drawn_HW[part] |= drawing.mask_hw
        return label_HW, drawn_HW

    def _owners(self, image_id: str, size: tuple[int, int]) -> NDArray[np.int32]:
        """(H, W) int32, the position, among the questions of an image, of the one that each pixel is in; or -1."""
        owner_HW, regions = np.full(size, -1, np.int32), self._asked.regions(image_id)
        for number, key in enumerate(self._keys[image_id]):
            owner_HW[regions.members(*key[1:])] = number
        return owner_HW

    def _add(self, new: Answer, is_whole: bool) -> list[str]:
        key, old = new.key, self._asked.answers.by_key.get(new.key)
        before = self._found.get(key) or old
        if before is not None and np.array_equal(before.labels_M, new.labels_M):
            self._repeated[key] += 1
            return []
        if before is not None:
            fate = self._fate(key)
            if fate:
                place = f"image {key[0]}, row {key[1]}, column {key[2]}"
                return [f"{new.source}: {place}: differs from the answer of {before.source} ({fate})"]
            self._replaced.add(key)
        self._found[key] = new
        self.num_bytes += new.num_bytes
        if not is_whole:
            self._partly.add(key)
        return []

    def _fate(self, key: Key) -> str:
        """Why an answer that differs from one before is not taken; empty if it replaces that one."""
        if key[0] not in self._bought:
            self._bought[key[0]] = {*map(tuple, self._asked.bought.centres(key[0]).tolist())}
        if key[1:] in self._bought[key[0]]:
            return "a round has bought that one; --skip-bad keeps it"
        if key in self._found or (self._replace and key in self._repeated):
            self._disputed.add(key)
            return "--skip-bad takes neither"
        return "" if self._replace else "--replace takes the new one, --skip-bad keeps the old one"

    def _add_outside(self, image_id: str, label_HW: NDArray[np.uint8], source: str) -> list[str]:
        labels_M = label_HW.ravel()
        pixels_M = np.flatnonzero(labels_M != IGNORE_LABEL)
        if not pixels_M.size:
            return []
        # One bit a pixel: label maps of a whole data set have billions of pixels.
        bits = np.packbits(labels_M != IGNORE_LABEL)
        self._outside[image_id] = bits | self._outside.get(image_id, np.uint8(0))
        self.outcome.outside[image_id] = int(np.unpackbits(self._outside[image_id]).sum())
        if not self.outcome.accepted:
            return []
        before = [*self._asked.answers.outside.get(image_id, ())]
        for other in (*before, *(extra for extra in self._outside_new if extra.key[0] == image_id)):
            assert other.pixels_M is not None
            other_N = np.full(labels_M.size, IGNORE_LABEL, np.uint8)
            other_N[other.pixels_M] = other.labels_M
            there = other_N[pixels_M]
            if ((there != IGNORE_LABEL) & (there != labels_M[pixels_M])).any():
                where = f"{source}: image {image_id}: outside the questions"
                return [f"{where}, differs from {other.source} (--skip-bad keeps those labels)"]
            pixels_M = pixels_M[there == IGNORE_LABEL]
        if pixels_M.size:
            extra = Answer((image_id, 0, 0), labels_M[pixels_M], source, math.nan, pixels_M.astype(np.uint32))
            self._outside_new.append(extra)
            self.num_bytes += extra.num_bytes
        return []


def _listed(path: Path) -> Iterator[tuple[Path, str]]:
    """Each label map of a folder and its name in it; a file alone, and a folder without any, with an empty name."""
    inside: list[Path] = []
    with suppress(OSError):  # `_read` names it
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if _is_label_map(file, path))
    yield from ((file, file.relative_to(path).as_posix()) for file in inside)
    if not inside:
        yield path, ""


def _is_label_map(file: Path, folder: Path) -> bool:
    """Whether a file is a PNG that is not hidden. macOS leaves files "._NAME" beside others, Jupyter hidden copies."""
    is_hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    # A link whose file is absent is a fault, which `_read` names.
    return file.suffix.lower() == ".png" and not is_hidden and (file.is_file() or not file.exists())


def _place(path: Path, sheet: Sheet) -> str:
    return f"{path}: image {sheet.image[:200]}" + (f", {sheet.name}" if sheet.name else "")


def _read(path: Path, name: str, intake: _Intake) -> Iterator[Sheet]:
    """The sheets of a file of any format. Raises DataError: of none, or damaged."""
    suffix, names = path.suffix.lower(), intake.names
    try:
        if not path.exists():
            raise DataError(f"{path}: no such file or folder")
        if not path.is_file():
            raise DataError(f"{path}: " + ("holds no .png file" if path.is_dir() else "not a file"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    if suffix == ".png":
        return pngs.read(path, name or intake.images.name_of(path), names)
    if suffix == ".xml":
        return cvat.read(path, names)
    if suffix == ".json":
        tree = coco.load(path)
        return labelstudio.read(path, tree, names) if isinstance(tree, list) else coco.read(path, tree, names)
    if suffix in (".zip", ".gz"):
        raise DataError(f"{path}: an archive: unpack it, and give the .json, .xml or .png files in it")
    raise DataError(f"{path}: expected .json (COCO, Label Studio), .xml (CVAT) or .png (a label map)")
