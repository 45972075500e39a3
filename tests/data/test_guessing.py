"""What `ripu data init` guesses: classes without a `classes.json`, the folder of the images, lists of a split."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ripu_ray.api.datasets import check_data, init_data
from ripu_ray.data.arrangement import arrange
from ripu_ray.data.guessing import guess_classes
from ripu_ray.errors import DataError
from tests.data.photographs import photograph, save_label, write_photographs


def guess(root: Path) -> tuple[dict[str, object], list[str]]:
    def watch(name: str, paths: Iterable[Path], total: int) -> Iterable[Path]:
        return paths

    return guess_classes(root, sorted((root / "labels").iterdir()), watch)


ROAD, SKY = {"name": "road", "color": [128, 64, 128]}, {"name": "sky", "color": [70, 130, 180]}
IN_COLOURS = {"classes": [ROAD, SKY], "void_colors": [[0, 0, 0]]}
BY_ID = {"classes": ["road", "sky", "car"]}
BY_OTHER_ID = {
    "classes": ["road", "sky", "car", "bus"],
    "id_map": {"7": 0, "11": 1, "23": 2, "26": 3, "255": 255},
}
# How labels are stored, the list, what is made of it.
NAMES = {
    "colours": ("colours", "road,128,64,128\nsky,70,130,180\nvoid,0,0,0\n", IN_COLOURS),
    "colours, ascending": ("colours", "0 0 0 void\n70 130 180 sky\n128 64 128 road\n", None),
    "ids before colours": ("colours", "0 128 64 128 road\n1 70 130 180 sky\n2 0 0 0 void\n", IN_COLOURS),
    "ids, names, colours": ("colours", "id,name,r,g,b\n0,road,128,64,128\n1,sky,70,130,180\n2,void,0,0,0", IN_COLOURS),
    "names": ("ids", "road\nsky\ncar\n", BY_ID),
    "Roboflow": ("ids", "Pixel Value, Class\n0, road\n1, sky\n2, car\n", BY_ID),
    "ids before names": ("ids", "0: road\n1: sky\n2: car\n", BY_ID),
    "ids with gaps": ("other ids", "7 road\n11 sky\n23 car\n26 bus\n255 void\n", BY_OTHER_ID),
    "a name that begins with a number": ("ids", "2 wheeler\nsky\ncar\n", {"classes": ["2 wheeler", "sky", "car"]}),
}


@pytest.mark.parametrize("name", NAMES)
def test_lists_of_names_are_read_with_and_without_ids(tmp_path: Path, name: str) -> None:
    kind, text, tree = NAMES[name]
    write_photographs(tmp_path, kind=kind)
    (tmp_path / "_classes.csv").write_text(text)
    assert guess(tmp_path)[0] == (tree or IN_COLOURS | {"classes": [SKY, ROAD]})


# How labels are stored, the list, the line about it.
UNUSED = {
    "too few names": ("ids", "road\nsky\n", ["names     _classes.csv has none for all ids, not used"]),
    "names without colours": ("colours", "road #804080\nsky #4682b4\n", ["has none for all colours, not used"]),
    "more names than ids": ("ids", "\n".join(f"a{n}" for n in range(300)), []),
    "no colour": ("colours", "road,300,0,0\nsky,0,256,0\n", ["has none for all colours, not used"]),
}


@pytest.mark.parametrize("name", UNUSED)
def test_lists_that_do_not_fit_are_not_used(tmp_path: Path, name: str) -> None:
    kind, text, says = UNUSED[name]
    write_photographs(tmp_path, kind=kind)
    tree, _ = guess(tmp_path)
    (tmp_path / "_classes.csv").write_text(text)
    os.mkfifo(tmp_path / "classes.txt")  # reading it would wait for a writer
    with_list, lines = guess(tmp_path)
    assert with_list == tree
    found = [line for line in lines if line.startswith("names")]
    assert len(found) == len(says) and all(part in line for part, line in zip(says, found, strict=True))


def test_ids_beside_palettes_that_differ_are_refused(tmp_path: Path) -> None:
    write_photographs(tmp_path)
    for number in range(5):
        ids = photograph(30, 40, number)[1]
        save_label(ids, tmp_path / f"labels/00{number}.png", "palette" if number else "ids")
    with Image.open(tmp_path / "labels/004.png") as picture:
        picture.putpalette([1, 2, 3, 4, 5, 6, 7, 8, 9])
        picture.save(tmp_path / "labels/004.png")
    with pytest.raises(DataError) as raised:
        guess(tmp_path)
    assert str(raised.value) == f"{tmp_path}: 1 label of ids, such as 000.png, and 4 of colours: expected one kind"


def test_transparent_labels_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    write_photographs(tmp_path)
    for path in (tmp_path / "labels").iterdir():
        with Image.open(path) as picture:
            picture.convert("RGBA").save(path)
    assert guess(tmp_path)[1][0] == "labels    5 of colours"
    Image.new("RGBA", (40, 30)).save(tmp_path / "labels/002.png")
    with pytest.raises(DataError, match=r"labels/002\.png: 1200 pixels of the label are transparent"):
        init_data(tmp_path)
    assert not list(tmp_path.glob("*.*"))


def test_ids_of_smoothed_outlines_are_said(tmp_path: Path) -> None:
    write_photographs(tmp_path, kind="binary", size=(300, 400), count=3)
    assert not any("rare" in line for line in guess(tmp_path)[1])
    with Image.open(tmp_path / "labels/000.png") as picture:
        label = np.array(picture)
    label[0, :2] = 100, 101
    Image.fromarray(label).save(tmp_path / "labels/000.png")
    assert guess(tmp_path)[1][-1] == (
        "rare      2 ids, such as 100 (1 pixel), 101 (1 pixel) (of smoothed outlines?), are classes, too"
    )


def test_pictures_of_depth_are_not_taken_for_the_images(tmp_path: Path) -> None:
    write_photographs(tmp_path, "rgb/{number}.png", "semantic/{number}.png")
    write_photographs(tmp_path, "depth/{number}.png", "semantic/{number}.png")
    found = arrange(tmp_path)
    assert (found.images, found.labels, found.aside) == ("rgb/*", "semantic/*", ("depth",))


def test_labels_beside_jpegs_to_look_at_are_the_pngs(tmp_path: Path) -> None:
    write_photographs(tmp_path)
    for path in sorted((tmp_path / "labels").iterdir())[1:]:
        with Image.open(path) as picture:
            picture.save(path.with_suffix(".jpg"))
    (tmp_path / "labels/004.png").unlink()
    file, lines = init_data(tmp_path)
    assert lines[1] == "labels    labels/*.png"
    assert "target    4 images with labels" in lines
    assert check_data(file).faults == ()


@pytest.mark.parametrize("content", ["", "caf\xe9\n", "images/000.jpg labels/000.png\n", "000\nabsent\n"])
def test_lists_that_cannot_be_used_are_left_alone(tmp_path: Path, content: str) -> None:
    write_photographs(tmp_path)
    (tmp_path / "train.txt").write_text(content, encoding="latin-1")
    (tmp_path / "val.txt").write_text("003\n004\n")
    file, lines = init_data(tmp_path)
    assert "val       none: 20% of the images are held out (data.validation_share)" in lines
    assert check_data(file).faults == ()
