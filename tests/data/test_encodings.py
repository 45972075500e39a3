"""Every way to store a label comes to the same class ids, and what cannot be told is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ripu_cli.main import app
from typer.testing import CliRunner, Result

from ripu_ray.data.loading import open_domains
from tests.data.folders import CLASSES, scene, write_data_set

COLOURS = np.array([(128, 64, 128), (70, 130, 180), (220, 20, 60)], np.uint8)
VOID = (0, 0, 0)
COLOURED = {"classes": [{"name": f"class{i}", "color": COLOURS[i].tolist()} for i in range(3)], "void_colors": [VOID]}
CITY = {**COLOURED, "id_map": {"7": "class0", "23": 1, "24": "class2", "255": 255, "*": 255}}
Write = Callable[[Path, np.ndarray], None]


def _lookup(values: Any, void: Any) -> np.ndarray:
    table = np.zeros((256, *np.shape(void)), np.uint8)
    table[:3], table[255] = values, void
    return table


def _coloured(mode: str) -> Write:
    return lambda path, ids: Image.fromarray(_lookup(COLOURS, VOID)[ids]).convert(mode).save(path)


def _palette(indices: tuple[int, ...], void: int) -> Write:
    """A palette in the classes' colours, whose indices are `indices`, and `void`."""

    def write(path: Path, ids: np.ndarray) -> None:
        picture = Image.fromarray(_lookup(indices, void)[ids]).convert("P")
        palette = np.full((256, 3), 99, np.uint8)
        palette[list(indices)], palette[void] = COLOURS, VOID
        picture.putdata(_lookup(indices, void)[ids].ravel().tolist())
        picture.putpalette(palette.ravel().tolist())
        picture.save(path)

    return write


def _ids(values: tuple[int, ...], void: int) -> Write:
    return lambda path, ids: Image.fromarray(_lookup(values, void)[ids]).save(path)


