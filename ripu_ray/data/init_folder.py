"""A configuration and a `classes.json` for a folder of pictures and labels: `ripu data init`."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from ripu_ray.config import safe_yaml
from ripu_ray.data.arrangement import SOURCE_NAMES, TARGET_NAMES, Arrangement, arrange
from ripu_ray.data.checking import Watch
from ripu_ray.data.finding import LABEL_SUFFIXES
from ripu_ray.data.folder import check_pattern, folder_place
from ripu_ray.data.guessing import guess_classes
from ripu_ray.data.labels import class_file, read_class_table
from ripu_ray.data.lists import GAP, read_names
from ripu_ray.data.patterns import IMAGE_SUFFIXES, UNREAD_SUFFIXES
from ripu_ray.data.pictures import picture_size
from ripu_ray.errors import DataError, counted, few
from ripu_ray.storage.files import one_line_error
from ripu_ray.storage.remote import RemotePath

_TRAIN, _VALIDATION = ("train", "training"), ("val", "valid", "validation", "test", "testing")
_SOURCE_SHARE, _VALIDATION_SHARE = 0.3, 0.2
_LONG_SIDE = 256
"""Of the images and labels of a first trial, in pixels."""
_KEPT_SIDE = 320
"""Pictures of one size and no more than this are left as they are."""
_COMPARED = {"strategy": {"power": 1}, "sweep": {"acquisitions": ["ripu", "random"]}}
"""What docs/results.md recommends: choose in proportion to the score, and compare with random."""
_STEPS = {"warmup_steps": 150, "round_steps": 30}
_HEAD = """# Written by `ripu data init`. All settings and their defaults: configs/demo.yaml; the layout: docs/data.md.
#   ripu data check --config {name}     shows what is in the data
#   ripu sweep --config {name}          compares two strategies, in minutes on a laptop
"""


@dataclass
class _Plan:
    """What will be written, and the lines that say so."""

    data: dict[str, Any]
    pairs: dict[str, list[tuple[Path, Path]]] = field(default_factory=dict)
    lists: dict[Path, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)


def initialise(folder: Path, config: Path, watch: Watch[Path]) -> Iterator[str]:
    """See `ripu_ray.init_data`. Yields a line for each assumption and file."""
    plan = _plan(folder, config)
    classes = folder / "classes.json"
    labels = [label for pairs in plan.pairs.values() for _, label in pairs]
    tree = None
    if classes.exists():
        num_classes = read_class_table(classes).num_classes
        plan.lines.append(f"classes   {num_classes}: {classes} is there, and is kept")
    else:
        tree, lines = guess_classes(folder, labels, watch)
        plan.lines += lines
    yield from plan.lines
    settings = {"data": plan.data, "training": _STEPS, **_COMPARED}
    text = safe_yaml.write(settings, default_flow_style=None, width=100)
    files = {classes: class_file(tree)} if tree is not None else {}
    for path, content in (files | plan.lists | {config: _HEAD.format(name=config.name) + text}).items():
        _write(path, content)
        yield f"wrote     {path}"


def _plan(folder: Path, config: Path) -> _Plan:
    """Everything but the classes, from names and sizes of files alone."""
    for place in (folder, config):
        if isinstance(place, RemotePath):
            raise DataError(f"{place}: expected a place on this machine")
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder of pictures and labels")
    if not config.parent.is_dir():
        raise DataError(f"{config}: expected a file in a folder that is there")
    _refuse_existing(config)
    arrangement = arrange(folder)
    for pattern in (arrangement.images, arrangement.labels):
        try:
            check_pattern(pattern)
        except ValueError as error:
            raise DataError(f"{folder}: rename the folders or files with such signs: {error}") from None
    plan = _Plan({"dataset": "folder", "root": "." if config.parent.samefile(folder) else str(folder.resolve())})
    plan.data |= {"images": arrangement.images, "labels": arrangement.labels}
    plan.lines += [f"images    {arrangement.images}", f"labels    {arrangement.labels}"]
    if aside := arrangement.aside:
        plan.lines.append(f"aside     {few(aside)}: no images with labels under these patterns, not used")
    _choose_splits(plan, arrangement)
    _match(plan, folder, config)
    if "validation_split" not in plan.data:
        _hold_out(plan, folder, config)
    _choose_sizes(plan)
    for path in plan.lists:
        _refuse_existing(path)
    return plan


def _choose_splits(plan: _Plan, arrangement: Arrangement) -> None:
    """Source, target and validation, from the names of domains and splits."""
    domains = sorted(arrangement.splits, key=lambda name: (bool(TARGET_NAMES.search(name)), name))
    source = next((name for name in domains if SOURCE_NAMES.search(name)), domains[0])
    others = [name for name in domains if name != source]
    target = next((name for name in others if TARGET_NAMES.search(name)), (others or domains)[0])
    splits = [name for name in arrangement.splits[target] if name]
    train = next((name for name in splits if name.lower() in _TRAIN), splits[0] if splits else "")
    held_out = [name for wanted in _VALIDATION for name in splits if name.lower() == wanted and name != train]
    if others:
        plan.data |= {"source": source, "target": target}
        plan.lines += [f"source    {source}", f"target    {target}: exchange both in the file if this is wrong"]
        plan.lines += [f"aside     {', '.join(others[1:])}: not used"] if others[1:] else []
        if splits and train not in arrangement.splits[source]:
            raise DataError(f"{source} has no split {train!r}, as {target} has: rename its folder")
    else:
        plan.data["source_share"] = _SOURCE_SHARE
        plan.lines.append(
            f"source    none: {_SOURCE_SHARE:.0%} of the images are labelled from the start (data.source_share)"
        )
    if splits:
        plan.data["train_split"] = train
        plan.lines.append(f"train     {train}")
    if held_out:
        plan.data["validation_split"] = held_out[0]
        plan.lines.append(f"val       {held_out[0]}")
        plan.lines += [f"aside     {', '.join(held_out[1:])}: not used"] if held_out[1:] else []


def _match(plan: _Plan, root: Path, config: Path) -> None:
    """List the images that have labels. Where some have none, a list names the others."""
    data = plan.data
    target, train = data.get("target", ""), data.get("train_split", "")
    parts = {"target": (target, train)}
    if "source" in data:
        parts["source"] = (data["source"], train)
    if "validation_split" in data:
        parts["validation"] = (target, data["validation_split"])
    for part, (domain, split) in parts.items():
        place = folder_place(data["images"], data["labels"], domain, split)
        labels, images = (
            {"".join(stars): root / path for stars, path in pattern.files(root) if path.lower().endswith(suffixes)}
            for pattern, suffixes in ((place.label, LABEL_SUFFIXES), (place.images[0], IMAGE_SUFFIXES))
        )
        taken = set(labels.values())
        images = {stem: path for stem, path in images.items() if path not in taken}
        both = dict.fromkeys(stem for stem in images if stem in labels)
        if not both:
            raise DataError(
                f"{root}: no image of the {part}, {data['images']}, has a PNG as its label, {data['labels']}: "
                "JPEG changes ids and colours, and the names in place of * have to be the same"
            )
        plan.pairs[part] = [(images[stem], labels[stem]) for stem in both]
        plan.lines.append(f"{part:9} {counted(len(both), 'image')} with labels")
        files = [*images.items(), *labels.items()]
        for pattern in (place.images[0], place.label):
            unread = () if pattern.has_suffix else pattern.files(root, UNREAD_SUFFIXES)
            files += (("".join(stars), root / path) for stars, path in unread)
        if alone := list(dict.fromkeys(path for stem, path in files if stem not in both)):
            names = config.with_name(f"{config.stem}_{part}.txt")
            plan.lists[names] = "".join(f"{stem}\n" for stem in both)
            data[f"{part}_list"] = str(names.name)
            plan.lines.append(
                f"aside     {counted(len(alone), 'file')} without image or PNG label, such as {alone[0].name}: "
                f"{names.name} lists the others"
            )
    shares = ("source_share" in data) + ("validation_split" not in data)
    if len(plan.pairs["target"]) <= shares:
        count = counted(len(plan.pairs["target"]), "labelled image")
        raise DataError(f"{root}: {count}: expected at least {shares + 1}, to be shared out")


def _hold_out(plan: _Plan, root: Path, config: Path) -> None:
    """Images for validation: of two lists, such as VOC's ImageSets/Segmentation/train.txt and val.txt, or a share."""
    names = {image.stem for image, _ in plan.pairs["target"]}
    for train in sorted(path for path in root.rglob("*.txt") if path.stem.lower() in _TRAIN):
        validation = next((path for word in _VALIDATION if (path := train.with_name(f"{word}.txt")).is_file()), None)
        lists = (train, validation) if validation else ()
        if lists and all(_lists_images(path, names) for path in lists):
            for part, path in zip(("target", "validation"), lists, strict=True):
                shown = os.path.relpath(path, config.parent)
                plan.data[f"{part}_list"] = shown
                plan.lines.append(f"{'train' if part == 'target' else 'val':9} the list {shown}")
            made = config.with_name(f"{config.stem}_target.txt")
            plan.lists.pop(made, None)
            plan.lines = [line for line in plan.lines if made.name not in line]
            return
    plan.data["validation_share"] = _VALIDATION_SHARE
    plan.lines.append(f"val       none: {_VALIDATION_SHARE:.0%} of the images are held out (data.validation_share)")


