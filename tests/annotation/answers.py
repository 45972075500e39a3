"""Perfect answers to questions, in files that are built without our exporters."""

import json
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from ripu_ray.annotation import brush
from ripu_ray.annotation.asking import AskedTrial, Question
from ripu_ray.annotation.catalogue import Names
from ripu_ray.core.metrics import IGNORE_LABEL

Truth = Callable[[str], NDArray[np.uint8]]


def masks(asked: AskedTrial, questions: list[Question], truth: Truth) -> dict[str, list[tuple[str, NDArray[np.bool_]]]]:
    """Image id -> name of each label in each of its questions, and the (H, W) pixels."""
    names = Names(asked.classes)
    found = {}
    for image_id, group in groupby(questions, lambda question: question.key[0]):
        label_HW, drawn = truth(image_id), []
        for question in group:
            region_HW = np.zeros(label_HW.shape, np.bool_)
            region_HW[asked.regions(image_id).members(*question.key[1:])] = True
            for label in np.unique(label_HW[region_HW]).tolist():
                name = names.void if label == IGNORE_LABEL else asked.classes.names[label]
                drawn.append((name, region_HW & (label_HW == label)))
        found[image_id] = drawn
    return found


def write_png(asked: AskedTrial, questions: list[Question], truth: Truth, folder: Path) -> list[Path]:
    """Label maps of class ids, 255 outside the questions, grey and with a palette by turns."""
    ids = [*asked.classes.names, Names(asked.classes).void]
    for number, (image_id, drawn) in enumerate(masks(asked, questions, truth).items()):
        label_HW = np.full(asked.pool.label_size(image_id), IGNORE_LABEL, np.uint8)
        for name, mask_HW in drawn:
            label_HW[mask_HW] = ids.index(name)
        path = folder / f"{image_id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(label_HW)
        if number % 2:
            picture.putpalette([7] * 768)
        picture.save(path)
    return [folder]


def write_coco(asked: AskedTrial, questions: list[Question], truth: Truth, folder: Path) -> list[Path]:
    """One file with polygons and both kinds of run-length codes, by turns."""
    categories = [*asked.classes.names, Names(asked.classes).void]
    images: list[object] = []
    annotations: list[object] = []
    for image_number, (image_id, drawn) in enumerate(masks(asked, questions, truth).items(), 7):
        height, width = asked.pool.label_size(image_id)
        images.append({"id": image_number, "file_name": f"{image_id}.png", "height": height, "width": width})
        for name, mask_HW in drawn:
            number = len(annotations)
            entry = {"id": number, "image_id": image_number, "category_id": categories.index(name)}
            annotations.append(entry | {"segmentation": _segmentation(mask_HW, number % 3), "iscrowd": 0})
    tree = {
        "images": images,
        "categories": [{"id": number, "name": name} for number, name in enumerate(categories)],
        "annotations": annotations,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "answers.json").write_text(json.dumps(tree))
    return [folder / "answers.json"]


def write_cvat(asked: AskedTrial, questions: list[Question], truth: Truth, folder: Path) -> list[Path]:
    """One file with masks, polygons and boxes, and points in mode pixel, by turns."""
    lines = ["<annotations><version>1.1</version>"]
    for number, (image_id, drawn) in enumerate(masks(asked, questions, truth).items()):
        height, width = asked.pool.label_size(image_id)
        lines.append(f'<image id="{number}" name="{image_id}.png" width="{width}" height="{height}">')
        for index, (name, mask_HW) in enumerate(drawn):
            common = f'label="{name}" source="manual" occluded="0" z_order="0"'
            pixels = np.argwhere(mask_HW).tolist()
            kind = index % (3 + _has_clicks(asked))
            if kind == 0:
                (top, left), (bottom, right) = np.argwhere(mask_HW).min(axis=0), np.argwhere(mask_HW).max(axis=0) + 1
                runs = [(int(value), len([*run])) for value, run in groupby(mask_HW[top:bottom, left:right].ravel())]
                code = ", ".join([*(["0"] if runs[0][0] else []), *(str(length) for _, length in runs)])
                place = f'left="{left}" top="{top}" width="{right - left}" height="{bottom - top}"'
                lines.append(f'<mask {common} rle="{code}" {place}></mask>')
            elif kind == 1:
                for y, x in pixels:
                    lines.append(f'<polygon {common} points="{x}.0,{y};{x + 1},{y};{x + 1},{y + 1};{x},{y + 1}"/>')
            elif kind == 3:
                points = ";".join(f"{x}.50,{y}.25" for y, x in pixels)
                lines.append(f'<points {common} points="{points}"/>')
            else:
                lines += [f'<box {common} xtl="{x}" ytl="{y}" xbr="{x + 1}" ybr="{y + 1}"/>' for y, x in pixels]
        lines.append("</image>")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "answers.xml").write_text("".join([*lines, "</annotations>"]))
    return [folder / "answers.xml"]


