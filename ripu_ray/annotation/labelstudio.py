"""Questions and answers as JSON of Label Studio.

`tasks.json` has a task for each image, whose prediction holds the questions (rectangles or brushes "query") and the
predicted classes in them; `labels.xml` is the labelling interface. Source: labelstud.io, "Import data into Label
Studio", "Label Studio JSON"; positions are per cent of the image.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import quoteattr

from ripu_ray.annotation import brush
from ripu_ray.annotation.catalogue import TOKEN, Drawing, Export, Names, Sheet, attributes, tokens
from ripu_ray.annotation.masks import Size, box_drawing, click_drawing, is_rectangle, polygon_drawing, whole
from ripu_ray.errors import DataError
from ripu_ray.storage.files import replace_json, replace_text

_TOOLS = {
    "brush": "BrushLabels",
    "polygon": "PolygonLabels",
    "rectangle": "RectangleLabels",
    "keypoint": "KeyPointLabels",
}
"""Name in the interface -> its tag; in small letters, also the type of a region."""
_SIDES = ("height", "width")
_TYPES = tuple(tag.lower() for tag in _TOOLS.values())


def write(folder: Path, exports: Sequence[Export], names: Names) -> None:
    """Write `tasks.json` and `labels.xml`. Images are local files below the folder."""
    tasks = []
    for export in exports:
        result = [
            _region(f"question-{question.number}", names.query, region, export.size)
            | {"meta": attributes(question, export.token)}
            for question, region in zip(export.questions, export.regions, strict=True)
        ]
        for number, (_, drawing) in enumerate(export.predictions()):
            result.append(_region(f"prediction-{number}", names.drawn[drawing.label][0], drawing, export.size))
        url = f"/data/local-files/?d=images/{quote(export.file_name)}"
        best = max(question.score for question in export.questions)
        prediction = {"model_version": "ripu-ray", "score": best, "result": result}
        data = {"image": url, "image_id": export.file_name, TOKEN: export.token}
        tasks.append({"data": data, "predictions": [prediction]})
    replace_json(folder / "tasks.json", tasks)
    lines = ["<View>", '  <Image name="image" value="$image" zoom="true"/>']
    for tool, tag in _TOOLS.items():
        lines.append(f'  <{tag} name="{tool}" toName="image">')
        for name, (red, green, blue) in names.drawn:
            colour = f"#{red:02x}{green:02x}{blue:02x}"
            lines.append(f'    <Label value={quoteattr(name)} background="{colour}"/>')
        lines.append(f"  </{tag}>")
    lines.append('  <Choices name="choice" toName="image" perRegion="true" choice="single">')
    lines += [f"    <Choice value={quoteattr(name)}/>" for name, _ in names.drawn[:-1]]
    replace_text(folder / "labels.xml", "\n".join([*lines, "  </Choices>", "</View>", ""]))


def read(path: Path, tree: Any, names: Names) -> Iterator[Sheet]:
    """Read the answers of a file, a sheet for each annotation that was submitted. Predictions are not answers.

    Args:
        path: of the file, for messages.
        tree: its content.
        names: of the labels.

    Raises:
        DataError: not Label Studio's JSON; a wrong region raises when the drawings of its sheet are iterated.
    """
    for number, task in enumerate(tree):
        place = f"{path}: task {task.get('id', number) if isinstance(task, dict) else number}"
        data, annotations = (task.get(key) if isinstance(task, dict) else None for key in ("data", "annotations"))
        if not isinstance(data, dict) or not isinstance(annotations, list):
            raise DataError(f"{place}: expected data and annotations: Label Studio's export JSON, not JSON-MIN")
        name = data.get("image_id") or _image_name(data.get("image"))
        if not isinstance(name, str):
            raise DataError(f"{place}: expected the image in data.image")
        for index, annotation in enumerate(annotations):
            if not isinstance(annotation, dict):
                raise DataError(f"{place}: annotation {index}: expected an annotation with a list of results")
            if annotation.get("was_cancelled"):
                continue  # its result may be null
            result = annotation.get("result")
            title, seconds = f"annotation {annotation.get('id', index)}", _seconds(annotation.get("lead_time"))
            yield Sheet(name, _size(result), _drawings(result, names), title, seconds, tokens([data.get(TOKEN)]))


def _region(number: str, label: str, drawing: Drawing, size: Size) -> dict[str, Any]:
    kind = "rectangle" if is_rectangle(drawing) else "brush"
    (top, left), (height, width) = drawing.corner, drawing.mask_hw.shape
    if kind == "rectangle":
        x, y = 100 * left / size[1], 100 * top / size[0]
        value: dict[str, Any] = {"x": x, "y": y, "width": 100 * width / size[1], "height": 100 * height / size[0]}
        value["rotation"] = 0
    else:
        value = {"format": "rle", "rle": brush.encode(whole(drawing, size))}
    return {
        "id": number,
        "type": f"{kind}labels",
        "from_name": kind,
        "to_name": "image",
        "original_width": size[1],
        "original_height": size[0],
        "image_rotation": 0,
        "value": value | {f"{kind}labels": [label]},
    }


def _drawings(result: Any, names: Names) -> Iterator[Drawing]:
    if not isinstance(result, list) or not all(isinstance(region, dict) for region in result):
        raise ValueError("expected a list of results")
    size = _size(result)
    by_id = {str(region.get("id")): region for region in result if region.get("type") != "choices"}
    for region in sorted(result, key=_is_drawn):
        if region.get("type") == "relation":
            continue  # a line between two regions
        try:
            shape = by_id.get(str(region.get("id"))) if region.get("type") == "choices" else region
            if shape is None:
                raise ValueError("a choice about the whole image: expected one about a region")
            if shape.get("type") not in _TYPES:
                raise ValueError(f"{shape.get('type')}: expected {', '.join(_TYPES)} or choices")
            if size is None or _size([shape]) != size:
                raise ValueError("expected original_height and original_width, the same for all regions")
            yield _drawing(region, shape, names, size)
        except ValueError as error:
            raise ValueError(f"region {region.get('id')!r}: {error}") from None


def _is_drawn(region: dict[str, Any]) -> bool:
    """Whether a result is of a person: no prediction that stayed as it was, but a choice about one."""
    return region.get("origin") != "prediction" or region.get("type") == "choices"


def _drawing(region: dict[str, Any], shape: dict[str, Any], names: Names, size: Size) -> Drawing:
    """The drawing of a region, in the shape of another one if it is a choice about it."""
    value, kind, geometry = region.get("value"), region.get("type"), shape.get("value")
    if not isinstance(value, dict) or not isinstance(geometry, dict):
        raise ValueError("expected a value")
    labels = value.get(kind) if isinstance(kind, str) else None
    if not isinstance(labels, list) or len(labels) != 1:
        raise ValueError(f"{kind} {labels!r}: expected one label")
    label = names.label(labels[0])
    if shape.get("image_rotation") or geometry.get("rotation"):
        raise ValueError("a rotated image or region: expected a polygon in the upright image")
    if shape["type"] == "brushlabels":
        return Drawing(label, (0, 0), brush.decode(geometry.get("rle"), size))
    if shape["type"] == "polygonlabels":
        points = geometry.get("points")
        if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
            raise ValueError("expected points [x, y]")
        ring = [_pixels(side, limit) for point in points for side, limit in zip(point, size[::-1], strict=True)]
        return polygon_drawing(label, [ring], size)
    x, y = _pixels(geometry.get("x"), size[1]), _pixels(geometry.get("y"), size[0])
    if shape["type"] == "keypointlabels":
        return click_drawing(label, x, y, size)
    width, height = _pixels(geometry.get("width"), size[1]), _pixels(geometry.get("height"), size[0])
    return box_drawing(label, (x, y, x + width, y + height), size)


def _size(result: Any) -> Size | None:
    """(H, W) of the image by the first region that says it."""
    for region in result if isinstance(result, list) else []:
        height, width = (region.get(f"original_{side}") if isinstance(region, dict) else None for side in _SIDES)
        if type(height) is int and type(width) is int:
            return height, width
    return None  # a result about a whole image, such as a choice about it, or a relation


def _pixels(share: object, side: int) -> float:
    if not isinstance(share, int | float) or isinstance(share, bool) or not abs(share) < 1000:
        raise ValueError(f"{share!r}: expected per cent of the image")
    return share * side / 100


def _seconds(value: object) -> float:
    is_time = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9
    return float(value) if is_time else math.nan  # type: ignore[arg-type]


def _image_name(url: object) -> str | None:
    """The path of an image in its URL; of a local file, it is in the query."""
    if not isinstance(url, str):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    local = parse_qs(parts.query).get("d") if parts.path.endswith("/data/local-files/") else None
    return local[0] if local else unquote(parts.path)