def _lists_images(path: Path, names: set[str]) -> bool:
    """Whether a list can be used: it names images alone, by names without suffix, and one a line."""
    try:
        texts = [text for _, text in read_names(path)]
    except DataError:
        return False
    # In two columns, such as CamVid's of images and labels, the first is an image, too.
    columns = [GAP.split(text) for text in texts]
    return all(PurePath(text).stem in names for text in texts) and not any(
        len(parts) > 1 and PurePath(parts[0]).stem in names for parts in columns
    )


def _choose_sizes(plan: _Plan) -> None:
    """One size, small enough for a CPU, in the shape that most pictures have."""
    pairs = [pair for pairs in plan.pairs.values() for pair in pairs]
    sizes = Counter(picture_size(label) for _, label in pairs)
    (height, width), _ = sizes.most_common(1)[0]
    is_small = len(sizes) == 1 and max(height, width) <= _KEPT_SIDE
    if is_small and all(_may_have_size(image, (height, width)) for image, _ in pairs):
        plan.lines.append(f"size      {height}x{width} (height x width), as stored")
        return
    scale = min(1.0, _LONG_SIDE / max(height, width))
    size = [max(16, 8 * round(side * scale / 8)) for side in (height, width)]
    plan.data |= {"input_size": size, "label_size": list(size)}
    stored = f"{height}x{width}" if len(sizes) == 1 else f"{len(sizes)} sizes, mostly {height}x{width}"
    plan.lines.append(f"size      {stored}: resized to {size[0]}x{size[1]} (height x width), for a CPU")


def _may_have_size(path: Path, size: tuple[int, int]) -> bool:
    """Whether an image has this size, upright or lying, or cannot be read: `ripu data check` names it then."""
    try:
        return picture_size(path) in (size, size[::-1])
    except DataError:
        return True


def _refuse_existing(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise DataError(f"{path}: is there already, and is not overwritten: name another file with --config")


def _write(path: Path, text: str) -> None:
    with one_line_error(path), path.open("x", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except OSError:
            path.unlink()
            raise
