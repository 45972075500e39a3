"""Where the images and the labels of a folder lie, as patterns such as `{domain}/{split}/images/**/*`."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from ripu_ray.data.listing import list_files
from ripu_ray.errors import DataError

IMAGES, LABELS = "{domain}/{split}/images/**/*", "{domain}/{split}/labels/**/*"
_PLACES = ("{domain}", "{split}")
_DEEP = "**"


def check_pattern(text: str) -> str:
    """The pattern itself. Raises ValueError: it is no pattern of files below a folder."""
    *folders, last = text.split("/")
    plain = folders[:-1] if folders[-1:] == [_DEEP] else folders
    rest = re.sub(r"\{(domain|split)\}", "", "/".join((*plain, last.replace("*", "", 1))))
    if last.count("*") != 1 or set("*?[]{}\\\0") & set(rest) or set(plain) & {"", ".", ".."} or "{" in last:
        raise ValueError(
            f"{text!r}: expected folders and a file's name, in which one * is the image's name, such as {IMAGES!r} or "
            "'labels/{split}/*_mask.png'"
        )
    return text


Pattern = Annotated[str, AfterValidator(check_pattern)]
"""Of files below `data.root`: `{domain}` and `{split}` stand for the names of folders, `*` in the last part for the
name of the image, and `**` before it for any sub-folders. Without a suffix, every suffix that can be read is meant."""


@dataclass(frozen=True)
class Place:
    """The files of one domain and split that a pattern means.

    Attributes:
        folder: where they are, or in sub-folders of it.
        deep: whether sub-folders count.
        beginning, ending: of the files' names, around the name of the image, without suffix.
        suffix: in small letters with the dot; "" for any.
    """

    folder: Path
    deep: bool
    beginning: str
    ending: str
    suffix: str

    def files(self, suffixes: tuple[str, ...]) -> dict[str, Path]:
        """Name of the image, with its sub-folder -> file, of any of `suffixes`. Raises DataError like `list_files`."""
        suffixes = (self.suffix,) if self.suffix else suffixes
        return list_files(self.folder, suffixes, self.ending, self.beginning, self.deep)


def find_place(root: Path, pattern: str, domain: str, split: str) -> Place:
    """The place that a pattern means for a domain and a split. Raises DataError: one of them is no folder's name."""
    *folders, last = pattern.split("/")
    deep = folders[-1:] == [_DEEP]
    names = dict(zip(_PLACES, (domain, split), strict=True))
    for place, name in names.items():
        if place in pattern:
            _check_name(name)
    parts = [
        re.sub(r"\{\w+\}", lambda match: names[match.group()], part) for part in (folders[:-1] if deep else folders)
    ]
    beginning, _, ending = last.partition("*")
    suffix = Path(f"x{ending}").suffix
    return Place(root.joinpath(*parts), deep, beginning, ending.removesuffix(suffix), suffix.lower())


def _check_name(name: str) -> None:
    if name in ("", ".", "..") or set(name) & {"/", "\\", "\0"}:
        raise DataError(f"{name!r}: expected the name of a folder inside data.root, not a path")
