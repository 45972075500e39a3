"""The `classes.json` of labels that have none: their colours or ids, and names for these."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.checking import Watch, read_all
from ripu_ray.data.encodings import label_kind
from ripu_ray.data.labels import MIN_CLASSES, Colour
from ripu_ray.data.pictures import opened
from ripu_ray.errors import DataError, counted

_NAMES = ("*class*.txt", "*class*.csv", "*label*.txt", "*label*.csv", "*colo*r*.txt", "*colo*r*.csv", "*names*.txt")
_LONGEST_LIST = 2**16
_TRIPLE = re.compile(r"(?<![\d.])(\d{1,3})[,;\s]+(\d{1,3})[,;\s]+(\d{1,3})(?![\d.])")
_WITH_ID = re.compile(r"(\d{1,3})[\s,;:]+(.*\S.*)")
"""A line that begins with the id of the class."""
_VOID = ("void", "ignore", "ignored", "unlabelled", "unlabeled")
_PLAIN = {
    (0, 0, 0): "black",
    (255, 255, 255): "white",
    (255, 0, 0): "red",
    (0, 255, 0): "green",
    (0, 0, 255): "blue",
    (255, 255, 0): "yellow",
    (255, 0, 255): "magenta",
    (0, 255, 255): "cyan",
}
_RARE = 1e-4
"""Share of the pixels below which a colour may come from smoothed outlines."""


@dataclass(frozen=True)
class _Content:
    """One label: its kind, pixels by id or colour, and the colours of a palette's indices."""

    kind: str
    pixels: dict[Any, int]
    palette: dict[int, Colour]


def guess_classes(root: Path, labels: Sequence[Path], watch: Watch[Path]) -> tuple[Any, list[str]]:
    """Read all labels.

    Args:
        root: a list of names is looked for here.
        labels: PNG files, at least one.
        watch: shows progress.

    Returns:
        The tree of a `classes.json`, and a line for each assumption.

    Raises:
        DataError: a label is damaged or stored in a way that is refused, or there are too few or too many classes.
    """
    found = read_all("labels", labels, _look, watch)
    kinds = Counter(content.kind for content in found)
    palettes: dict[int, set[Colour]] = {}
    for index, colour in (item for content in found for item in content.palette.items()):
        palettes.setdefault(index, set()).add(colour)
    by_colour = bool(kinds["colours"]) or any(len(colours) > 1 for colours in palettes.values())
    if by_colour and kinds["ids"]:
        first = next(path for path, content in zip(labels, found, strict=True) if content.kind == "ids")
        raise DataError(
            f"{root}: {counted(kinds['ids'], 'label')} of ids, such as {first.name}, and "
            f"{len(found) - kinds['ids']} of colours: expected one kind"
        )
    source, by_id, by_rgb = _read_names(root)
    pixels: Counter[Any] = Counter()
    for content in found:
        of_palette = by_colour and content.kind == "palette"
        pixels.update(_recoloured(content) if of_palette else content.pixels)
    lines = [f"labels    {', '.join(f'{count} of {kind}' for kind, count in sorted(kinds.items()))}"]
    if by_colour:
        tree, more = _from_colours(root, pixels, by_rgb)
        lines += _on_names(source, bool(by_rgb), "colours")
        return (tree | {"palette": "colors"} if kinds["palette"] else tree), lines + more
    colours = {index: next(iter(colours)) for index, colours in palettes.items()}
    tree, more, has_names = _from_ids(root, pixels, by_id, colours)
    return tree, lines + _on_names(source, has_names, "ids") + more


def _on_names(source: str, is_used: bool, kind: str) -> list[str]:
    """A line on the file with the names of classes, if there is one."""
    if not source:
        return []
    unused = f"{source} has none for all {kind}, not used"
    return [f"names     {f'of classes from {source}' if is_used else unused}"]


def _recoloured(content: _Content) -> Counter[Any]:
    pixels: Counter[Any] = Counter()
    for index, count in content.pixels.items():
        pixels[content.palette[index]] += count
    return pixels


def _look(path: Path) -> _Content:
    kind = label_kind(path)
    with opened(path) as picture:
        if kind == "colours":
            if picture.mode == "RGBA" and (clear := sum(picture.getchannel("A").histogram()[:-1])):
                raise DataError(f"{path}: {counted(clear, 'pixel')} of the label are transparent")
            colours = picture.convert("RGB").getcolors(IGNORE_LABEL + 1)
            if colours is None:
                raise DataError(
                    f"{path}: more than {IGNORE_LABEL} colours: not a label, or one that was smoothed or compressed"
                )
            return _Content(kind, {colour: count for count, colour in colours}, {})
        counts = np.bincount(np.array(picture).ravel(), minlength=1)
        ids = {int(index): int(counts[index]) for index in np.flatnonzero(counts)}
        return _Content(kind, ids, _palette(picture, ids) if kind == "palette" else {})


def _palette(picture: Image.Image, ids: Iterable[int]) -> dict[int, Colour]:
    values = picture.getpalette("RGB") or []
    values += [0] * (3 * (IGNORE_LABEL + 1) - len(values))
    return {index: (values[3 * index], values[3 * index + 1], values[3 * index + 2]) for index in ids}


