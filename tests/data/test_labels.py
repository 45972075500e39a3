"""classes.json: what is read, and one line for each thing that can be wrong with it."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from ripu_ray.data.description import LabelFormat
from ripu_ray.data.labels import Encoding, read_class_table
from ripu_ray.errors import DataError

GOOD: dict[str, Any] = {
    "num_classes": 2,
    "ignore_index": 255,
    "classes": [
        {"id": 0, "name": "road", "color": [1, 2, 3]},
        {"id": 1, "name": "sky", "color": [255, 0, 9]},
    ],
}


def write(path: Path, tree: Any) -> Path:
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


def test_names_and_colours_are_in_the_order_of_the_ids(tmp_path: Path) -> None:
    table = read_class_table(write(tmp_path / "classes.json", GOOD))
    assert table.names == ("road", "sky")
    assert table.colours == ((1, 2, 3), (255, 0, 9))
    assert table.num_classes == 2


FAULTS = {
    "num_classes is 3": (("num_classes",), 3),
    "num_classes is True": (("num_classes",), True),
    "ignore_index is 0": (("ignore_index",), 0),
    "num_classes is 2, but classes lists 0": (("classes",), []),
    "classes is 'road'": (("classes",), "road"),
    "classes[0]: expected keys": (("classes", 0), 7),
    "classes[0].id is True": (("classes", 0, "id"), True),
    "classes[0].id is -1": (("classes", 0, "id"), -1),
    "classes[1].id is 2": (("classes", 1, "id"), 2),
    "classes[1].name is 'road'": (("classes", 1, "name"), "road"),
    "classes[0].name is ' '": (("classes", 0, "name"), " "),
    "classes[0].color is [1, 2]": (("classes", 0, "color"), [1, 2]),
    "classes[0].color is [0, 0, 256]": (("classes", 0, "color"), [0, 0, 256]),
    "classes[0].color is [0, 0, 1.5]": (("classes", 0, "color"), [0, 0, 1.5]),
    "classes[0].color is '#12345'": (("classes", 0, "color"), "#12345"),
    "1 of 2 classes have a 'color'": (("classes", 0, "color"), None),
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_wrong_value_is_named(tmp_path: Path, message: str) -> None:
    keys, value = FAULTS[message]
    tree = copy.deepcopy(GOOD)
    place: Any = tree
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path = write(tmp_path / "classes.json", tree)
    with pytest.raises(DataError) as caught:
        read_class_table(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_more_than_255_classes_do_not_fit_beside_void(tmp_path: Path) -> None:
    classes = [{"id": i, "name": str(i), "color": [0, 0, 0]} for i in range(256)]
    path = write(tmp_path / "classes.json", {"num_classes": 256, "ignore_index": 255, "classes": classes})
    with pytest.raises(DataError, match="found 256"):
        read_class_table(path)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"", b"[" * 100_000])
def test_what_is_not_json_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "classes.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not valid JSON"):
        read_class_table(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"classes\.json: cannot be read"):
        read_class_table(tmp_path / "classes.json")


NAMES = ["road", "sky"]
COLOURED = [{"name": "road", "color": [1, 2, 3]}, {"name": "sky", "color": [255, 0, 9]}]
BY_NAME = {"road": [1, 2, 3], "sky": [255, 0, 9]}
SHAPES: dict[str, Any] = {
    "names": NAMES,
    "classes of names": {"classes": NAMES},
    "names by id": {"1": "sky", "0": "road"},
    "classes of names by id": {"classes": {"0": "road", "1": "sky"}},
    "ids by name": {"sky": 1, "road": 0},
    "ids as texts by name": {"classes": {"sky": "1", "road": "0"}},
    "ids without counts": {"classes": [{"id": 0, "name": "road"}, {"id": 1, "name": "sky"}]},
    "YOLO": {"path": "../d", "train": "images/train", "nc": 2, "names": {"0": "road", "1": "sky"}},
    "Hugging Face": {
        "architectures": ["Segformer"],
        "hidden_sizes": [32, 64],
        "id2label": {"0": "road", "1": "sky"},
        "label2id": {"road": 0, "sky": 1},
        "num_labels": 2,
    },
    "remarks": {"_comment": 1, "$schema": "x", "description": "mine", "classes": NAMES, "license": "CC0"},
    "no colour": [{"name": "road", "color": None}, {"name": "sky", "color": None}],
    "names and colours": COLOURED,
    "classes of names and colours": {"classes": COLOURED},
    "colours by id": {"0": COLOURED[0], "1": COLOURED[1]},
    "colours by name": BY_NAME,
    "ids and colours by name": {"sky": {"id": 1, "color": [255, 0, 9]}, "road": {"id": 0, "color": "#010203"}},
    "colours of entries by name": {"road": {"rgb": "#010203"}, "sky": {"color": [255, 0, 9]}},
    "colours in hexadecimal": [{"name": "road", "color": "#010203"}, {"name": "sky", "color": "#Ff0009"}],
    "colours as rgb": [{"name": "road", "rgb": [1, 2, 3]}, {"name": "sky", "rgb": [255, 0, 9], "isthing": 0}],
    "colours as colour": [{"name": "road", "colour": [1, 2, 3]}, {"name": "sky", "colour": [255, 0, 9]}],
    "colours in a list": {"classes": NAMES, "colors": [[1, 2, 3], [255, 0, 9]]},
    "colours in a palette": {"names": NAMES, "palette": ["#010203", "#ff0009"]},
    "colours in a list by id": {"id2label": {"1": "sky", "0": "road"}, "colours": {"0": [1, 2, 3], "1": [255, 0, 9]}},
    "colours in a list by name": {"classes": NAMES, "colors": BY_NAME},
    "colours and ids as texts": {"classes": [{"id": str(i), **COLOURED[i]} for i in range(2)], "num_classes": 2},
}


@pytest.mark.parametrize("bom", ["", "\ufeff"], ids=["", "BOM"])
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_that_people_guess_are_read(tmp_path: Path, shape: str, bom: str) -> None:
    path = tmp_path / "classes.json"
    path.write_text(bom + json.dumps(SHAPES[shape]), encoding="utf-8")
    table = read_class_table(path)
    has_colours = "colours" in shape
    assert table.names == ("road", "sky")
    assert table.colours == (((1, 2, 3), (255, 0, 9)) if has_colours else ((128, 0, 0), (0, 128, 0)))
    assert table.encoding == Encoding(has_colours=has_colours)


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ([], "classes: expected 2 to 255 of them, found 0"),
        ("road", "expected keys and values, found str"),
        ({"road": 0}, "classes: expected 2 to 255 of them, found 1"),
        ({"road": {"shade": 1}}, "the key 'road' is not known: expected classes, colors, ignore_"),
        ({"Classes": NAMES}, "the key 'Classes' is not known: expected 'classes'"),
        ({"id2label": {"0": "a", "1": "b"}, "do_reduce_labels": True}, "the key 'do_reduce_labels' is not known: ex"),
        (["road", "sky "], "classes[1].name is 'sky ': expected a printable name that no other class has"),
        ({"encoding": "ids"}, "the key 'classes' is missing"),
        ({"0": "road", "2": "sky"}, "the ids are 0, 2: expected 0, 1, 2, ... in this order, without 255, which is vo"),
        ({"1": "road", "2": "sky"}, "the ids are 1, 2: expected 0, 1, 2, ... in this order, without 255, which is vo"),
        ({"road": 1, "sky": 2}, "the ids are 1, 2: expected 0, 1, 2, ... in this order"),
        ({"road": 0, "sky": 0}, "the ids are 0, 0: expected 0, 1, 2, ... in this order"),
        ({"0": "road", "1": "sky", "255": "void"}, "the ids are 0, 1, 255: expected 0, 1, 2, ... in this order, with"),
        ({"categories": [{"id": 1, "name": "road"}, {"id": 2, "name": "sky"}]}, "classes[0].id is 1: expected 0, 1,"),
        ({"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 1, "b": 0}}, "id2label and label2id both list the clas"),
        ({"classes": NAMES, "names": NAMES}, "classes and names both list the classes: leave one of them out"),
        ({"names": NAMES, "nc": 3}, "nc is 3, but names lists 2"),
        ({"classes": 2, "names": NAMES}, "classes is 2: expected a list"),
        ({"classes": NAMES, "colors": [[1, 2, 3]]}, "colors has 1 colours, but there are 2 classes"),
        ({"classes": NAMES, "colors": {"road": [1, 2, 3]}}, "colors has 1 colours, but there are 2 classes"),
        ({"classes": COLOURED, "colors": [[1, 2, 3], [4, 5, 6]]}, "colors: the classes have colours, too: leave one"),
        ({"classes": NAMES, "colormap": [[1, 2, 3]]}, "the key 'colormap' is not known: expected"),
        (
            {"classes": NAMES, "ignore_label": 0},
            "the key 'ignore_label' is not known: expected classes, colors, ignore_",
        ),
        (
            {"classes": NAMES, "reduce_zero_label": True},
            "the key 'reduce_zero_label' is not known: expected classes, c",
        ),
        ([{"name": "road", "trainId": 0}, "sky"], "classes[0]: the key 'trainId' is not known: expected name, id"),
        ([{"name": "road", "color": [1, 2, 3], "rgb": [1, 2, 3]}, "sky"], "classes[0]: expected one 'color', found 2"),
        ([{"name": "road", "label_colour": "#010203"}, "sky"], "classes[0]: the key 'label_colour' is not known: exp"),
        (["road", 7], "classes[1]: expected keys and values, found int"),
        (["road", {"name": "sky", "color": [1, 2, 3]}], "1 of 2 classes have a 'color': expected all of them, or none"),
        ({"classes": NAMES, "id_map": [1]}, "id_map is [1]: expected"),
        ({"classes": NAMES, "id_map": {"x": 0}}, "id_map: 'x': expected an id of the label files, 0 to 255, or '*'"),
        ({"classes": NAMES, "id_map": {"7": 2}}, "id_map['7'] is 2: expected the name or id of a class, or 255"),
        ({"classes": NAMES, "palette": "rgb"}, "palette is 'rgb': expected 'ids' or 'colors'"),
        ({"classes": NAMES, "void_colours": []}, "the key 'void_colours' is not known: expected 'void_c"),
        ([{"name": "road", "colr": [1, 2, 3]}, "sky"], "classes[0]: the key 'colr' is not known: expected 'color'"),
        ({"classes": NAMES, "id_map": {"7": 0, "07": 1}}, "id_map: '07': is there twice"),
        ({"classes": NAMES, "void_colors": [3]}, "void_colors[0] is 3: expected red, green and blue, 0 to 255 each"),
    ],
)
def test_a_wrong_shape_is_named_beside_the_right_one(tmp_path: Path, tree: Any, says: str) -> None:
    path = write(tmp_path / "classes.json", tree)
    with pytest.raises(DataError) as caught:
        read_class_table(path)
    assert str(caught.value).startswith(f"{path}: {says}")
    assert str(caught.value).endswith(
        'expected ["road", "sky"] or [{"name": "road", "color": [128, 64, 128]}, ...] (docs/data.md)'
    )


def test_both_spellings_of_colours_are_read(tmp_path: Path) -> None:
    tables = [
        read_class_table(write(tmp_path / "classes.json", {"classes": COLOURED, "encoding": word, "palette": other}))
        for word, other in (("colours", "colors"), ("colors", "colours"))
    ]
    assert tables[0] == tables[1]
    assert tables[1].encoding.stored == "colours"
    assert LabelFormat.model_validate({"encoding": "colors", "classes": COLOURED}).encoding == "colours"


@pytest.mark.parametrize("classes", [{0: "road", 1: "sky"}, {"sky": 1, "road": 0}, {"0": "road", "1": "sky"}])
def test_a_description_takes_classes_by_id_or_name(classes: dict[Any, Any]) -> None:
    assert LabelFormat.model_validate({"encoding": "ids", "classes": classes}).table("").names == ("road", "sky")
