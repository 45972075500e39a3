"""Masks against other implementations, and the parts of the exports."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from ripu_ray.annotation import brush, pngs
from ripu_ray.annotation.catalogue import QUERY, Images, Names
from ripu_ray.annotation.masks import _parse_counts, polygon_drawing, rle_drawing, whole
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.data.labels import ClassTable, Encoding
from ripu_ray.errors import DataError

SDK_CODE = [0, 0, 0, 36, 57, 27, 252, 127, 246, 192, 35, 255, 182, 1, 31, 248]
"""mask2rle of label-studio-sdk 2.1.2, of the identity matrix of 3x3."""


def test_brushes_are_those_of_label_studio() -> None:
    np.testing.assert_array_equal(brush.decode(SDK_CODE, (3, 3)), np.eye(3, dtype=bool))
    rng = np.random.default_rng(0)
    for share in (0.0, 0.02, 0.5, 1.0):
        mask_HW = rng.random((40, 700)) < share
        np.testing.assert_array_equal(brush.decode(brush.encode(mask_HW), (40, 700)), mask_HW)
    for stop in range(len(SDK_CODE)):
        with pytest.raises(ValueError, match="cut off"):
            brush.decode(SDK_CODE[:stop], (3, 3))


def test_run_lengths_and_polygons_are_those_of_pycocotools() -> None:
    rng = np.random.default_rng(1)
    for size in ((5, 7), (60, 90)):
        for share in (0.0, 0.1, 0.6, 1.0):
            mask_HW = rng.random(size) < share
            text = coco.encode(np.asfortranarray(mask_HW, np.uint8))["counts"].decode()
            assert sum(_parse_counts(text, size)) == size[0] * size[1]
            found = rle_drawing(0, {"size": [*size], "counts": text}, size)
            np.testing.assert_array_equal(whole(found, size), mask_HW)
    mask_HW = np.zeros((6, 8), np.bool_)
    mask_HW[1:4, 2:5] = True
    np.testing.assert_array_equal(whole(polygon_drawing(0, [[2, 1, 5, 1, 5, 4, 2, 4]], (6, 8)), (6, 8)), mask_HW)


def test_altered_run_lengths_never_reach_the_c_code() -> None:
    rng = np.random.default_rng(2)
    size = (20, 30)
    text = coco.encode(np.asfortranarray(rng.random(size) < 0.5, np.uint8))["counts"].decode()
    for _ in range(300):
        place, character = rng.integers(len(text)), chr(rng.integers(1, 127))
        altered = text[:place] + character + text[place + rng.integers(0, 5) :]
        try:
            assert whole(rle_drawing(0, {"size": [*size], "counts": altered}, size), size).shape == size
        except ValueError as error:
            assert "run-length code" in str(error)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dusk/train/a.png", "dusk/train/a"),
        ("a.JPG", "dusk/train/a"),
        ("/data/dusk/train/images/a.jpg", "dusk/train/a"),
        ("upload/1/0a1b2c3d-a.png", "dusk/train/a"),
        ("day/train/a.png", None),
        ("b.png", None),
        ("x/b.png", "x/b"),
        ("C:\\data\\x\\b.png", "x/b"),
        ("../../x/b.png", "x/b"),
        ("x/../x/b.png", "x/b"),
        ("z/images/c d.png", "z/images/c d"),
        ("z/c d.png", "z/images/c d"),
        ("upload/1/0a1b2c3d-c_d.png", "z/images/c d"),
        ("c_d.png", None),
        ("\u00e9.png", "w/\u00e9"),
        ("e\u0301.png", "w/\u00e9"),
        ("v/p.png", "v/p"),
        ("v/p.jpg.png", "v/p.jpg"),
        ("v/q.jpg", "v/q.jpg"),
        ("0a1b2c3d-q.jpg.png", "v/q.jpg"),
        ("..", None),
        ("", None),
        ("../..", None),
    ],
)
def test_images_are_found_by_their_names(name: str, expected: str | None) -> None:
    images = Images(("dusk/train/a", "x/b", "y/b", "z/images/c d", "w/\u00e9", "v/p", "v/p.jpg", "v/q.jpg"))
    if expected is None:
        with pytest.raises(ValueError, match=r"is not an image|may be"):
            images.find(name)
    else:
        assert images.find(name) == expected


@pytest.mark.parametrize("stored", ["ids", "colours", "palette", "uint16_channel0", None])
def test_label_maps_hold_class_ids_whatever_the_encoding_of_the_data_set(tmp_path: Path, stored: str | None) -> None:
    encoding = Encoding(stored=stored, palette_colours=stored == "colours", ids=((7, 0), (8, 1)))
    names = Names(ClassTable(("road", "sky"), ((1, 1, 1), (2, 2, 2)), encoding))
    for mode in ("L", "P"):
        picture = Image.fromarray(np.array([[0, 1], [2, 255]], np.uint8))
        if mode == "P":
            picture.putpalette([9] * 768)
        picture.save(tmp_path / f"{mode}.png")
        (sheet,) = pngs.read(tmp_path / f"{mode}.png", "a", names)
        assert [(drawing.label, np.argwhere(drawing.mask_hw).tolist()) for drawing in sheet.drawings] == [
            (0, [[0, 0]]),
            (1, [[0, 1]]),
            (IGNORE_LABEL, [[1, 0]]),
        ]


def test_a_palette_with_the_colours_of_other_classes_is_refused(tmp_path: Path) -> None:
    names = Names(ClassTable(("road", "sky"), ((1, 1, 1), (2, 2, 9)), Encoding()))
    path = tmp_path / "a.png"
    for colours, is_read in (([2, 2, 9, 1, 1, 1], False), ([1, 1, 1, 2, 2, 9], True), ([0, 0, 0, 1, 1, 1], True)):
        picture = Image.fromarray(np.array([[0, 1]], np.uint8))
        picture.putpalette(colours)
        picture.save(path)
        if is_read:
            assert [drawing.label for sheet in pngs.read(path, "a", names) for drawing in sheet.drawings] == [0, 1]
        else:
            with pytest.raises(DataError, match=r"a\.png: id 0 has .* the colour of sky, whose id is 1"):
                [*pngs.read(path, "a", names)]


def test_no_class_shares_its_name_with_a_label_of_the_tool() -> None:
    taken = ("void", "no class", "no class_", "query", "query of ripu")
    names = Names(ClassTable(taken, tuple((value, 0, 0) for value in range(5)), Encoding()))
    assert [names.label(name) for name in taken] == [0, 1, 2, 3, 4]
    assert [names.label(name) for name, _ in names.drawn[-2:]] == [IGNORE_LABEL, QUERY]
