"""Questions and answers as COCO JSON, which most annotation tools read and write.

`questions.json` has an annotation of the category "query" for each question, `predictions.json` also the network's
prediction inside it. Source: the format of the COCO data set and of its maskApi.c.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ripu_ray.annotation.catalogue import TOKEN, Drawing, Export, Names, Sheet, attributes, read_bytes, tokens
from ripu_ray.annotation.masks import Size, box_drawing, is_number, is_rectangle, polygon_drawing, rle_code, rle_drawing
from ripu_ray.errors import DataError
from ripu_ray.storage.files import replace_json


def write(folder: Path, exports: Sequence[Export], names: Names) -> None:
    """Write `questions.json` and `predictions.json` into a folder."""
    images = [
        {"id": number, "file_name": export.file_name, "height": export.size[0], "width": export.size[1]}
        for number, export in enumerate(exports, 1)
    ]
    categories = [{"id": number, "name": name} for number, (name, _) in enumerate(names.drawn, 1)]
    questions: list[dict[str, Any]] = []
    predictions: list[dict[str, Any]] = []
    for image_id, export in enumerate(exports, 1):
        for question, region in zip(export.questions, export.regions, strict=True):
            entry = _annotation(len(questions) + 1, image_id, len(categories), region, export.size)
            questions.append(entry | {"attributes": attributes(question, export.token)})
    for image_id, export in enumerate(exports, 1):
        for question, drawing in export.predictions():
            number = len(questions) + len(predictions) + 1
            entry = _annotation(number, image_id, drawing.label + 1, drawing, export.size)
            predictions.append(entry | {"attributes": attributes(question, export.token)})
    info = {"description": "questions of ripu-ray", TOKEN: next((export.token for export in exports), "")}
    for name, annotations in (("questions", questions), ("predictions", [*questions, *predictions])):
        tree = {"info": info, "images": images, "categories": categories, "annotations": annotations}
        replace_json(folder / f"{name}.json", tree)


def read(path: Path, tree: Any, names: Names) -> Iterator[Sheet]:
    """Read the answers of a file.

    Args:
        path: of the file, for messages.
        tree: its content.
        names: of the labels.

    Raises:
        DataError: not COCO; a wrong annotation raises when the drawings of its sheet are iterated.
    """
    images, categories, annotations = (_listed(tree, key, path) for key in ("images", "categories", "annotations"))
    labels = {number: category.get("name") for number, category in _by_id(categories, "categories", path)}
    info = tree["info"] if isinstance(tree.get("info"), dict) else {}
    by_image: dict[object, list[dict[str, Any]]] = defaultdict(list)
    for annotation in annotations:
        by_image[_key(annotation.get("image_id"))].append(annotation)
    for number, image in _by_id(images, "images", path):
        name, height, width = (image.get(key) for key in ("file_name", "height", "width"))
        if not isinstance(name, str) or type(height) is not int or type(width) is not int:
            raise DataError(f"{path}: image {number}: expected file_name, height and width")
        size, there = (height, width), by_image.pop(number, [])
        found = tokens([info.get(TOKEN), *(_attributes(annotation).get(TOKEN) for annotation in there)])
        yield Sheet(name, size, _drawings(there, labels, names, size), tokens=found)
    if by_image:
        first, *_ = next(iter(by_image.values()))
        raise DataError(f"{path}: annotation {first.get('id')!r}: there is no image {first.get('image_id')!r}")


def load(path: Path) -> Any:
    """The content of a JSON file. Raises DataError: it cannot be read, or is not JSON."""
    try:
        return json.loads(read_bytes(path).decode("utf-8-sig"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not valid JSON in UTF-8") from None


def _annotation(number: int, image_id: int, category: int, drawing: Drawing, size: Size) -> dict[str, Any]:
    (top, left), (height, width) = drawing.corner, drawing.mask_hw.shape
    corners = [left, top, left + width, top, left + width, top + height, left, top + height]
    is_box = is_rectangle(drawing)
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category,
        "segmentation": [corners] if is_box else rle_code(drawing, size),
        "area": int(drawing.mask_hw.sum()),
        "bbox": [left, top, width, height],
        "iscrowd": int(not is_box),
    }


def _drawings(
    annotations: Sequence[dict[str, Any]], labels: dict[object, object], names: Names, size: Size
) -> Iterator[Drawing]:
    for annotation in annotations:
        try:
            category = _key(annotation.get("category_id"))
            if category not in labels:
                raise ValueError(f"there is no category {annotation.get('category_id')!r}")
            yield _drawing(annotation, names.label(labels[category]), size)
        except ValueError as error:
            raise ValueError(f"annotation {annotation.get('id')!r}: {error}") from None


def _drawing(annotation: dict[str, Any], label: int, size: Size) -> Drawing:
    code = annotation.get("segmentation")
    if _attributes(annotation).get("rotation"):
        raise ValueError("a rotated box: expected a polygon")  # CVAT writes the box before its rotation
    if isinstance(code, dict):
        return rle_drawing(label, code, size)
    if isinstance(code, list) and code and all(isinstance(ring, list) for ring in code):
        return polygon_drawing(label, code, size)
    box = annotation.get("bbox")
    if "keypoints" in annotation:
        raise ValueError("keypoints, without a segmentation")
    if code in (None, []) and isinstance(box, list) and len(box) == 4 and all(map(is_number, box)):
        left, top, width, height = box
        return box_drawing(label, (left, top, left + width, top + height), size)
    raise ValueError("expected a segmentation (polygons or a run-length code), or a bbox of 4 numbers")


def _attributes(annotation: dict[str, Any]) -> dict[str, Any]:
    extra = annotation.get("attributes")
    return extra if isinstance(extra, dict) else {}


def _listed(tree: Any, key: str, path: Path) -> list[dict[str, Any]]:
    entries = tree.get(key) if isinstance(tree, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{path}: not COCO: expected a list of {key}")
    return entries


def _by_id(entries: Sequence[dict[str, Any]], kind: str, path: Path) -> Iterator[tuple[object, dict[str, Any]]]:
    """Each entry after its id. Raises DataError: an id is missing, or two entries have it."""
    seen = set()
    for entry in entries:
        if (number := _key(entry.get("id"))) is None:
            raise DataError(f"{path}: {kind}: expected an id, a whole number or a text, found {entry.get('id')!r}")
        if number in seen:
            raise DataError(f"{path}: two {kind} have the id {number!r}")
        seen.add(number)
        yield number, entry


def _key(value: object) -> object:
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
