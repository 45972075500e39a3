"""Patterns of paths, such as `leftImg8bit/{split}/*/*_leftImg8bit.png`, and the files that match them."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import cast

from ripu_ray.errors import DataError
from ripu_ray.storage.remote import RemotePath

Stars = tuple[str, ...]
"""What the stars of a pattern stand for in one path."""
Part = tuple[str, ...] | None
"""What stands around the stars of one part of a path; None: `**`."""
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
"""Of files that can be read, and that a pattern without suffix means; a file's may be in any case."""
UNREAD_SUFFIXES = (".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".ppm", ".tga", ".tif", ".tiff", ".webp")
"""Of pictures that are not read: they are named, and not passed over."""
_TOKEN = re.compile(r"(\*\*/|\*|\{[^{}]*\})")
_ANY_FOLDERS = "**"


class Pattern:
    """A path below a data set's root, in parts separated by `/`.

    `*` stands for any part of a name, a part `**` for any number of folders, and `{name}` for a text that is put in.
    Without a suffix, every suffix of `IMAGE_SUFFIXES` is meant. The case of the suffix does not matter, hidden files
    and folders are passed over.

    Args:
        text: the pattern.
        values: name of a placeholder -> the text that is put in, in which stars and braces have no meaning.

    Attributes:
        text: with the values put in.
        parts: between the slashes.
        tokens: placeholders and stars in their order.
        placeholders: names of the placeholders, each once, with and without a value.
        stars: `*` and `**` in their order.
        num_fixed: parts before the first one with a star.
        folder: these parts; empty if there are none.
        has_suffix: whether it tells the suffix of the files.

    Raises:
        ValueError: it is not a path below a folder, or has characters with another meaning elsewhere.
    """

    def __init__(self, text: str, values: Mapping[str, str] | None = None) -> None:
        parts = text.split("/")
        if any(part in ("", ".", "..") for part in parts) or not text.isprintable() or "\\" in text:
            raise ValueError(f"{text!r}: expected a path below the root, such as images/*.png")
        if any(_ANY_FOLDERS in part for part in parts if part != _ANY_FOLDERS) or parts[-1] == _ANY_FOLDERS:
            raise ValueError(f"{text!r}: expected ** as the name of a folder, such as images/**/*.png")
        literal = _TOKEN.sub("", text)
        if wrong := next((sign for sign in "{}" if sign in literal), None):
            raise ValueError(f"{text!r}: has {wrong!r}: expected *, ** and {{placeholders}} only")
        pieces = _TOKEN.split(text)
        self.tokens = tuple(token.rstrip("/") for token in pieces[1::2])
        self.placeholders = tuple(dict.fromkeys(token[1:-1] for token in self.tokens if token.startswith("{")))
        self.stars = tuple(token for token in self.tokens if token.startswith("*"))
        self._values = values or {}
        self._between, self.parts = self._parse(pieces)
        self.text = "".join(piece if piece[:1] == "*" else self._filled(piece) for piece in pieces)
        fixed = [part[0] for part in takewhile(lambda part: part and len(part) == 1, self.parts[:-1]) if part]
        self.num_fixed, self.folder = len(fixed), "/".join(fixed)
        last = self.parts[-1]
        self.has_suffix = bool(last and Path(f"x{last[-1]}").suffix)

    def _filled(self, piece: str) -> str:
        return self._values.get(piece[1:-1], piece) if piece.startswith("{") else piece

    def _parse(self, pieces: Sequence[str]) -> tuple[list[str], tuple[Part, ...]]:
        """The texts around all stars, and the parts. `pieces`: texts at even places, tokens at odd ones."""
        between = [""]
        parts: list[list[str] | None] = [[""]]
        for piece in pieces:
            if piece == "**/":
                parts[-1:] = [None, [""]]
                between.append("")
            elif piece == "*":
                cast("list[str]", parts[-1]).append("")
                between.append("")
            else:
                text = self._filled(piece)
                first, *rest = text.split("/")
                cast("list[str]", parts[-1])[-1] += first
                parts += [[name] for name in rest]
                between[-1] += text
        return between, tuple(None if part is None else tuple(part) for part in parts)

    def key(self, stars: Stars) -> Stars:
        """What the stars stand for, without folders where `**` stands for none."""
        return tuple(text for star, text in zip(self.stars, stars, strict=True) if text or star != _ANY_FOLDERS)

    def with_stars(self, stars: Stars) -> str:
        """The path in which the stars stand for these texts."""
        return "".join(part for pair in zip_longest(self._between, stars, fillvalue="") for part in pair)

    def stars_of_end(self, text: str, with_suffix: bool) -> Stars | None:
        """What the stars stand for in a path. Only the parts from the first star on are compared.

        Args:
            text: a path; folders in front of the first star may be missing.
            with_suffix: whether the path has its suffix.

        Returns:
            None: the path does not match, or `**` leaves open what the stars stand for.
        """
        parts = self.parts[self.num_fixed :]
        given = text.split("/")[-len(parts) :]
        if None in parts or len(given) < len(parts):
            return None
        stars: Stars = ()
        for number, (part, name) in enumerate(zip(parts, given, strict=True), 1):
            match = _part_regex(part or (), with_suffix or number < len(parts)).fullmatch(name)
            if not match:
                return None
            stars += match.groups()
        return stars

    def overlaps(self, other: "Pattern") -> bool:
        """Whether one of the two folders is the other, or lies in it."""
        one, two = (f"{pattern.folder}/".lstrip("/") for pattern in (self, other))
        return one.startswith(two) or two.startswith(one)

    def files(self, root: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> Iterator[tuple[Stars, str]]:
        """The files below `root` that match, each with what the stars stand for and its path below `root`.

        Links to folders are followed. Links without a target are there: reading them says so. `suffixes`: of the files
        that a pattern without suffix means.

        Raises:
            DataError: a folder cannot be read, or a name is not printable.
        """
        yield from _match(root, self.folder, self.parts[self.num_fixed :], (), () if self.has_suffix else suffixes)


@lru_cache(maxsize=256)
def _part_regex(part: tuple[str, ...], with_suffix: bool = True, suffixes: tuple[str, ...] = ()) -> re.Pattern[str]:
    """What a name must be to match one part of a pattern.

    Args:
        part: what stands around its stars.
        with_suffix: False: without its suffix.
        suffixes: with any of these; empty: with its own.
    """
    *before, last = part
    name, dot, suffix = last.rpartition(".")
    ending = f"(?i:{re.escape(dot + suffix)})" if dot and with_suffix else ""
    if suffixes:
        name, dot, ending = last, ".", f"(?i:{'|'.join(map(re.escape, suffixes))})"
    return re.compile("([^/]*)".join(map(re.escape, (*before, name if dot else last))) + ending)


def _match(
    root: Path, folder: str, parts: Sequence[Part], stars: Stars, suffixes: tuple[str, ...]
) -> Iterator[tuple[Stars, str]]:
    part, *rest = parts
    if part is None:
        for below in _folders_below(root, folder):
            path = f"{folder}/{below}".strip("/")
            yield from _match(root, path, rest, (*stars, f"{below}/" if below else ""), suffixes)
        return
    regex = _part_regex(part, True, () if rest else suffixes)
    folders, files = _entries(root / folder, part[0].startswith("."))
    for name in folders if rest else files:
        if match := regex.fullmatch(name):
            path = f"{folder}/{name}".lstrip("/")
            if not name.isprintable():
                raise DataError(f"{root / folder}: {name!r}: expected names in printable characters, in UTF-8")
            if rest:
                yield from _match(root, path, rest, (*stars, *match.groups()), suffixes)
            else:
                yield (*stars, *match.groups()), path


def _folders_below(root: Path, folder: str, below: str = "", above: tuple[str, ...] = ()) -> Iterator[str]:
    """Paths, relative to `folder`, of itself (empty) and of all folders below it.

    `above`: the folders that lead here, so that a circle of links ends.
    """
    place = root / folder / below
    here = str(place) if isinstance(place, RemotePath) else os.path.realpath(place)
    if here in above:
        return
    yield below
    for name in _entries(place, hidden=False)[0]:
        yield from _folders_below(root, folder, f"{below}/{name}".lstrip("/"), (*above, here))


def _entries(folder: Path, hidden: bool) -> tuple[list[str], list[str]]:
    """Names of the folders and of the files in `folder`, sorted; none if it does not exist."""
    try:
        if isinstance(folder, RemotePath):
            names = folder.entries()
        else:
            with os.scandir(folder) as entries:
                names = [(entry.name, is_folder) for entry in entries if (is_folder := _is_folder(entry)) is not None]
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from None
    shown = sorted(entry for entry in names if hidden or not entry[0].startswith("."))
    return [name for name, is_folder in shown if is_folder], [name for name, is_folder in shown if not is_folder]


def _is_folder(entry: os.DirEntry[str]) -> bool | None:
    """Whether it is a folder; None for pipes and devices. A link without a target, or to itself, is a file."""
    try:
        if entry.is_dir() or entry.is_file():
            return entry.is_dir()
    except OSError:  # a circle of links
        return False
    return None if Path(entry.path).exists() else False