def _from_colours(root: Path, pixels: Counter[Any], names: dict[Colour, str]) -> tuple[Any, list[str]]:
    void = [colour for colour, name in names.items() if name.lower() in _VOID]
    found = sorted(pixels.keys() - names, key=lambda colour: (-pixels[colour], colour))
    chosen = [colour for colour in (*names, *found) if colour not in void]
    _check_number(root, len(chosen), "colour")
    called = _distinct([names.get(colour) or _PLAIN.get(colour) or "-".join(map(str, colour)) for colour in chosen])
    tree: dict[str, Any] = {
        "classes": [{"name": name, "color": list(colour)} for name, colour in zip(called, chosen, strict=True)]
    }
    order = "in the order of this list" if names else "the most frequent first"
    lines = [f"classes   {len(chosen)}, one for each colour, {order}: {', '.join(called)}"]
    if void:
        tree["void_colors"] = [list(colour) for colour in void]
        lines.append(f"void      {', '.join(map(_shown, void))}: no class, neither learned nor evaluated")
    elif (0, 0, 0) in chosen:
        lines.append("void      none: move 0,0,0 from classes to void_colors if it means 'not labelled'")
    return tree, lines + _rare("colour", {_shown(colour): pixels[colour] for colour in found}, pixels.total())


def _rare(what: str, pixels: dict[str, int], total: int) -> list[str]:
    """A line on the colours or ids that few of all `total` pixels have, if there are any."""
    rare = [f"{name} ({counted(count, 'pixel')})" for name, count in pixels.items() if count < _RARE * total]
    named = f"{counted(len(rare), what)}, such as {', '.join(rare[:3])}"
    return [f"rare      {named} (of smoothed outlines?), are classes, too"] if rare else []


def _from_ids(
    root: Path, pixels: Counter[Any], names: dict[int, str], colours: dict[int, Colour]
) -> tuple[Any, list[str], bool]:
    """The tree, a line for each assumption, and whether the names are used."""
    ids = sorted(pixels)
    is_binary = IGNORE_LABEL in ids and len(ids) <= MIN_CLASSES
    ids = ids if is_binary else [label_id for label_id in ids if label_id != IGNORE_LABEL]
    _check_number(root, len(ids), "id")
    found, has_names = {str(label_id): pixels[label_id] for label_id in ids}, names.keys() >= set(ids)
    if has_names and not is_binary:
        ids = sorted(names.keys() - {IGNORE_LABEL})
    in_order = ids == list(range(len(ids)))
    called = _distinct([names[label_id] if has_names else f"class {label_id}" for label_id in ids])
    tree: dict[str, Any] = {"classes": called}
    distinct = {colours.get(label_id) for label_id in ids}
    if None not in distinct and len(distinct) == len(ids):
        tree["classes"] = [
            {"name": name, "color": list(colours[label_id])} for name, label_id in zip(called, ids, strict=True)
        ]
    lines = [f"classes   {len(ids)}, one for each id: {', '.join(called)}"]
    if not in_order:
        tree["id_map"] = {str(label_id): index for index, label_id in enumerate(ids)}
        tree["id_map"] |= {} if is_binary else {str(IGNORE_LABEL): IGNORE_LABEL}
        lines.append(f"id_map    the ids {', '.join(map(str, ids))} become 0 to {len(ids) - 1}")
    if IGNORE_LABEL in pixels:
        meaning = "a class, as there are but two ids" if is_binary else "void: neither learned nor evaluated"
        lines.append(f"void      255 is {meaning}")
    return tree, lines + ([] if has_names else _rare("id", found, pixels.total())), has_names


def _check_number(root: Path, count: int, what: str) -> None:
    if not MIN_CLASSES <= count <= IGNORE_LABEL:
        found = f"the labels have {counted(count, what)}"
        raise DataError(f"{root}: {found}: expected {MIN_CLASSES} to {IGNORE_LABEL} classes")


def _distinct(names: list[str]) -> list[str]:
    """The names, with a number behind those that are there twice."""
    counts: Counter[str] = Counter()
    chosen: list[str] = []
    for name in names:
        counts[name] += 1
        chosen.append(name if counts[name] == 1 and name not in chosen else f"{name} {counts[name]}")
    return chosen


def _shown(colour: Colour) -> str:
    return ",".join(map(str, colour))


def _read_names(root: Path) -> tuple[str, dict[int, str], dict[Colour, str]]:
    """A file with names of classes: its name, and the names by id or by colour. Lists that cannot be read are not."""
    for path in sorted({path for pattern in _NAMES for path in root.glob(pattern)}):
        try:
            if not path.is_file() or path.stat().st_size > _LONGEST_LIST:  # a pipe would be waited for
                continue
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError):
            continue
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        ids = _with_ids(lines) or _with_ids(lines[1:])  # the first may be a heading
        has_colours = bool(ids) and all(map(_TRIPLE.search, ids.values()))
        colours = {}
        for line in ids.values() if has_colours else lines:
            if match := _TRIPLE.search(line):
                name = (line[: match.start()] + line[match.end() :]).strip(" \t,;:\"'")
                red, green, blue = map(int, match.groups())
                if name and name.isprintable() and max(red, green, blue) <= IGNORE_LABEL:
                    colours[red, green, blue] = name
        if colours:
            return path.name, {}, colours
        names = ids or dict(enumerate(lines))
        is_short = len(names) >= MIN_CLASSES and max(names) <= IGNORE_LABEL
        if is_short and all(name.isprintable() and len(name) < 64 for name in names.values()):
            return path.name, names, {}
    return "", {}, {}


def _with_ids(lines: Sequence[str]) -> dict[int, str]:
    """What stands behind the id in each line, if all lines begin with ids that ascend; else nothing."""
    matches = [match for line in lines if (match := _WITH_ID.fullmatch(line))]
    ids = [int(match[1]) for match in matches]
    if len(ids) < len(lines) or ids != sorted(set(ids)) or not ids or ids[-1] > IGNORE_LABEL:
        return {}
    return {label_id: match[2].strip("\"'") for label_id, match in zip(ids, matches, strict=True)}
