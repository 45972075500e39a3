"""Which file is the label of which image, from the names of both."""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ripu_ray.data.patterns import IMAGE_SUFFIXES, UNREAD_SUFFIXES

_SAMPLE = 40
"""Images whose names are compared with all labels' names."""
_LABEL_WORD = re.compile(r"label|mask|anno|gt|truth|seg|colou?r|ids?$|_l$|class", re.IGNORECASE)
_SIGNS = set("_-. ")
Affix = tuple[str, str]
"""What stands before and behind the name of the image, without the suffix."""


@dataclass(frozen=True)
class Affixes:
    """Patterns of the files' names, in which `*` is the name of the image: `*.jpg` and `*_mask.png`."""

    image: str
    label: str


def find_affixes(images: Sequence[str], labels: Sequence[str], are_one: bool) -> tuple[Affixes, int]:
    """How names of images become names of labels.

    Args:
        images, labels: file names with suffixes.
        are_one: both are the same folder, so that names have to tell images and labels apart.

    Returns:
        The patterns that most of the names follow, and how many; 0 if no name does.
    """
    image_suffixes, label_suffixes = map(_suffixes, (images, labels))
    if are_one and len(image_suffixes) > 1:
        of_photos = next((suffix for suffix in image_suffixes if suffix.lower() != ".png"), "")
        of_labels = next((suffix for suffix in label_suffixes if suffix.lower() == ".png"), "")
        if of_photos and of_labels:
            stems = (_stems(images, of_photos), _stems(labels, of_labels))
            (before, behind), (label_before, label_behind), count = _best(*stems, may_be_same=True)
            if count:
                image, label = f"{before}*{behind}{of_photos}", f"{label_before}*{label_behind}{of_labels}"
                return Affixes(image, label), count
    (before, behind), (label_before, label_behind), count = _best(_stems(images), _stems(labels), not are_one)
    if are_one and _LABEL_WORD.search(before + behind) and not _LABEL_WORD.search(label_before + label_behind):
        before, behind, label_before, label_behind = label_before, label_behind, before, behind
    elif are_one and not _LABEL_WORD.search(label_before + label_behind):
        count = 0
    if not are_one and {".png"} < {suffix.lower() for suffix in label_suffixes}:
        label_behind += ".png"  # beside JPEGs to look at
    elif label_suffixes and label_behind.lower().endswith((*IMAGE_SUFFIXES, *UNREAD_SUFFIXES)):
        label_behind += label_suffixes[0]  # NAME.jpg.png: in a pattern, .jpg would be the suffix
    return Affixes(f"{before}*{behind}", f"{label_before}*{label_behind}"), count


def _suffixes(names: Iterable[str]) -> list[str]:
    """The most frequent first."""
    return [suffix for suffix, _ in Counter(Path(name).suffix for name in names).most_common()]


def _stems(names: Iterable[str], suffix: str = "") -> list[str]:
    return sorted({Path(name).stem for name in names if name.endswith(suffix)})


def _best(images: list[str], labels: list[str], may_be_same: bool) -> tuple[Affix, Affix, int]:
    """The affixes with most pairs, and the shortest of these."""
    step = max(1, len(images) // _SAMPLE)
    turned = sorted(label[::-1] for label in labels)
    candidates = Counter(pair for stem in images[::step] for pair in _candidates(stem, labels, turned, may_be_same))
    best: tuple[int, int, Affix, Affix] = (0, 0, ("", ""), ("", ""))
    for (of_image, of_label), _ in candidates.most_common(12):
        count = len(_named(images, of_image) & _named(labels, of_label))
        if 2 * count >= min(len(images), len(labels)):  # fewer are alike by chance
            best = max(best, (count, -sum(map(len, of_image + of_label)), of_image, of_label))
    (before, behind), (label_before, label_behind) = best[2:]
    # A sign between the name and what is common to all files belongs to the latter.
    cores = _named(images, best[2]) & _named(labels, best[3])
    first, last = ({core[place] for core in cores} for place in (0, -1))
    if min(map(len, cores), default=0) > 2:
        if before + label_before and len(first) == 1 and first <= _SIGNS:
            before, label_before = before + min(first), label_before + min(first)
        if behind + label_behind and len(last) == 1 and last <= _SIGNS:
            behind, label_behind = min(last) + behind, min(last) + label_behind
    return (before, behind), (label_before, label_behind), best[0]


def _candidates(stem: str, labels: list[str], turned: list[str], may_be_same: bool) -> Iterator[tuple[Affix, Affix]]:
    """What may stand around the common part of this name and of the labels' names; `turned`: these from their ends."""
    for label in _nearest(stem, labels):
        common = _common(stem, label)
        if common and (may_be_same or label != stem):
            yield ("", stem[common:]), ("", label[common:])
    for label in _nearest(stem[::-1], turned):
        common = _common(stem[::-1], label)
        if common and (may_be_same or label[::-1] != stem):
            yield (stem[: len(stem) - common], ""), (label[::-1][: len(label) - common], "")
    if core := re.search(r"\d+", stem):
        for label in labels[:_SAMPLE]:
            if (match := re.search(r"\d+", label)) and match.group() == core.group() and (may_be_same or label != stem):
                of_image = stem[: core.start()], stem[core.end() :]
                yield of_image, (label[: match.start()], label[match.end() :])


def _nearest(stem: str, labels: list[str]) -> list[str]:
    """Neighbours in alphabetical order: those with the longest common start are among them."""
    place = bisect_left(labels, stem)
    return labels[max(0, place - 2) : place + 3]


def _common(first: str, second: str) -> int:
    """Characters at the start that both have."""
    return next((i for i in range(min(len(first), len(second)), 0, -1) if first[:i] == second[:i]), 0)


def _named(stems: Iterable[str], affix: Affix) -> set[str]:
    before, behind = affix
    inner = (
        stem[len(before) : len(stem) - len(behind)]
        for stem in stems
        if stem.startswith(before) and stem.endswith(behind) and len(stem) > len(before) + len(behind)
    )
    return set(inner)