ENCODINGS: dict[str, tuple[Any, Write]] = {
    "ids": (["class0", "class1", "class2"], _ids((0, 1, 2), 255)),
    "RGB": (COLOURED, _coloured("RGB")),
    "RGBA": (COLOURED, _coloured("RGBA")),
    "palette of ids": (COLOURED, _palette((0, 1, 2), 255)),
    "palette of colours": ({**COLOURED, "palette": "colors"}, _palette((9, 4, 30), 2)),
    "id_map": (CITY, _ids((7, 23, 24), 3)),
    "encoding: colours": ({**COLOURED, "encoding": "colours"}, _palette((9, 4, 30), 2)),
    "encoding: palette": ({**COLOURED, "encoding": "palette"}, _palette((0, 1, 2), 255)),
    "encoding: uint16_channel0": (
        {**COLOURED, "encoding": "uint16_channel0"},
        lambda path, ids: Image.fromarray(ids.astype(np.uint16)).save(path),
    ),
    "id_map and a palette": (CITY, _palette((7, 23, 24), 3)),
}


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`ripu data check` of `data` in the working directory."""
    monkeypatch.chdir(tmp_path)

    def run(*settings: str) -> Result:
        data = "data={dataset: folder, root: data, source: day, target: dusk}"
        return CliRunner().invoke(app, ["data", "check", *(f"--set={text}" for text in (data, *settings))])

    return run


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("cache", [False, True], ids=["", "cache"])
def test_labels_come_to_class_ids(tmp_path: Path, check: Callable[..., Result], encoding: str, cache: bool) -> None:
    data = write_data_set(tmp_path / "data")
    classes, write = ENCODINGS[encoding]
    (tmp_path / "data/classes.json").write_text(json.dumps(classes))
    for path in (tmp_path / "data").rglob("labels/*.png"):
        write(path, np.array(Image.open(path)))
    pool = open_domains(data.model_copy(update={"cache": tmp_path / "cache"} if cache else {})).pool
    np.testing.assert_array_equal(pool.label("dusk/train/b"), scene(1)[1])
    done = check()
    assert (done.exit_code, "faults    0" in done.stdout) == (0, True), done.output


def _transparent(path: Path, ids: np.ndarray) -> None:
    picture = Image.fromarray(_lookup(COLOURS, VOID)[ids])
    picture.putalpha(Image.new("L", picture.size, 200))
    picture.save(path)


def _with_a_stain(path: Path, ids: np.ndarray) -> None:
    coloured = _lookup(COLOURS, VOID)[ids]
    coloured[3:5, 2:9] = (9, 8, 7)
    coloured[6, 2] = (1, 1, 1)
    Image.fromarray(coloured).save(path)


def _jpeg(path: Path, ids: np.ndarray) -> None:
    path.unlink()
    Image.fromarray(ids).save(path.with_suffix(".jpg"))


TWINS = {"classes": [{"name": name, "color": [7, 7, 7]} for name in ("road", "sky", "car")]}
REFUSED: dict[str, tuple[Any, Write, str]] = {
    "unknown colour": (
        COLOURED,
        _with_a_stain,
        "b.png: no class in classes.json has the colour 9,8,7 (14 pixels, and 1 more colour)",
    ),
    "transparency": (COLOURED, _transparent, "b.png: 240 pixels of the label are transparent"),
    "no colours": (
        ["a", "b", "c"],
        _coloured("RGB"),
        "b.png: a label in colours, but classes.json gives its",
    ),
    "one colour for two": (
        TWINS,
        _coloured("RGB"),
        "b.png: a label in colours, but in classes.json: road and sky have one colour, 7,7,7",
    ),
    "id not in id_map": (
        {"classes": ["a", "b", "c"], "id_map": {"0": "a", "1": "b", "255": 255}},
        _ids((0, 1, 2), 255),
        "b.png: label id 2 is not in the id_map of classes.json",
    ),
    "another encoding": (
        {**COLOURED, "encoding": "colours"},
        _ids((0, 1, 2), 255),
        "b.png: expected a PNG of colours, 8 bits a channel, or with a palette: its encoding is colours in",
    ),
    "JPEG": (COLOURED, _jpeg, "b.jpg: a JPEG label, whose compression changes ids and colours: save PNGs"),
}


@pytest.mark.parametrize("refused", REFUSED)
def test_what_cannot_be_told_is_refused(tmp_path: Path, check: Callable[..., Result], refused: str) -> None:
    write_data_set(tmp_path / "data")
    classes, write, says = REFUSED[refused]
    (tmp_path / "data/classes.json").write_text(json.dumps(classes))
    write(tmp_path / "data/dusk/train/labels/b.png", scene(1)[1])
    done = check()
    assert done.exit_code == 2
    assert f"ripu: {tmp_path}/data/dusk/train/labels/{says}" in done.stderr


@pytest.mark.parametrize("content", ["b\na\n", "b.png\r\na.png\r\n", "\ufeffb\r\n\r\nimages/a.png"])
def test_lists_name_the_images_of_a_split(tmp_path: Path, check: Callable[..., Result], content: str) -> None:
    data = write_data_set(tmp_path / "data")
    (tmp_path / "lines.txt").write_bytes(content.encode())
    lists = dict.fromkeys(("source_list", "target_list", "validation_list"), tmp_path / "lines.txt")
    domains = open_domains(data.model_copy(update=lists))
    assert domains.source.image_ids == ("day/train/a", "day/train/b")
    assert domains.pool.image_ids == ("dusk/train/a", "dusk/train/b")
    assert domains.validation.image_ids == ("dusk/val/a", "dusk/val/b")
    (tmp_path / "data/dusk/train/labels/c.png").unlink()
    assert check().exit_code == 2
    assert check("data.target_list=lines.txt").exit_code == 0


def test_a_list_of_two_columns_is_said(tmp_path: Path, check: Callable[..., Result]) -> None:
    write_data_set(tmp_path / "data")
    (tmp_path / "lines.txt").write_text("a.png\nb.png labels/b.png\n")
    done = check("data.target_list=lines.txt")
    assert done.exit_code == 2
    assert done.stderr == f"ripu: {tmp_path}/lines.txt: line 2: 'b.png labels/b.png': expected one name a line\n"


def test_the_classes_of_the_fixture_are_those_of_its_file(tmp_path: Path) -> None:
    assert open_domains(write_data_set(tmp_path)).classes == CLASSES
