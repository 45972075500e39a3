"""Patterns of paths, such as `leftImg8bit/{split}/*/*_leftImg8bit.png`, and the files that match them."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path

from ripu_ray.errors import DataError
from ripu_ray.storage.remote import RemotePath

Stars = tuple[str, ...]
"""What the stars of a pattern stand for in one path."""
_TOKEN = re.compile(r"\*\*/|\*|\{[^{}]*\}")
_STAR = re.compile(r"\*\*/|\*")
_ANY_FOLDERS = "**"


class Pattern:
    """A path below a data set's root, in parts separated by `/`.

    `*` stands for any part of a name, a part `**` for any number of folders, and `{name}` for a text that is put in.
    The case of the suffix does not matter, hidden files and folders are passed over.

    Args:
        text: the pattern.

    Attributes:
        parts: between the slashes.
        tokens: placeholders and stars in their order.
        placeholders: names of the placeholders, each once.
        stars: `*` and `**` in their order.
        num_fixed: parts before the first one with a star.
        folder: these parts; empty if there are none.

    Raises:
        ValueError: it is not a path below a folder, or has characters with another meaning elsewhere.
    """

    def __init__(self, text: str) -> None:
        parts = text.split("/")
        if any(part in ("", ".", "..") for part in parts) or not text.isprintable() or "\\" in text:
            raise ValueError(f"{text!r}: expected a path below the root, such as images/*.png")
        if any(_ANY_FOLDERS in part for part in parts if part != _ANY_FOLDERS) or parts[-1] == _ANY_FOLDERS:
            raise ValueError(f"{text!r}: expected ** as the name of a folder, such as images/**/*.png")
        literal = _TOKEN.sub("", text)
        if wrong := next((sign for sign in "?[]{}" if sign in literal), None):
            raise ValueError(f"{text!r}: has {wrong!r}: expected *, ** and {{placeholders}} only")
        self.text = text
        self.parts = tuple(parts)
        self.tokens = tuple(token.rstrip("/") for token in _TOKEN.findall(text))
        self.placeholders = tuple(dict.fromkeys(token[1:-1] for token in self.tokens if token.startswith("{")))
        self.stars = tuple(token for token in self.tokens if token.startswith("*"))
        self.num_fixed = next((number for number, part in enumerate(parts) if "*" in part), len(parts) - 1)
        self.folder = "/".join(parts[: self.num_fixed])
        self._between = _STAR.split(text)

    def with_values(self, values: Mapping[str, str]) -> "Pattern":
        """The pattern with texts in place of its placeholders; those without a text stay."""
        return Pattern(_TOKEN.sub(lambda match: values.get(match.group()[1:-1], match.group()), self.text))

    def with_stars(self, stars: Stars) -> str:
        """The path in which the stars stand for these texts."""
        return "".join(part for pair in zip_longest(self._between, stars, fillvalue="") for part in pair)

    def stars_of_end(self, text: str, with_suffix: bool) -> Stars | None:
        """What the stars stand for in a path, of which only the parts from the first star on are looked at.

        Args:
            text: a path; folders in front of the first star may be missing.
            with_suffix: whether the path has its suffix.

        Returns:
            None: the path does not match, or `**` leaves open what the stars stand for.
        """
        parts = self.parts[self.num_fixed :]
        given = text.split("/")[-len(parts) :]
        if _ANY_FOLDERS in parts or len(given) < len(parts):
            return None
        stars: Stars = ()
        for number, (part, name) in enumerate(zip(parts, given, strict=True), 1):
            match = _part_regex(part, with_suffix or number < len(parts)).fullmatch(name)
            if not match:
                return None
            stars += match.groups()
        return stars

    def files(self, root: Path) -> Iterator[tuple[Stars, str]]:
        """The files below `root` that match, each with what the stars stand for and its path below `root`.

        Raises:
            DataError: a folder cannot be read, or a name is not printable.
        """
        yield from _match(root, self.folder, self.parts[self.num_fixed :], ())


@lru_cache(maxsize=256)
def _part_regex(part: str, with_suffix: bool = True) -> re.Pattern[str]:
    """What a name must be to match one part of a pattern; `with_suffix=False`: without its suffix."""
    name, dot, suffix = part.rpartition(".")
    if not dot or "*" in suffix:
        name, suffix = part, ""
    body = "([^/]*)".join(map(re.escape, name.split("*")))
    return re.compile(body + (f"(?i:{re.escape(dot + suffix)})" if suffix and with_suffix else ""))


def _match(root: Path, folder: str, parts: Sequence[str], stars: Stars) -> Iterator[tuple[Stars, str]]:
    part, *rest = parts
    if part == _ANY_FOLDERS:
        for below in _folders_below(root, folder):
            path = f"{folder}/{below}".strip("/")
            yield from _match(root, path, rest, (*stars, f"{below}/" if below else ""))
        return
    regex = _part_regex(part)
    folders, files = _entries(root / folder, part.startswith("."))
    for name in folders if rest else files:
        if match := regex.fullmatch(name):
            path = f"{folder}/{name}".lstrip("/")
            if not name.isprintable():
                raise DataError(f"{root / folder}: {name!r}: expected names in printable characters, in UTF-8")
            if rest:
                yield from _match(root, path, rest, (*stars, *match.groups()))
            else:
                yield (*stars, *match.groups()), path


def _folders_below(root: Path, folder: str, below: str = "") -> Iterator[str]:
    """Paths, relative to `folder`, of itself (empty) and of all folders below it."""
    yield below
    place = root / folder / below
    for name in _entries(place, hidden=False)[0]:
        if not (place / name).is_symlink():  # which may lead back to where we are
            yield from _folders_below(root, folder, f"{below}/{name}".lstrip("/"))


def _entries(folder: Path, hidden: bool) -> tuple[list[str], list[str]]:
    """Names of the folders and of the files in `folder`, sorted; none if it does not exist."""
    try:
        if isinstance(folder, RemotePath):
            names = folder.entries()
        else:
            # A link that leads nowhere counts as a file, so that reading it names it.
            with os.scandir(folder) as entries:
                names = [(entry.name, entry.is_dir()) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from None
    shown = sorted(entry for entry in names if hidden or not entry[0].startswith("."))
    return [name for name, is_folder in shown if is_folder], [name for name, is_folder in shown if not is_folder]
