"""Questions and answers as CVAT for images 1.1 XML.

`questions.xml` has a mask or box of the label "query" for each question, `predictions.xml` also the network's
prediction inside it, since an upload into CVAT replaces the one before. `labels.json` has the labels of a task. Source:
docs.cvat.ai, "CVAT for images"; a mask's run lengths are row-major inside its box and start with the number of zeros.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ripu_ray.annotation.catalogue import (
    ATTRIBUTES,
    TOKEN,
    Drawing,
    Export,
    Names,
    Sheet,
    attributes,
    read_bytes,
    tokens,
)
from ripu_ray.annotation.masks import (
    Size,
    box_drawing,
    check_counts,
    click_drawing,
    is_rectangle,
    polygon_drawing,
)
from ripu_ray.errors import ConfigError, DataError
from ripu_ray.storage.files import replace_json, replace_text


def write(folder: Path, exports: Sequence[Export], names: Names) -> None:
    """Write `questions.xml`, `predictions.xml` and `labels.json`."""
    roots = {name: ElementTree.Element("annotations") for name in ("questions", "predictions")}
    for root in roots.values():
        ElementTree.SubElement(root, "version").text = "1.1"
    for number, export in enumerate(exports):
        height, width = export.size
        place = {"id": str(number), "name": export.file_name, "width": str(width), "height": str(height)}
        for root in roots.values():
            image = ElementTree.SubElement(root, "image", place)
            for question, region in zip(export.questions, export.regions, strict=True):
                shape = _shape(image, names.query, region)
                for name, value in attributes(question, export.token).items():
                    ElementTree.SubElement(shape, "attribute", name=name).text = str(value)
        for _, drawing in export.predictions():
            _shape(image, names.drawn[drawing.label][0], drawing)
    for name, root in roots.items():
        ElementTree.indent(root)
        replace_text(folder / f"{name}.xml", ElementTree.tostring(root, encoding="unicode", xml_declaration=True))
    replace_json(folder / "labels.json", [_label(name, colour, name == names.query) for name, colour in names.drawn])


def read(path: Path, names: Names) -> Iterator[Sheet]:
    """Read the answers of a file.

    Raises:
        DataError: not XML, with entities, or not of CVAT; a wrong annotation raises when the drawings of its sheet are
            iterated.
        ConfigError: defusedxml is not installed.
    """
    try:
        from defusedxml import DefusedXmlException
        from defusedxml.ElementTree import fromstring
    except ImportError:
        raise ConfigError("CVAT's XML needs defusedxml: pip install 'ripu-ray[annotation]'") from None
    try:
        root = fromstring(read_bytes(path), forbid_dtd=True)
    except DefusedXmlException:
        raise DataError(f"{path}: XML with a document type or entities, which CVAT does not write") from None
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not valid XML ({error})") from None
    if root.tag != "annotations" or root.findtext("version") != "1.1":
        raise DataError(f"{path}: expected annotations of version 1.1, CVAT for images")
    if root.find("track") is not None:
        raise DataError(f"{path}: CVAT for video: expected an export as CVAT for images 1.1")
    for image in root.iter("image"):
        name = image.get("name")
        try:
            size = _whole(image, "height"), _whole(image, "width")
        except ValueError as error:
            raise DataError(f"{path}: image {image.get('id')!r}: {error}") from None
        if not name:
            raise DataError(f"{path}: image {image.get('id')!r}: expected a name")
        found = tokens(entry.text for entry in image.iterfind(f"*/attribute[@name='{TOKEN}']"))
        # The tasks of a project may have the same image.
        title = f"task {task}" if (task := image.get("task_id")) else ""
        yield Sheet(name, size, _drawings(image, names, size), title, tokens=found)


def _label(name: str, colour: tuple[int, int, int], is_query: bool) -> dict[str, Any]:
    """A label of a task, in the form of the tab "Raw" of CVAT. Attributes that it does not name are lost."""
    text = {"input_type": "text", "mutable": False, "values": [""]}
    named = [{"name": key, **text} for key in ATTRIBUTES] if is_query else []
    return {"name": name, "color": "#{:02x}{:02x}{:02x}".format(*colour), "type": "any", "attributes": named}


def _shape(image: ElementTree.Element, label: str, drawing: Drawing) -> ElementTree.Element:
    (top, left), (height, width) = drawing.corner, drawing.mask_hw.shape
    common = {"label": label, "source": "auto", "occluded": "0", "z_order": "0"}
    if is_rectangle(drawing):
        corners = {"xtl": left, "ytl": top, "xbr": left + width, "ybr": top + height}
        return ElementTree.SubElement(image, "box", common | {key: str(value) for key, value in corners.items()})
    flat = drawing.mask_hw.ravel()
    edges = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    counts = [stop - start for start, stop in pairwise(edges)]
    place = {"left": left, "top": top, "width": width, "height": height}
    code = ", ".join(map(str, [0, *counts] if flat[0] else counts))
    entry = common | {"rle": code} | {key: str(value) for key, value in place.items()}
    return ElementTree.SubElement(image, "mask", entry)


def _drawings(image: Any, names: Names, size: Size) -> Iterator[Drawing]:
    """The drawings of one image, by z_order, then in the order of the file."""
    shapes = []
    for number, shape in enumerate(image):
        title = f"annotation {shape.get('id') or number} ({shape.tag})"
        try:
            order = int(shape.get("z_order", "0"))
        except ValueError:
            raise ValueError(f"{title}: a z_order that is not a whole number") from None
        if shape.tag != "tag":
            shapes.append((order, title, shape))
    for _, title, shape in sorted(shapes, key=lambda entry: entry[0]):
        try:
            yield from _drawn(shape, names.label(shape.get("label")), size)
        except ValueError as error:
            raise ValueError(f"{title}: {error}") from None


def _drawn(shape: Any, label: int, size: Size) -> Iterator[Drawing]:
    if shape.tag == "polygon":
        yield polygon_drawing(label, [[value for point in _points(shape) for value in point]], size)
    elif shape.tag == "box":
        if _number(shape.get("rotation", "0")):
            raise ValueError("a rotated box: expected a polygon")
        yield box_drawing(label, [_number(shape.get(key)) for key in ("xtl", "ytl", "xbr", "ybr")], size)
    elif shape.tag == "points":
        for x, y in _points(shape):
            yield click_drawing(label, x, y, size)
    elif shape.tag == "mask":
        yield _mask(shape, label, size)
    else:
        raise ValueError("expected a mask, polygon, box or points")


def _mask(shape: Any, label: int, size: Size) -> Drawing:
    left, top, width, height = (_whole(shape, key) for key in ("left", "top", "width", "height"))
    if left + width > size[1] or top + height > size[0]:
        raise ValueError(f"a mask that leaves the image of {size[0]}x{size[1]} (height x width)")
    text = shape.get("rle") or ""
    try:
        counts = [int(count) for count in text.split(",")]
    except ValueError:
        raise ValueError("a run-length code with other values than whole numbers of pixels") from None
    check_counts(counts, height * width)
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return Drawing(label, (top, left), flat.reshape(height, width))


def _points(shape: Any) -> list[tuple[float, float]]:
    pairs = [pair.split(",") for pair in (shape.get("points") or "").split(";")]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError('points that are not "x,y;x,y"')
    return [(_number(x), _number(y)) for x, y in pairs]


def _number(text: str | None) -> float:
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is not a number")
    return number


def _whole(entry: Any, key: str) -> int:
    text = entry.get(key) or ""
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise ValueError(f"{key} is {text!r}: expected a whole number")
    return int(text)
