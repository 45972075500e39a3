"""Where the images and the labels of an arbitrary folder lie, from the names of its files and folders."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from ripu_ray.data.matching import Affixes, find_affixes
from ripu_ray.data.patterns import IMAGE_SUFFIXES, UNREAD_SUFFIXES
from ripu_ray.data.pictures import opened
from ripu_ray.errors import DataError, counted

_LABEL = re.compile(r"label|mask|anno|^gt(?!a)|[_-]gt|ground.?truth|^seg|^semantic|[_-]seg|^y$", re.IGNORECASE)
_IMAGE = re.compile(r"image|img|photo|pic|rgb|frame|input|jpe?g|^x$", re.IGNORECASE)
_SPLIT = re.compile(r"(?<![a-z])(training|train|validation|valid|val|testing|test)(?![a-z])", re.IGNORECASE)
_JOINED = re.compile(r"^(train|val|test)(?=annot|labels?$|masks?$|images?$)", re.IGNORECASE)
_FEW_COLOURS = 64
_FORMS = ((0, 1), (0, 0), (1, 1), (1, 0), (2, 1), (2, 0), (0, 2), (1, 2), (2, 2))
"""How two folders may differ; the first that fits is taken. First: how many folders the labels have more, such as one
in `annotations/trimaps`. Second: how many the images have there, such as two in `images/10k`."""
SOURCE_NAMES = re.compile(r"source|src|synth|sim|gta|rendered|virtual", re.IGNORECASE)
TARGET_NAMES = re.compile(r"target|tgt|real|photo", re.IGNORECASE)
Parts = tuple[str, ...]


@dataclass(frozen=True)
class Pairing:
    """A folder of images and the folder of their labels.

    Attributes:
        head: templates of the folders above both; `{split}` for the name of a split.
        image, label: templates of what follows, up to sub-folders.
        below: the sub-folders of both.
        split, domain: the names of the split, and of a domain that is not in `head`; "" if none.
        affixes: what tells the names of images and labels apart.
        num_pairs: files.
        folders: the folders of images and of labels, as their parts below the root.
    """

    head: Parts
    image: Parts
    label: Parts
    below: Parts
    split: str
    affixes: Affixes
    num_pairs: int
    folders: tuple[Parts, Parts]
    domain: str = ""


@dataclass(frozen=True)
class Arrangement:
    """Patterns of images and labels, and the names that stand for `{domain}` and `{split}` in them.

    Attributes:
        images, labels: see `FolderPattern` of `ripu_ray.data.folder`.
        splits: domain -> names of its splits; "" where the patterns have no such part.
        aside: further folders with pictures, which follow other patterns.
    """

    images: str
    labels: str
    splits: dict[str, tuple[str, ...]]
    aside: tuple[str, ...]


def arrange(root: Path) -> Arrangement:
    """Find images with labels below a folder.

    Args:
        root: hidden folders and run folders in it are passed over; links to folders are followed.

    Raises:
        DataError: it cannot be read, or has no images, or none with labels.
    """
    folders = _list_pictures(root, IMAGE_SUFFIXES)
    pairings = folders and (_beside(folders) or _inside(folders) or _by_content(root, folders))
    if not pairings:
        others = _list_pictures(root, UNREAD_SUFFIXES)
        first = next(("/".join((*parts, names[0])) for parts, names in others.items()), "")
        why = f"; pictures such as {first} are not read: images are JPEG or PNG, labels PNG" if first else ""
        if not folders:
            raise DataError(f"{root}: holds no pictures ({', '.join(IMAGE_SUFFIXES)}){why}")
        count = counted(sum(map(len, folders.values())), "picture")
        raise DataError(
            f"{root}: no labels found beside its {count}: expected PNGs in a folder called labels, masks or "
            f"annotations, or beside the images under names such as NAME_mask.png{why}; "
            "images without labels are for people to annotate: docs/annotators.md"
        )
    return _unite(pairings, folders)


def _list_pictures(root: Path, suffixes: tuple[str, ...]) -> dict[Parts, list[str]]:
    """Folder, as its parts below `root` -> names of its pictures, sorted. Links to folders are followed.

    Raises:
        DataError: a folder cannot be read.
    """
    folders: dict[Parts, list[str]] = {}
    above: dict[str, set[str]] = {}

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})")

    for path, below, names in os.walk(root, onerror=refuse, followlinks=True):
        # So that a circle of links ends.
        here = above.pop(path, set()) | {os.path.realpath(path)}
        is_run = "config.yaml" in names and {"trials", "warmups"} & set(below)
        shown = () if is_run else sorted(name for name in below if not name.startswith("."))
        below[:] = [name for name in shown if os.path.realpath(f"{path}/{name}") not in here]
        above |= {str(Path(path, name)): here for name in below}
        pictures = [name for name in sorted(names) if name.lower().endswith(suffixes) and name[0] != "."]
        if pictures and not is_run:
            folders[Path(path).relative_to(root).parts] = pictures
    return folders


def _beside(folders: dict[Parts, list[str]]) -> list[Pairing]:
    """Labels in folders of their own, told by the folders' names."""
    label_folders = {parts: place for parts in folders if (place := _find(_LABEL, parts)) is not None}
    found = []
    for parts, place in label_folders.items():
        # The folder that is named so may be in one of their own, such as `v1.2/labels`.
        for start, form in product(range(place, max(place - 2, -1), -1), _FORMS):
            others = (_pair(other, parts, start, form, folders) for other in folders if other not in label_folders)
            # Beside photographs there may be pictures of depth or of instances, with the same names.
            best = max(filter(None, others), key=lambda pair: (pair.num_pairs, _is_of_images(pair)), default=None)
            if best:
                found.append(best)
                break
    return found