def write_labelstudio(asked: AskedTrial, questions: list[Question], truth: Truth, folder: Path) -> list[Path]:
    """One file with brushes, polygons and rectangles, and keypoints in mode pixel, by turns; images are local files."""
    kinds = ("brushlabels", "polygonlabels", "rectanglelabels", "keypointlabels")[: 3 + _has_clicks(asked)]
    tasks: list[object] = []
    for image_id, drawn in masks(asked, questions, truth).items():
        height, width = asked.pool.label_size(image_id)
        common = {"original_width": width, "original_height": height, "image_rotation": 0, "to_name": "image"}
        result: list[object] = []
        for index, (name, mask_HW) in enumerate(drawn):
            kind = kinds[index % len(kinds)]
            values: list[dict[str, object]] = []
            if kind == "brushlabels":
                values = [{"format": "rle", "rle": brush.encode(mask_HW)}]
            for y, x in np.argwhere(mask_HW).tolist():
                corners = ((x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1))
                if kind == "polygonlabels":
                    values.append({"points": [[100 * x / width, 100 * y / height] for x, y in corners]})
                elif kind == "rectanglelabels":
                    box = {"x": 100 * x / width, "y": 100 * y / height}
                    values.append({**box, "width": 100 / width, "height": 100 / height, "rotation": 0})
                elif kind == "keypointlabels":
                    values.append({"x": 100 * (x + 0.5) / width, "y": 100 * (y + 0.5) / height, "width": 0.5})
            for value in values:
                region = {"id": f"{index}-{len(result)}", "type": kind, "from_name": kind[:-6]}
                result.append({**common, **region, "value": {**value, kind: [name]}})
        token = asked.token(questions[0].round)
        data = {"image": f"/data/local-files/?d=images/{image_id}.png", "questions": token}
        tasks.append({"id": len(tasks), "data": data, "annotations": [{"id": len(tasks), "result": result}]})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "answers.json").write_text(json.dumps(tasks))
    return [folder / "answers.json"]


def _has_clicks(asked: AskedTrial) -> bool:
    """Whether a point may stand for a question: it has one pixel, so it has one label."""
    return asked.strategy.mode == "pixel"


def _segmentation(mask_HW: NDArray[np.bool_], kind: int) -> object:
    code = coco.encode(np.asfortranarray(mask_HW, np.uint8))
    if kind == 0:
        return {"size": code["size"], "counts": code["counts"].decode()}
    if kind == 1:
        flat = mask_HW.ravel(order="F")
        edges = np.flatnonzero(np.diff(flat)) + 1
        counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
        return {"size": code["size"], "counts": [0, *counts] if flat[0] else counts}
    corners = ((col, row) for row, col in np.argwhere(mask_HW).tolist())
    return [[x, y, x + 1, y, x + 1, y + 1, x, y + 1] for x, y in corners]


WRITERS = {"png": write_png, "coco": write_coco, "cvat": write_cvat, "labelstudio": write_labelstudio}
KINDS = {
    "png": (),
    "coco": ('"counts": "', '"counts": [', '"segmentation": [['),
    "cvat": ("<mask", "<polygon", "<box"),
    "labelstudio": ("brushlabels", "polygonlabels", "rectanglelabels"),
}
"""Texts of the shapes that the files of a form have; in mode pixel also CLICKS."""
CLICKS = {"cvat": "<points", "labelstudio": "keypointlabels"}
