"""Answers that are partial, repeated, different, or outside the questions."""

import json
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ripu_ray.annotation.answering import _Intake, answer
from ripu_ray.annotation.asking import ask, buy_answered
from ripu_ray.annotation.status import read_status
from ripu_ray.config import load_config
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.loading import open_domains
from ripu_ray.distributed.parts import ray_parts
from ripu_ray.errors import ConfigError, DataError, RunFolderError
from ripu_ray.runs.answers import Answer, Answers
from ripu_ray.runs.stages import Ending
from tests.annotation.answers import write_coco
from tests.annotation.conftest import Asked
from tests.annotation.files import SIZE, coco_tree, task
from tests.conftest import TINY
from tests.running import execute_trial, ignore


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
    left, top, right, bottom = asked.questions[0].box
    for edge, message in ((left + 1, ""), (right, "differs from the answer of")):
        tree = coco_tree([[left, top, edge, top, edge, bottom, left, bottom]], 2)
        tree["info"] = {"questions": asked.trial().token(1)}
        (tmp_path / "touched.json").write_text(json.dumps(tree))
        if message:  # the whole region of a question of another round
            with pytest.raises(DataError, match=message):
                answer(asked.trial(), [tmp_path / "touched.json"])
        else:
            assert answer(asked.trial(), [tmp_path / "touched.json"]).repeated == 0
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
        answer(asked.trial(), [tmp_path / "one.json", tmp_path / "other.json"])
    # No order of the files decides which of two annotators is right.
    disputed = answer(asked.trial(), [tmp_path / f"{n}.json" for n in ("one", "other", "one")], skip_bad=True)
    assert (disputed.answered, disputed.repeated, len(disputed.skipped)) == (0, 0, 1)
    assert not asked.trial().answers.by_key
    assert answer(asked.trial(), [tmp_path / "one.json"]).answered == 1
    with pytest.raises(DataError, match=r"other\.json: image .*differs from the answer of .*one\.json"):
        answer(asked.trial(), [tmp_path / "other.json"])
    shapes = (f'<box label="{label}" xtl="0" ytl="0" xbr="48" ybr="32"/>' for label in ("sky", "car"))
    images = [
        f'<image task_id="{n}" name="00001" width="48" height="32">{shape}</image>' for n, shape in enumerate(shapes)
    ]
    (tmp_path / "project.xml").write_text(f"<annotations><version>1.1</version>{''.join(images)}</annotations>")
    with pytest.raises(DataError, match=r"l, task 1: image .*differs from the answer of .*project\.xml, task 0"):
        answer(asked.trial(), [tmp_path / "project.xml"])


def test_a_file_with_changed_and_new_answers_gives_the_new_ones(asked: Asked, tmp_path: Path) -> None:
    trial = asked.trial()
    in_first = [question for question in asked.questions if question.key[0] == asked.questions[0].key[0]]

    def write(category: int, boxes: list[tuple[int, int, int, int]]) -> list[Path]:
        rings = [[left, top, right, top, right, bottom, left, bottom] for left, top, right, bottom in boxes]
        (tmp_path / "export.json").write_text(json.dumps(coco_tree(rings, category)))
        return [tmp_path / "export.json"]

    assert answer(trial, write(0, [in_first[0].box])).answered == 1
    again = write(2, [question.box for question in in_first])
    for accept_extra in (False, True):
        with pytest.raises(DataError, match=r"row .*differs from the answer of .*--skip-bad keeps the old one"):
            answer(asked.trial(), again, accept_extra=accept_extra)
    outcome = answer(asked.trial(), again, skip_bad=True)
    assert (outcome.answered, outcome.repeated, len(outcome.skipped)) == (len(in_first) - 1, 0, 1)
    found = asked.trial().answers.by_key
    assert (found[in_first[0].key].labels_M == 0).all() and (found[in_first[1].key].labels_M == IGNORE_LABEL).all()
    before = Path(shutil.copy(tmp_path / "export.json", tmp_path / "before.json"))
    both = [*write(0, [in_first[0].box]), before]
    for files in (both, both[::-1]):  # one of them says what was answered, the other one something else
        with pytest.raises(DataError, match="--skip-bad takes neither"):
            answer(asked.trial(), files, replace_answers=True)
    outcome = answer(asked.trial(), [before], replace_answers=True)
    assert (outcome.answered, outcome.partly, outcome.repeated, outcome.replaced) == (0, 0, len(in_first) - 1, 1)
    trial = asked.trial()
    assert (trial.answers.by_key[in_first[0].key].labels_M == IGNORE_LABEL).all()
    label_HW = trial.answers.label(in_first[0].key[0], trial.regions(in_first[0].key[0]), SIZE)
    assert (label_HW == IGNORE_LABEL).all()
    buy_answered(asked.trial())
    with pytest.raises(DataError, match="a round has bought that one"):
        answer(asked.trial(), both[:1], replace_answers=True)


def test_answers_that_are_large_are_read_again_or_refused(tmp_path: Path) -> None:
    answers, even = Answers(tmp_path), np.zeros(2**22, np.uint8)
    pixels = np.arange(even.size, dtype=np.uint32)
    given = [Answer(("a", row, 0), even, "a.json") for row in range(40)]  # 160 MiB, compressed: a few KiB
    answers.commit([*given, Answer(("a", 0, 0), even, "a.json", pixels_M=pixels)])
    again = Answers(tmp_path)
    assert (len(again.by_key), again.sha256) == (40, answers.sha256)
    np.testing.assert_array_equal(again.outside["a"][0].pixels_M, pixels)
    with pytest.raises(DataError, match=r"labels of 1024 MiB in one call: expected at most 512 MiB"):
        answers.commit([Answer(("b", 0, 0), np.broadcast_to(even[0], 2**30), "b.json")])
    assert len([*tmp_path.iterdir()]) == 2


def test_labels_outside_take_a_bit_a_pixel(asked: Asked) -> None:
    intake, label_HW = _Intake(asked.trial(), accept_extra=False), np.zeros((1000, 1000), np.uint8)
    tracemalloc.start()
    for rows in (slice(0, 400), slice(300, 1000)):
        part_HW = np.full_like(label_HW, IGNORE_LABEL)
        part_HW[rows] = 0
        intake._add_outside("large", part_HW, "a.png")
    del part_HW
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert intake.outcome.outside == {"large": 1000 * 1000}
    assert held < label_HW.size


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


def test_unchanged_predictions_lie_under_the_answers(asked: Asked, tmp_path: Path) -> None:
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