def _is_of_images(pairing: Pairing) -> bool:
    """Whether the name of a folder says that images are in it."""
    return _find(_IMAGE, pairing.folders[0]) is not None


def _find(what: re.Pattern[str], parts: Parts) -> int | None:
    """The first of the folders whose name says what is in it."""
    return next((index for index, part in enumerate(parts) if what.search(_split_of(part)[2])), None)


def _pair(
    images: Parts, labels: Parts, place: int, form: tuple[int, int], folders: dict[Parts, list[str]]
) -> Pairing | None:
    """The pairing of two folders, if their paths differ at `place` in this form, and only there."""
    more, width = form
    inner, tail = labels[place + 1 : place + 1 + more], labels[place + 1 + more :]
    if images[:place] != labels[:place] or images[place + width :] != tail or len(images) < place + width:
        return None
    if len(inner) < more or any(_split_of(part)[0] for part in inner):
        return None
    split_in_own = _split_of(labels[place])
    image_own = [_split_of(part) for part in images[place : place + width]]
    if any(word != split_in_own[0] for word, _, _ in image_own if word) or (split_in_own[0] and not image_own):
        return None
    affixes, num_pairs = find_affixes(folders[images], folders[labels], are_one=False)
    if not num_pairs:
        return None
    head = [_split_of(part) for part in images[:place]]
    in_tail = tail[:1] if tail and _is_split(tail[0]) else ()
    words = [word for word in (*(word for word, _, _ in (*head, split_in_own)), *in_tail) if word]
    if len(set(words)) > 1:
        return None
    follows = ("{split}",) if in_tail else ()
    return Pairing(
        tuple(template for _, template, _ in head),
        (*(template for _, template, _ in image_own), *follows),
        (split_in_own[1], *inner, *follows),
        tail[len(follows) :],
        words[0] if words else "",
        affixes,
        num_pairs,
        (images, labels),
    )


def _split_of(part: str) -> tuple[str, str, str]:
    """The split that a folder's name names ("" if none), the name with `{split}` for it, and the rest of it."""
    match = _JOINED.search(part) or _SPLIT.search(part)
    if not match:
        return "", part, part
    rest = part[: match.start()] + part[match.end() :]
    if rest and not (_LABEL.search(rest.strip("_- ")) or _IMAGE.search(rest)):
        return "", part, part
    return match.group(), f"{part[: match.start()]}{{split}}{part[match.end() :]}", rest


def _is_split(part: str) -> bool:
    """Whether a folder's name is that of a split, and nothing else."""
    return bool(part) and _split_of(part)[0] == part


def _inside(folders: dict[Parts, list[str]]) -> list[Pairing]:
    """Labels in the folders of the images, told by the files' names."""
    found = []
    for parts, names in folders.items():
        affixes, num_pairs = find_affixes(names, names, are_one=True)
        if num_pairs:
            head = [_split_of(part) for part in parts]
            words = {word for word, _, _ in head if word}
            if len(words) < 2:
                templates = tuple(template for _, template, _ in head)
                found.append(Pairing(templates, (), (), (), "".join(words), affixes, num_pairs, (parts, parts)))
    return found


