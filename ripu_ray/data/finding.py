"""The images of a described data set: found by its patterns, or named by a list without looking at the folders."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from ripu_ray.data.lists import GAP, read_names
from ripu_ray.data.pairs import PairedFiles
from ripu_ray.data.patterns import IMAGE_SUFFIXES, UNREAD_SUFFIXES, Pattern, Stars
from ripu_ray.errors import DataError, first_of
from ripu_ray.storage.remote import RemotePath

LABEL_SUFFIXES = (".png",)
_NOT_READ = "is not read: images are JPEG or PNG, labels PNG"
_IN_ANY_FOLDER = "*/"
"""In front of a name that is looked up without its folder: no path has it."""
_Key = tuple[int, Stars]
"""Of an image or a label: the number of its place, and what the stars of its pattern stand for."""


@dataclass(frozen=True)
class Place:
    """The patterns of a data set with one text in place of each placeholder."""

    images: tuple[Pattern, ...]
    label: Pattern
    image_id: Pattern

    @property
    def tells_labels(self) -> bool:
        """Whether an image's path tells its label's."""
        return self.label.has_suffix and self.label.stars == self.images[0].stars


@dataclass(frozen=True, order=True)
class _Found:
    """An image: the number of its place, what its stars stand for, and its path below the root."""

    place: int
    stars: Stars
    path: str


def find_pairs(
    name: str, places: Sequence[Place], root: Path, names: Path | None = None, labelled: bool = True
) -> PairedFiles:
    """The images and labels of one split.

    Args:
        name: of the data set, for messages.
        places: its patterns.
        root: its folder.
        names: list of the images to use; None: all. If every name contains the path, no folder is listed.
        labelled: False: no labels are looked for, and an image stands for its own label, which has its size.

    Returns:
        Image id -> image and label, in an order that depends on the names alone.

    Raises:
        DataError: a pattern matches nothing, an image has no label or a label no image, two images have one id, or the
            list is wrong.
    """
    found = _list_images(name, root, places) if names is None else _named(name, root, places, names)
    labels: dict[_Key, list[str]] | None = None
    if not labelled:
        labels = {_key(image, places): [image.path] for image in found}
    elif names is None or not all(place.tells_labels for place in places):
        labels = _list_labels(name, root, places)
    pairs, faults = _pair(root, places, found, labels)
    if names is None:
        faults += _left_over(root, places, {_key(image, places) for image in found}, labels or {})
    if faults:
        raise DataError(first_of(faults), faults)
    return PairedFiles(root, pairs)


def _list_images(name: str, root: Path, places: Sequence[Place]) -> list[_Found]:
    found = []
    for number, place in enumerate(places):
        # A label is not an image where both lie in one folder.
        taken = {path for _, path in place.label.files(root)} if any(map(place.label.overlaps, place.images)) else set()
        files = [
            _Found(number, stars, path)
            for pattern in place.images
            for stars, path in pattern.files(root)
            if path not in taken
        ]
        if not files:
            raise DataError(_nothing(name, root, place.images, "images", IMAGE_SUFFIXES))
        found += sorted(files)
    return found


def _list_labels(name: str, root: Path, places: Sequence[Place]) -> dict[_Key, list[str]]:
    """The labels of each image: one, if nothing is wrong."""
    labels: dict[_Key, list[str]] = {}
    for number, place in enumerate(places):
        files = list(place.label.files(root))
        if not files:
            raise DataError(_nothing(name, root, (place.label,), "labels", LABEL_SUFFIXES))
        for stars, path in files:
            labels.setdefault((number, place.label.key(stars)), []).append(path)
    return labels


def _left_over(root: Path, places: Sequence[Place], keys: set[_Key], labels: Mapping[_Key, list[str]]) -> Iterator[str]:
    """A line for each label without image, and for each picture that is not read and has no other file of its name.

    `keys`: of the images.
    """
    alike = {(number, _folded(key)) for number, key in keys}
    for (number, key), paths in labels.items():
        if (number, key) not in keys:
            hint = _unread(root, places[number].images[0], key)
            if (number, _folded(key)) in alike:
                hint = " (the name of an image differs from it in upper and lower case or in Unicode's form alone)"
            yield from (f"{root / path}: has no image{hint}" for path in paths)
    known = keys | labels.keys()
    for number, place in enumerate(places):
        unread: dict[str, Stars] = {}
        for pattern in (place.label, *place.images):  # of a file that both mean, as a label
            for stars, path in () if pattern.has_suffix else pattern.files(root, UNREAD_SUFFIXES):
                unread.setdefault(path, pattern.key(stars))
        yield from (f"{root / path}: {_NOT_READ}" for path, key in unread.items() if (number, key) not in known)


def _folded(key: Stars) -> Stars:
    return tuple(unicodedata.normalize("NFC", text).casefold() for text in key)


def _key(image: _Found, places: Sequence[Place]) -> _Key:
    return image.place, places[image.place].images[0].key(image.stars)


def _nothing(name: str, root: Path, patterns: Sequence[Pattern], what: str, suffixes: Sequence[str]) -> str:
    folder, expected = patterns[0].folder, " or ".join(pattern.text for pattern in patterns)
    if not (root / folder).is_dir():
        return f"{root / folder}: is missing; expected the {what} of {name}, {expected}"
    if not patterns[0].has_suffix:
        kinds = ", ".join(suffixes)
        return f"{root / folder}: holds no {what[:-1]} ({kinds}); expected the {what} of {name}, {expected}"
    below = " or ".join(pattern.text.removeprefix(pattern.folder).lstrip("/") for pattern in patterns)
    return f"{root / folder}: holds no {below}; expected the {what} of {name}"


def _pair(
    root: Path, places: Sequence[Place], found: Iterable[_Found], labels: Mapping[_Key, list[str]] | None
) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """The pairs by image id, and a line for each fault. `labels`: what was listed; None: nothing was."""
    pairs: dict[str, tuple[str, str]] = {}
    faults = []
    for image in found:
        place = places[image.place]
        expected = place.label.with_stars(image.stars) if place.tells_labels else ""
        if labels is None:
            there = [expected] if _is_there(root, expected) else []
        else:
            there = labels.get(_key(image, places), [])
        image_id = place.image_id.with_stars(image.stars)
        if not there:
            fault = f"{root / image.path}: has no label{f'; expected {root / expected}' if expected else ''}"
            faults.append(fault + _unread(root, place.label, _key(image, places)[1]))
        elif len(there) > 1:
            faults.append(f"{root / there[1]}: {there[0]} is a label of the same image")
        elif image_id in pairs:
            faults.append(f"{root / image.path}: {pairs[image_id][0]} has the same id, {image_id}")
        elif (suffix := Path(there[0]).suffix.lower()) not in LABEL_SUFFIXES and there[0] != image.path:
            is_jpeg = suffix in IMAGE_SUFFIXES
            why = "a JPEG label, whose compression changes ids and colours: save PNGs" if is_jpeg else _NOT_READ
            faults.append(f"{root / there[0]}: {why}")
        else:
            pairs[image_id] = image.path, there[0]
    return pairs, faults


def _unread(root: Path, pattern: Pattern, key: Stars) -> str:
    """Words on a file of this name whose kind is not read, such as b.webp; "" if there is none."""
    stars = iter(key)
    is_top = len(key) < len(pattern.stars)  # `**` stands for no folder
    path = root / pattern.with_stars(
        tuple("" if star == "**" and is_top else next(stars, "") for star in pattern.stars)
    )
    if isinstance(root, RemotePath):
        return ""
    stem = path.stem if pattern.has_suffix else path.name
    others = sorted(other.name for other in path.parent.glob(f"{escape(stem)}.*") if other.is_file())
    return f" ({others[0]} {_NOT_READ})" if others else ""


def _is_there(root: Path, path: str) -> bool:
    """Whether a named file exists. A remote one is not looked for: that would be a request for each image."""
    return isinstance(root, RemotePath) or (root / path).is_file()


def _named(name: str, root: Path, places: Sequence[Place], names: Path) -> list[_Found]:
    """The images of a list, sorted. Folders are listed only if a name does not tell its path."""
    entries = read_names(names)
    told = {text: _tell(text, places) for _, text in entries}
    by_name: dict[str, list[_Found]] = {}
    is_listed = None in told.values()
    for image in _list_images(name, root, places) if is_listed else ():
        for text in _ways_to_name(image, places):
            by_name.setdefault(text, []).append(image)

    def find(text: str) -> list[_Found]:
        if is_listed:
            return by_name.get(text) or _closest(text, by_name.get(_IN_ANY_FOLDER + text.rpartition("/")[2], []))
        image = told[text] if text in told else _tell(text, places)
        return [image] if image and _is_there(root, image.path) else []

    chosen: set[_Found] = set()
    for place, text in entries:
        images, short = find(text), text.rpartition("/")[2]
        columns = GAP.split(text)
        is_whole = any(text in _ways_to_name(image, places) for image in images)
        if len(columns) > 1 and not is_whole and find(columns[0]):
            raise DataError(f"{names}: {place}: {text!r}: expected one name a line")
        if len(images) != 1:
            hint = "put the folder in front of it, and the suffix behind"
            fault = f"{text} may be any of {len(images)} images: {hint}" if images else ""
            raise DataError(f"{names}: {place}: {fault or f'there is no image {short or text}'}")
        if images[0] in chosen:
            raise DataError(f"{names}: {place}: {short} is there twice")
        chosen.add(images[0])
    return sorted(chosen)


def _ways_to_name(image: _Found, places: Sequence[Place]) -> set[str]:
    """Path and id, whole and from the first star on, and names in whatever folder; all with and without suffix."""
    place = places[image.place]
    image_id = place.image_id.with_stars(image.stars)
    folders = [(image.path, pattern.folder) for pattern in place.images] + [(image_id, place.image_id.folder)]
    texts = {image_id, image.path, *(text.removeprefix(f"{folder}/") for text, folder in folders)}
    texts |= {_IN_ANY_FOLDER + text.rpartition("/")[2] for text in (image.path, image_id)}
    return texts | {text.removesuffix(Path(image.path).suffix) for text in texts}


def _tell(text: str, places: Sequence[Place]) -> _Found | None:
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


def _by_path(text: str, places: Sequence[Place], with_suffix: bool) -> Iterator[tuple[int, _Found]]:
    """Images whose path ends with the name, and how many of the folders in front of it agree."""
    for number, place in enumerate(places):
        for pattern in place.images:
            if pattern.has_suffix and (stars := pattern.stars_of_end(text, with_suffix)) is not None:
                num_parts = len(pattern.parts) - pattern.num_fixed
                tail = "/".join(text.split("/")[-num_parts:])
                path = f"{pattern.folder}/{tail}".lstrip("/") if with_suffix else pattern.with_stars(stars)
                yield _num_shared(text, path), _Found(number, stars, path)


def _by_id(text: str, places: Sequence[Place]) -> Iterator[tuple[int, _Found]]:
    for number, place in enumerate(places):
        stars = place.image_id.stars_of_end(text, with_suffix=True)
        if stars is not None and len(place.images) == 1 and place.images[0].has_suffix:
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
