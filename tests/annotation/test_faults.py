"""Wrong files: the line that names the fault."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ripu_ray.annotation.answering import answer
from ripu_ray.errors import DataError
from tests.annotation.conftest import Asked
from tests.annotation.files import SIZE, changed, coco_tree, cvat, task

SQUARE = [[0, 0, 4, 0, 4, 4, 0, 4]]
CORNER = {"x": 1, "y": 0, "width": 9, "height": 9}
OTHER_RUN = "answers the questions '0a' of another run than .*run"
ENTITY = '<!DOCTYPE a [<!ENTITY b "c">]>' + cvat("&b;")
BAD: dict[str, tuple[str, object, str]] = {
    "no folder": ("absent", None, "no such file or folder"),
    "no json": ("a.json", "{", "not valid JSON"),
    "nan": ("a.json", '{"images": NaN}', "not valid JSON"),
    "nested": ("a.json", "[" * 100_000, "not valid JSON"),
    "no list": ("a.json", {"images": 3}, "expected a list of images"),
    "unknown class": ("a.json", coco_tree(SQUARE, 7), "00000.png: annotation 5: there is no category 7"),
    "other image": ("a.json", coco_tree(SQUARE, file_name="source/train/00000.png"), "not an image of the pool"),
    "other size": ("a.json", coco_tree(SQUARE, height=33), "33x48 .*expected 32x48"),
    "long outline": (
        "a.json",
        coco_tree([[0, 0, 48, 32] * 99]),
        "annotation 5: a polygon whose outline has 9504",
    ),
    "far polygon": ("a.json", coco_tree([[0, 0, 1e9, 0, 4, 4]]), "annotation 5: a corner .* far outside"),
    "two corners": ("a.json", coco_tree([[0, 0, 4, 4]]), "annotation 5: a polygon of 4 numbers"),
    "short code": ("a.json", coco_tree({"size": [32, 48], "counts": [3, 4]}), "of 7 pixels: expected 1536"),
    "wrong text": ("a.json", coco_tree({"size": [32, 48], "counts": "o" * 99}), "annotation 5: a run-length code"),
    "empty text": ("a.json", coco_tree({"size": [32, 48], "counts": ""}), "of 0 pixels"),
    "code size": ("a.json", coco_tree({"size": [10**9, 10**9], "counts": ""}), "a mask of size"),
    "no image": ("a.json", {**coco_tree(SQUARE), "images": []}, "annotation 5: there is no image 1"),
    "brush": ("a.json", task(format="rle", rle=[0, 0, 24, 0, 1], brushlabels=["road"]), "region 'r1': a brush"),
    "per cent": ("a.json", task(x="1", y=0, width=1, height=1, rectanglelabels=["road"]), "region 'r1': '1'"),
    "rotated": ("a.json", task(x=1, y=0, width=9, height=9, rotation=3, rectanglelabels=["road"]), "rotated"),
    "no label": ("a.json", task(x=1, y=0, width=9, height=9, rectanglelabels=[]), "expected one label"),
    "entities": ("a.xml", ENTITY, "document type or entities"),
    "no xml": ("a.xml", "<annotations>", "not valid XML"),
    "points": ("a.xml", cvat('<polygon label="road" points="1,2;x,3"/>'), r"annotation 0 \(polygon\): 'x' is not"),
    "mask": ("a.xml", cvat('<mask label="road" rle="9" left="0" top="0" width="9" height="9"/>'), "expected 81"),
    "mask outside": ("a.xml", cvat('<mask label="road" rle="9" left="47" top="0" width="9" height="1"/>'), "leaves"),
    "label": ("a.xml", cvat('<box label="sea" xtl="0" ytl="0" xbr="9" ybr="9"/>'), "unknown class 'sea'"),
    "path": ("a.xml", cvat("", "../../etc/passwd"), "not an image of the pool"),
    "image number": ("a.json", changed(coco_tree(SQUARE), "annotations", image_id=True), "5: there is no image True"),
    "size of a code": ("a.json", coco_tree({"size": 5, "counts": [1536]}), "annotation 5: a mask of size 5: expected"),
    "two categories": ("a.json", {**coco_tree(SQUARE), "categories": [{"id": 0}] * 2}, "two categories have the id 0"),
    "two images": ("a.json", {**coco_tree(SQUARE), "images": coco_tree(SQUARE)["images"] * 2}, "two images have the"),
    "no segmentation": ("a.json", coco_tree([]), "annotation 5: expected a segmentation .* or a bbox"),
    "box": ("a.json", changed(coco_tree([]), "annotations", bbox=[0, 0, -3, 3]), "annotation 5: a rectangle without"),
    "infinite": ("a.json", json.dumps(coco_tree([[0, 0, 7777, 0, 4, 4]])).replace("7777", "1e400"), "a corner that is"),
    "json-min": ("a.json", [{"image": "target/train/00000.png", "id": 3, "brush": []}], "task 3: expected .*JSON-MIN"),
    "ellipse": (
        "a.json",
        task(x=5, y=5, radiusX=3, radiusY=3, ellipselabels=["road"]),
        "'r1': ellipselabels: expected",
    ),
    "whole image": (
        "a.json",
        changed(task(**CORNER, rectanglelabels=["road"]), "result", type="choices"),
        "whole image",
    ),
    "no size": ("a.json", changed(task(**CORNER, rectanglelabels=["road"]), "result", original_width="48"), "same for"),
    "base64": ("a.json", task(format="rle", rle="AAAA", brushlabels=["road"]), "region 'r1': a brush without a list"),
    "order": ("a.xml", cvat('<box label="road" z_order="top"/>'), r"annotation 0 \(box\): a z_order"),
    "video": ("a.xml", cvat("").replace("<image", '<track id="0"/><image'), "CVAT for video"),
    "bomb": ("a.xml", '<!DOCTYPE a [<!ENTITY b "cc"><!ENTITY d "&b;&b;">]><annotations>&d;</annotations>', "entities"),
    "missing": ("nowhere.json", None, "no such file or folder"),
    "suffix": ("a.txt", "", "expected .json"),
    "zip": ("a.zip", "PK", "an archive: unpack it"),
    "gz": ("a.json.gz", "", "an archive: unpack it"),
    "rotated in COCO": (
        "a.json",
        changed(coco_tree([]), "annotations", bbox=[2, 2, 9, 9], attributes={"rotation": 45.0}),
        "annotation 5: a rotated box",
    ),
    "keypoints": (
        "a.json",
        changed(coco_tree([]), "annotations", bbox=[2, 2, 9, 9], keypoints=[3, 3, 2]),
        "annotation 5: keypoints",
    ),
    "comment": ("a.json", changed(task(**CORNER, rectanglelabels=["road"]), "result", type="textarea"), "textarea: "),
    "no result": (
        "a.json",
        [{"data": {"image": "00000.png"}, "annotations": [{"id": 9, "result": None}]}],
        "image 00000.png, annotation 9: expected a list of results",
    ),
    "info of another run": ("a.json", {**coco_tree(SQUARE), "info": {"questions": "0a"}}, OTHER_RUN),
    "attribute of another run": (
        "a.json",
        changed(coco_tree(SQUARE), "annotations", attributes={"questions": "0a", "rotation": 0.0}),
        OTHER_RUN,
    ),
    "task of another run": (
        "a.json",
        [{**task(**CORNER, rectanglelabels=["road"])[0], "data": {"image": "00000.png", "questions": "0a"}}],
        f"image 00000.png, annotation 9: {OTHER_RUN}",
    ),
    "label of another run": ("a.xml", cvat('<box><attribute name="questions">0a</attribute></box>'), OTHER_RUN),
    "long name": ("a.json", coco_tree(SQUARE, file_name="x" * 9999), "image x{200}: is not an image"),
}
"""File, content, and what the fault says."""


@pytest.mark.parametrize("case", BAD)
def test_a_fault_is_named_and_nothing_is_taken(asked: Asked, tmp_path: Path, case: str) -> None:
    name, content, message = BAD[case]
    if content is not None:
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(DataError, match=f"{name}.*{message}"):
        answer(asked.trial(), [tmp_path / name])
    assert not asked.trial().answers.by_key
    skipped = answer(asked.trial(), [tmp_path / name], skip_bad=True)
    assert len(skipped.skipped) == 1 and not skipped.answered


@pytest.mark.parametrize(
    ("size", "message"), [((31, 48), "31x48 .*expected 32x48"), ((32, 48), "label id 200 is outside the classes")]
)
def test_wrong_label_maps_are_named(asked: Asked, tmp_path: Path, size: tuple[int, int], message: str) -> None:
    Image.fromarray(np.full(size, 0 if size != SIZE else 200, np.uint8)).save(tmp_path / "00000.png")
    with pytest.raises(DataError, match=message):
        answer(asked.trial(), [tmp_path / "00000.png"])
    Image.fromarray(np.zeros(size, np.uint16)).save(tmp_path / "00000.png")
    with pytest.raises(DataError, match=r"00000\.png: 16 bits a channel: expected 8 bits"):
        answer(asked.trial(), [tmp_path / "00000.png"])


def test_each_wrong_path_has_a_line(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.json")  # reading it would wait for a writer
    paths = [tmp_path / "empty", tmp_path / "absent", tmp_path / "pipe.json", tmp_path / ("x" * 300)]
    with pytest.raises(DataError, match=r"empty: holds no \.png file") as caught:
        answer(asked.trial(), paths)
    assert len(caught.value.faults) == 4 and "File name too long" in caught.value.faults[3]
    assert len(answer(asked.trial(), paths, skip_bad=True).skipped) == 4


def test_a_folder_of_label_maps_has_hidden_files_and_broken_links(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "maps" / ".ipynb_checkpoints").mkdir(parents=True)
    for name in ("00000.png", "._00000.png", ".ipynb_checkpoints/00000-checkpoint.png"):
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(tmp_path / "maps" / name)
    (tmp_path / "maps" / "00001.png").symlink_to("absent.png")
    with pytest.raises(DataError, match=r"maps/00001\.png: no such file or folder$"):
        answer(asked.trial(), [tmp_path / "maps"])
    (tmp_path / "maps" / "00001.png").unlink()
    assert answer(asked.trial(), [tmp_path / "maps"]).answered