def _by_content(root: Path, folders: dict[Parts, list[str]]) -> list[Pairing]:
    """Labels in folders of their own whose names say nothing: they have few colours, and the images have many."""
    drawn = {parts: _is_drawn(root.joinpath(*parts, names[0])) for parts, names in folders.items()}
    found = []
    for images, labels in product(folders, repeat=2):
        differing = [index for index, pair in enumerate(zip(images, labels, strict=False)) if len(set(pair)) > 1]
        if len(images) == len(labels) and len(differing) == 1 and drawn[labels] and not drawn[images]:
            pairing = _pair(images, labels, differing[0], _FORMS[0], folders)
            found += [pairing] if pairing else []
    return found


def _is_drawn(path: Path) -> bool:
    """Whether a picture is not a photograph."""
    try:
        with opened(path) as picture:
            return picture.format == "PNG" and picture.convert("RGB").getcolors(_FEW_COLOURS) is not None
    except DataError:
        return False


def _unite(pairings: Sequence[Pairing], folders: Iterable[Parts]) -> Arrangement:
    """The patterns that most of the pairs have in common; of as many, those with labels in a folder named so."""
    groups: dict[tuple[object, ...], list[Pairing]] = defaultdict(list)
    for pairing in pairings:
        groups[(len(pairing.head), pairing.image, pairing.label, pairing.affixes)].append(pairing)

    def weight(group: list[Pairing]) -> tuple[int, bool]:
        # `masks` may be beside `colormaps`.
        is_named = any(_LABEL.search(part) for part in group[0].label[-2:])
        return sum(pairing.num_pairs for pairing in group), is_named

    chosen = max(groups.values(), key=weight)
    columns = list(zip(*(pairing.head for pairing in chosen), strict=True))
    varying = [index for index, column in enumerate(columns) if len(set(column)) > 1]
    first = max(chosen, key=lambda pairing: pairing.num_pairs)

    def alike(place: int) -> list[Pairing]:
        """Those that differ from the first in this place alone."""
        others = [index for index in varying if index != place]
        return [pairing for pairing in chosen if all(pairing.head[index] == first.head[index] for index in others)]

    # One folder can be a domain: the one that most pairs differ in. Of further ones the largest is taken.
    place = max(varying, key=lambda index: sum(pairing.num_pairs for pairing in alike(index)), default=-1)
    chosen = alike(place)
    has_domains = bool(varying) and len({pairing.head[place] for pairing in chosen}) > 1
    if has_domains:
        chosen = [replace(pairing, domain=pairing.head[place]) for pairing in chosen]
    elif _are_domains([pairing.below for pairing in chosen]):
        chosen = [_with_domain(pairing) for pairing in chosen]
    first = chosen[0]
    head = tuple("{domain}" if has_domains and index == place else part for index, part in enumerate(first.head))
    deep = ("**",) if any(pairing.below for pairing in chosen) else ()
    used = {parts for pairing in chosen for parts in pairing.folders}
    splits: dict[str, Counter[str]] = defaultdict(Counter)
    for pairing in chosen:
        splits[pairing.domain][pairing.split] += pairing.num_pairs
    return Arrangement(
        "/".join((*head, *first.image, *deep, first.affixes.image)),
        "/".join((*head, *first.label, *deep, first.affixes.label)),
        {domain: tuple(names) for domain, names in sorted(splits.items())},
        tuple("/".join(parts) or "." for parts in folders if parts not in used),
    )


def _are_domains(below: Sequence[Parts]) -> bool:
    """Whether sub-folders are domains: each has splits, such as `fog/train`, or their names say source and target."""
    names = {parts[0] for parts in below if parts}
    if len(names) < 2 or not all(below):
        return False
    have_splits = all(len(parts) > 1 and _is_split(parts[1]) for parts in below)
    return have_splits or all(any(map(which.search, names)) for which in (SOURCE_NAMES, TARGET_NAMES))


def _with_domain(pairing: Pairing) -> Pairing:
    """The pairing with `{domain}`, and with `{split}` if there is one, for its first sub-folders."""
    domain, *below = pairing.below
    split = below.pop(0) if below and not pairing.split and _is_split(below[0]) else ""
    templates = ("{domain}", "{split}") if split else ("{domain}",)
    return replace(
        pairing,
        image=(*pairing.image, *templates),
        label=(*pairing.label, *templates),
        below=tuple(below),
        split=pairing.split or split,
        domain=domain,
    )
