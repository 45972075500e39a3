"""The images of a described data set: found by its patterns, or named by a list without looking at the folders."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ripu_ray.data.description import SPLIT, Description
from ripu_ray.data.listing import counted
from ripu_ray.data.lists import GAP, read_names
from ripu_ray.data.pairs import PairedFiles
from ripu_ray.data.patterns import Pattern, Stars
from ripu_ray.errors import DataError
from ripu_ray.storage.remote import RemotePath


@dataclass(frozen=True)
class _Place:
    """The patterns of a data set with one text in place of each placeholder."""

    images: tuple[Pattern, ...]
    label: Pattern
    image_id: Pattern


@dataclass(frozen=True, order=True)
class _Found:
    """An image: the number of its place, what its stars stand for, and its path below the root."""

    place: int
    stars: Stars
    path: str


def find_pairs(
    name: str, description: Description, root: Path, split: str, choice: Mapping[str, Sequence[str]], names: Path | None
) -> PairedFiles:
    """The images and labels of one split.

    Args:
        name: of the data set, for messages.
        description: its patterns.
        root: its folder.
        split: what stands in place of `{split}`.
        choice: placeholder -> values to use; all values of those that are left out.
        names: list of the images to use; None: all. If every name tells its path, no folder is listed.

    Returns:
        Image id -> image and label, in an order that depends on the names alone.

    Raises:
        DataError: a pattern matches nothing, an image has no label or a label no image, two images have one id, or the
            list is wrong.
    """
    places = list(_places(description, split, choice))
    if names is None:
        found = _list_images(name, root, places)
        labels = _list_labels(name, root, places)
    else:
        found = _named(name, root, places, names)
        labels = None
    pairs, faults = _pair(root, places, found, labels)
    if faults:
        raise DataError(counted(faults), faults)
    return PairedFiles(root, pairs)


def _places(description: Description, split: str, choice: Mapping[str, Sequence[str]]) -> Iterator[_Place]:
    first = Pattern(description.images[0])
    image_id = description.image_ids or "/".join(first.tokens)
    values = {SPLIT: (split,), **description.choices, **choice}
    for texts in product(*values.values()):
        chosen = dict(zip(values, texts, strict=True))
        images = tuple(Pattern(image).with_values(chosen) for image in description.images)
        yield _Place(images, Pattern(description.labels).with_values(chosen), Pattern(image_id).with_values(chosen))


def _list_images(name: str, root: Path, places: Sequence[_Place]) -> list[_Found]:
    found = []
    for number, place in enumerate(places):
        files = [_Found(number, stars, path) for pattern in place.images for stars, path in pattern.files(root)]
        if not files:
            raise DataError(_nothing(name, root, place.images, "images"))
        found += sorted(files)
    return found


def _list_labels(name: str, root: Path, places: Sequence[_Place]) -> dict[tuple[int, Stars], str]:
    labels: dict[tuple[int, Stars], str] = {}
    for number, place in enumerate(places):
        files = dict(place.label.files(root))
        if not files:
            raise DataError(_nothing(name, root, (place.label,), "labels"))
        labels |= {(number, stars): path for stars, path in files.items()}
    return labels


def _nothing(name: str, root: Path, patterns: Sequence[Pattern], what: str) -> str:
    folder, expected = patterns[0].folder, " or ".join(pattern.text for pattern in patterns)
    if not (root / folder).is_dir():
        return f"{root / folder}: is missing; expected the {what} of {name}, {expected}"
    below = " or ".join(pattern.text.removeprefix(pattern.folder).lstrip("/") for pattern in patterns)
    return f"{root / folder}: holds no {below}; expected the {what} of {name}"


def _pair(
    root: Path, places: Sequence[_Place], found: Iterable[_Found], labels: Mapping[tuple[int, Stars], str] | None
) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """The pairs by image id, and a line for each fault. `labels`: what was listed; None: nothing was."""
    pairs: dict[str, tuple[str, str]] = {}
    faults = []
    unused = dict(labels or {})
    for image in found:
        key = image.place, image.stars
        expected = places[image.place].label.with_stars(image.stars)
        label = expected if labels is None else labels.get(key)
        if label is None or (labels is None and not _is_there(root, label)):
            faults.append(f"{root / image.path}: has no label; expected {root / expected}")
            continue
        unused.pop(key, None)
        image_id = places[image.place].image_id.with_stars(image.stars)
        if image_id in pairs:
            faults.append(f"{root / image.path}: {pairs[image_id][0]} has the same id, {image_id}")
        else:
            pairs[image_id] = image.path, label
    return pairs, faults + [f"{root / path}: has no image" for path in unused.values()]


def _is_there(root: Path, path: str) -> bool:
    """Whether a named file exists. A remote one is not looked for: that would be a request for each image."""
    return isinstance(root, RemotePath) or (root / path).is_file()


def _named(name: str, root: Path, places: Sequence[_Place], names: Path) -> list[_Found]:
    """The images of a list, sorted. Folders are listed only if a name does not tell its path."""
    entries = read_names(names)
    told = {text: _tell(text, places) for _, text in entries}
    by_name: dict[str, list[_Found]] = {}
    is_listed = None in told.values()
    for image in _list_images(name, root, places) if is_listed else ():
        file = image.path.rpartition("/")[2]
        for short in {file, file.rpartition(".")[0], places[image.place].image_id.with_stars(image.stars)}:
            by_name.setdefault(short, []).append(image)

    def find(text: str) -> list[_Found]:
        if is_listed:
            return by_name.get(text) or _closest(text, by_name.get(text.rpartition("/")[2], []))
        image = told[text] if text in told else _tell(text, places)
        return [image] if image and _is_there(root, image.path) else []

    chosen: set[_Found] = set()
    for place, text in entries:
        images, short = find(text), text.rpartition("/")[2]
        columns = GAP.split(text)
        if len(columns) > 1 and not images and find(columns[0]):
            raise DataError(f"{names}: {place}: {text!r}: expected one name a line")
        if len(images) != 1:
            fault = f"{text} may be any of {len(images)} images: put the folder in front of it" if images else ""
            raise DataError(f"{names}: {place}: {fault or f'there is no image {short}'}")
        if images[0] in chosen:
            raise DataError(f"{names}: {place}: {short} is there twice")
        chosen.add(images[0])
    return sorted(chosen)


def _tell(text: str, places: Sequence[_Place]) -> _Found | None:
    """The image that a name stands for, if the name has all that the stars of a pattern stand for.

    The name is a path, with or without the folders in front of the first star and the suffix, or an image id.
    """
    for candidates in (_by_path(text, places, True), _by_path(text, places, False), _by_id(text, places)):
        if len(found := list(candidates)) == 1:
            return found[0][1]
        if found:
            most = max(shared for shared, _ in found)
            best = [image for shared, image in found if shared == most]
            return best[0] if len(best) == 1 else None
    return None


def _by_path(text: str, places: Sequence[_Place], with_suffix: bool) -> Iterator[tuple[int, _Found]]:
    """Images whose path ends with the name, and how many of the folders in front of it agree."""
    for number, place in enumerate(places):
        for pattern in place.images:
            if (stars := pattern.stars_of_end(text, with_suffix)) is not None:
                num_parts = len(pattern.parts) - pattern.num_fixed
                tail = "/".join(text.split("/")[-num_parts:])
                path = f"{pattern.folder}/{tail}".lstrip("/") if with_suffix else pattern.with_stars(stars)
                yield _num_shared(text, path), _Found(number, stars, path)


def _by_id(text: str, places: Sequence[_Place]) -> Iterator[tuple[int, _Found]]:
    for number, place in enumerate(places):
        stars = place.image_id.stars_of_end(text, with_suffix=True)
        if stars is not None and len(place.images) == 1:
            shared = _num_shared(text, place.image_id.with_stars(stars))
            yield shared, _Found(number, stars, place.images[0].with_stars(stars))


def _num_shared(one: str, other: str) -> int:
    """How many folders in front of the names agree, from the last one on."""
    pairs = zip(one.split("/")[-2::-1], other.split("/")[-2::-1], strict=False)
    return next((number for number, (left, right) in enumerate(pairs) if left != right), one.count("/"))


def _closest(text: str, images: Sequence[_Found]) -> list[_Found]:
    """Those of the images, which have the right file name, whose folders agree most."""
    shared = [_num_shared(text, image.path) for image in images]
    return [image for image, number in zip(images, shared, strict=True) if number == max(shared)]
