"""Answers that are wrong, partial, repeated, or outside the questions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ripu_ray.annotation.answering import answer
from ripu_ray.annotation.asking import ask, buy_answered
from ripu_ray.annotation.status import read_status
from ripu_ray.config import load_config
from ripu_ray.data.loading import open_domains
from ripu_ray.distributed.parts import ray_parts
from ripu_ray.errors import ConfigError, DataError, RunFolderError
from ripu_ray.runs.stages import Ending
from tests.annotation.answers import write_coco
from tests.annotation.conftest import Asked
from tests.conftest import TINY
from tests.running import execute_trial, ignore

SIZE = 32, 48


def coco_tree(segmentation: object, category: int = 0, **image: object) -> dict[str, Any]:
    names = ["road", "query", "void"]
    return {
        "images": [{"id": 1, "file_name": "target/train/00000.png", "height": 32, "width": 48, **image}],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names)],
        "annotations": [{"id": 5, "image_id": 1, "category_id": category, "segmentation": segmentation}],
    }


def task(**value: object) -> list[dict[str, Any]]:
    kind = next(key for key in value if key.endswith("labels"))
    region = {"id": "r1", "type": kind, "original_width": 48, "original_height": 32, "value": value}
    annotation = {"id": 9, "lead_time": 30.0, "result": [region]}
    return [{"data": {"image": "/data/upload/1/0a1b2c3d-00000.png"}, "annotations": [annotation]}]


def cvat(shape: str, name: str = "target/train/00000.png") -> str:
    image = f'<image id="0" name="{name}" width="48" height="32">{shape}</image>'
    return f"<annotations><version>1.1</version>{image}</annotations>"


def changed(tree: Any, place: str, **values: object) -> Any:
    """A tree with other values of the first entry of `place`, or of its first result if that is "result"."""
    entry = tree[0]["annotations"][0]["result"][0] if place == "result" else tree[place][0]
    entry.update(values)
    return tree


SQUARE = [[0, 0, 4, 0, 4, 4, 0, 4]]
CORNER = {"x": 1, "y": 0, "width": 9, "height": 9}
ENTITY = '<!DOCTYPE a [<!ENTITY b "c">]>' + cvat("&b;")
BAD: dict[str, tuple[str, object, str]] = {
    "no json": ("a.json", "{", "not valid JSON"),
    "nan": ("a.json", '{"images": NaN}', "not valid JSON"),
    "nested": ("a.json", "[" * 100_000, "not valid JSON"),
    "no list": ("a.json", {"images": 3}, "expected a list of images"),
    "unknown class": ("a.json", coco_tree(SQUARE, 7), "00000.png: annotation 5: there is no category 7"),
    "other image": ("a.json", coco_tree(SQUARE, file_name="source/train/00000.png"), "not an image of the pool"),
    "other size": ("a.json", coco_tree(SQUARE, height=33), "33x48 .*expected 32x48"),
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
    "missing": ("nowhere.json", None, "cannot be read"),
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


def test_partial_answers_are_taken_and_the_rest_comes_later(asked: Asked, tmp_path: Path) -> None:
    config = load_config(None, (*TINY, "cluster.scorers=0"))
    truth = open_domains(config.data).pool.label
    with pytest.raises(ConfigError, match="none of the 20 questions of round 0 is answered"):
        buy_answered(asked.trial())
    with pytest.raises(ConfigError, match="round 0 is not trained yet"):
        ask(asked.trial(), 1, ignore, ray_parts())
    trial_id = next(iter(asked.run.trials))
    assert answer(asked.trial(), write_coco(asked.trial(), asked.questions[:8], truth, tmp_path / "a")).answered == 8
    buy_answered(asked.trial())
    later = write_coco(asked.trial(), asked.questions[4:], truth, tmp_path / "b")
    outcome = answer(asked.trial(), later)  # after the purchase: for the next round
    assert (outcome.answered, outcome.repeated) == (12, 4)
    execute_trial(asked.run, trial_id, ignore)
    record = asked.run.trial(trial_id).stage(0).read()
    assert record.clicks == 8
    more = ask(asked.trial(), 1, ignore, ray_parts())
    assert ask(asked.trial(), 1, ignore, ray_parts()) == more
    assert not {question.key for question in more} & {question.key for question in asked.questions}
    answer(asked.trial(), write_coco(asked.trial(), more, truth, tmp_path / "c"))
    assert read_status(asked.trial()).next_step.startswith("round 1: train on its")
    buy_answered(asked.trial())
    execute_trial(asked.run, trial_id, ignore)
    assert asked.run.trial(trial_id).stage(1).read().clicks == 20 + len(more)
    assert asked.run.is_finished(trial_id)
    assert buy_answered(asked.trial()) == 2
    assert read_status(asked.trial()).next_step == "all rounds are trained"
    with pytest.raises(ConfigError, match="round 2: all rounds are trained"):
        ask(asked.trial(), 2, ignore, ray_parts())
    asked.run.trial(trial_id).finish(Ending(2, "small gain"))
    assert read_status(asked.trial()).next_step == "stopped after round 1: small gain"


def test_an_answer_that_differs_is_refused_with_both_sources(asked: Asked, tmp_path: Path) -> None:
    left, top, right, bottom = asked.questions[0].box
    corners = [[left, top, right, top, right, bottom, left, bottom]]
    for name, category in (("one.json", 0), ("other.json", 2)):
        (tmp_path / name).write_text(json.dumps(coco_tree(corners, category)))
    with pytest.raises(DataError, match=r"other\.json: image .*differs from the answer of .*one\.json"):
        answer(asked.trial(), [tmp_path / "one.json", tmp_path / "other.json"], skip_bad=True)
    assert not asked.trial().answers.by_key
    assert answer(asked.trial(), [tmp_path / "one.json"]).answered == 1
    with pytest.raises(DataError, match=r"other\.json: image .*differs from the answer of .*one\.json"):
        answer(asked.trial(), [tmp_path / "other.json"])


def test_labels_outside_are_used_only_when_accepted(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text(json.dumps(coco_tree([[0, 0, 48, 0, 48, 32, 0, 32]])))
    inside = sum(question.key[0] == "target/train/00000" for question in asked.questions)
    outcome = answer(asked.trial(), [tmp_path / "all.json"])
    assert outcome.answered == inside
    assert outcome.outside == {"target/train/00000": 32 * 48 - 9 * inside}
    trial = asked.trial()
    regions = trial.regions("target/train/00000")
    assert (trial.answers.label("target/train/00000", regions, SIZE) == 0).sum() == 9 * inside
    answer(asked.trial(), [tmp_path / "all.json"], accept_extra=True)
    answer(asked.trial(), [tmp_path / "all.json"], accept_extra=True)
    assert (asked.trial().answers.label("target/train/00000", regions, SIZE) == 0).all()


def test_clicks_choices_and_time_answer_whole_questions(asked: Asked, tmp_path: Path) -> None:
    left, top, right, bottom = asked.questions[0].box
    click = {"x": 100 * (left + 0.5) / 48, "y": 100 * (top + 0.5) / 32, "width": 1.0, "keypointlabels": ["road"]}
    (tmp_path / "click.json").write_text(json.dumps(task(**click)))
    outcome = answer(asked.trial(), [tmp_path / "click.json"])
    assert (outcome.answered, outcome.partly, outcome.outside) == (1, 0, {})
    found = asked.trial().answers.by_key[asked.questions[0].key]
    assert (found.labels_M == 0).all() and found.seconds == 30.0
    second = asked.questions[1]
    left, top, right, bottom = second.box
    box = {"x": 100 * left / 48, "y": 100 * top / 32, "width": 100 * (right - left) / 48}
    tree = task(**box, height=100 * (bottom - top) / 32, rectanglelabels=["query"])
    result = tree[0]["annotations"][0]["result"]
    result.append({"id": "r1", "type": "choices", "value": {"choices": ["road"]}})
    tree[0]["annotations"][0]["was_cancelled"] = False
    (tmp_path / "choice.json").write_text(json.dumps(tree))
    assert answer(asked.trial(), [tmp_path / "choice.json"]).answered == 1
    buy_answered(asked.trial())
    execute_trial(asked.run, next(iter(asked.run.trials)), ignore)
    assert asked.run.trial(next(iter(asked.run.trials))).stage(0).read().annotation_s == 60.0


def test_predictions_that_nobody_changed_lie_under_what_people_say(asked: Asked, tmp_path: Path) -> None:
    tree = task(x=0, y=0, width=100, height=100, rectanglelabels=["query"])
    region = tree[0]["annotations"][0]["result"][0]
    # Label Studio writes a choice after its region, so predictions of later regions follow it.
    choice = {"id": "r1", "origin": "prediction", "type": "choices", "value": {"choices": ["road"]}}
    predicted = {**region, "id": "r2", "origin": "prediction", "value": {**region["value"], "rectanglelabels": ["sky"]}}
    tree[0]["annotations"][0]["result"] = [{"type": "relation"}, region, choice, predicted]
    tree[0]["annotations"] *= 2
    (tmp_path / "a.json").write_text(json.dumps(tree))
    outcome = answer(asked.trial(), [tmp_path / "a.json"])
    assert outcome.repeated == outcome.answered > 0
    assert outcome.outside == {"target/train/00000": 32 * 48 - 9 * outcome.answered}
    assert all((found.labels_M == 0).all() for found in asked.trial().answers.by_key.values())


def test_each_wrong_file_is_named_and_only_images_without_fault_are_kept(asked: Asked, tmp_path: Path) -> None:
    whole = [[0, 0, 48, 0, 48, 32, 0, 32]]
    tree = coco_tree(whole)
    tree["images"].append({"id": 2, "file_name": "target/train/00001.png", "height": 32, "width": 48})
    tree["annotations"] += [
        {"id": 6, "image_id": 2, "category_id": 0, "segmentation": whole},
        {"id": 7, "image_id": 2, "category_id": 0, "segmentation": [[1, 2, 3]]},
    ]
    (tmp_path / "one.json").write_text(json.dumps(tree))
    tree["images"].append({"id": 3, "file_name": "target/train/00002.png"})  # without a size: not read at all
    (tmp_path / "two.json").write_text(json.dumps(tree))
    with pytest.raises(DataError, match=r"one\.json: image .*00001.png: annotation 7.*1 more") as refused:
        answer(asked.trial(), [tmp_path / "one.json", tmp_path / "two.json"])
    assert [line.split(":")[0] for line in refused.value.faults] == [f"{tmp_path}/one.json", f"{tmp_path}/two.json"]
    outcome = answer(asked.trial(), [tmp_path / "one.json", tmp_path / "two.json"], skip_bad=True)
    assert outcome.answered == sum(question.key[0] == "target/train/00000" for question in asked.questions)
    assert len(outcome.skipped) == 2 and not outcome.repeated


def test_relations_and_points_on_the_border_are_read(asked: Asked, tmp_path: Path) -> None:
    tree = task(x=100, y=100, width=1, keypointlabels=["road"])
    tree[0]["annotations"][0]["result"].append({"type": "relation", "from_id": "r1", "to_id": "r1"})
    tree[0]["annotations"].append({"id": 10, "was_cancelled": True, "result": [{"type": "unknown"}]})
    tree[0]["annotations"].append({"id": 11, "was_cancelled": True, "result": None})
    tree[0]["predictions"] = [{"result": [{"type": "unknown"}]}]
    (tmp_path / "a.json").write_text(json.dumps(tree))
    outcome = answer(asked.trial(), [tmp_path / "a.json"])
    assert outcome.answered + sum(outcome.outside.values()) == 1


def test_folders_of_label_maps_may_have_other_files(asked: Asked, tmp_path: Path) -> None:
    inside = tmp_path / "maps" / "target" / "train"
    inside.mkdir(parents=True)
    (inside / "._00000.png").write_bytes(b"macOS")
    (inside / "notes.txt").write_text("none")
    (inside / "b.png").mkdir()
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(inside / "00001.PNG")
    assert answer(asked.trial(), [tmp_path / "maps"]).answered


def test_an_altered_answer_is_refused(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text(json.dumps(coco_tree([[0, 0, 48, 0, 48, 32, 0, 32]])))
    answer(asked.trial(), [tmp_path / "all.json"])
    batch = asked.trial().folder.answers / "batch_0000.parquet"
    content = bytearray(batch.read_bytes())
    content[len(content) // 2] ^= 1
    batch.write_bytes(content)
    with pytest.raises(RunFolderError, match=r"batch_0000\.parquet: altered"):
        asked.trial()
