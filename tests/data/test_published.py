"""GTAV, SYNTHIA and Cityscapes: every id of the original encodings, lists, sizes, and each fault in one line."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ripu_ray.data.checking import check_domains
from ripu_ray.data.cityscapes import CityscapesData
from ripu_ray.data.labels import ClassTable
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import DataError
from tests.data import published
from tests.data.published import (
    CLASSES_16,
    CLASSES_19,
    HEIGHT,
    WIDTH,
    open_cityscapes,
    open_gtav,
    open_synthia,
)

IDS_19 = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
IDS_16 = (7, 8, 11, 12, 13, 17, 19, 20, 21, 23, 24, 25, 26, 28, 32, 33)
SYNTHIA = {3: 0, 4: 1, 2: 2, 21: 3, 5: 4, 7: 5, 15: 6, 9: 7, 6: 8, 1: 9, 10: 10, 17: 11, 8: 12, 19: 13, 12: 14, 11: 15}


def to_train_ids(ids: NDArray[np.uint8], table: dict[int, int]) -> NDArray[np.uint8]:
    """Pixel by pixel, in Python."""
    return np.array([[table.get(int(value), 255) for value in row] for row in ids], np.uint8)


def test_gtavs_palette_indices_are_the_ids(tmp_path: Path) -> None:
    written = published.write_gtav(tmp_path)
    images = open_gtav(tmp_path, None, None, None)
    assert images.image_ids == ("gtav/00001", "gtav/00002", "gtav/00010")
    table = {class_id: train_id for train_id, class_id in enumerate(IDS_19)}
    for name, ids in written.items():
        label = images.label(f"gtav/{name}")
        np.testing.assert_array_equal(label, to_train_ids(ids, table))
        assert label.dtype == np.uint8
        np.testing.assert_array_equal(images.image(f"gtav/{name}")[..., 0], ids)
        assert images.label_size(f"gtav/{name}") == (HEIGHT, WIDTH)
        with Image.open(tmp_path / "labels" / f"{name}.png") as picture:
            assert not np.array_equal(np.asarray(picture.convert("L")), ids)


def test_synthias_ids_are_the_low_bytes_of_channel_0(tmp_path: Path) -> None:
    written = published.write_synthia(tmp_path)
    images = open_synthia(tmp_path, None, None, None)
    for name, ids in written.items():
        path = tmp_path / "GT/LABELS" / f"{name}.png"
        np.testing.assert_array_equal(images.label(f"synthia/{name}"), to_train_ids(ids, SYNTHIA))
        np.testing.assert_array_equal(images.image(f"synthia/{name}")[..., 0], ids)
        assert images.label_size(f"synthia/{name}") == (HEIGHT, WIDTH)
        # A reader that lets Pillow choose the byte finds nothing but void.
        with Image.open(path) as picture:
            assert np.asarray(picture)[..., 0].max() == 0


@pytest.mark.parametrize(("classes", "ids"), [(CLASSES_19, IDS_19), (CLASSES_16, IDS_16)])
def test_cityscapes_has_19_or_16_classes(tmp_path: Path, classes: ClassTable, ids: tuple[int, ...]) -> None:
    written = published.write_cityscapes(tmp_path)
    table = {class_id: train_id for train_id, class_id in enumerate(ids)}
    for split, names in published.CITY_NAMES.items():
        images = open_cityscapes(tmp_path, split, classes, None, None, None)
        assert images.image_ids == tuple(f"{split}/{name}" for name in names)
        for image_id in images.image_ids:
            np.testing.assert_array_equal(images.label(image_id), to_train_ids(written[image_id], table))
            np.testing.assert_array_equal(images.image(image_id)[..., 0], written[image_id])


def test_class_tables() -> None:
    assert (CLASSES_19.num_classes, CLASSES_16.num_classes) == (19, 16)
    assert [name for name in CLASSES_19.names if name not in CLASSES_16.names] == ["terrain", "truck", "train"]
    assert dict(zip(CLASSES_19.names, CLASSES_19.colours, strict=True))["car"] == (0, 0, 142)
    assert CLASSES_16.colours[CLASSES_16.names.index("bicycle")] == (119, 11, 32)
    assert len(set(CLASSES_19.colours)) == 19


@pytest.mark.parametrize(("source", "num_classes"), [("gtav", 19), ("synthia", 16)])
def test_a_pair_of_data_sets_opens_from_the_configuration(tmp_path: Path, source: str, num_classes: int) -> None:
    data = published.write_pair(tmp_path, source)
    domains = open_domains(data)
    check_domains(domains, data)
    assert domains.classes.num_classes == num_classes
    assert domains.source.image_ids[0].startswith(f"{source}/")
    assert (len(domains.pool.image_ids), domains.validation.image_ids) == (3, ("val/lindau/lindau_000000_000019",))
    for images in (domains.source, domains.pool, domains.validation):
        labels = np.stack([images.label(image_id) for image_id in images.image_ids])
        assert set(np.unique(labels)) == {*range(num_classes), 255}


def test_lists_choose_images(tmp_path: Path) -> None:
    data = published.write_pair(tmp_path, "gtav")
    (tmp_path / "source.txt").write_text("images/00010.png\n\n00001.png\n")
    (tmp_path / "train.txt").write_text("train/ulm/ulm_000000_000019_leftImg8bit.png\n")
    # What is not listed need not be complete.
    (tmp_path / "gtav/labels/00002.png").unlink()
    domains = open_domains(
        data.model_copy(update={"source_list": tmp_path / "source.txt", "train_list": tmp_path / "train.txt"})
    )
    assert domains.source.image_ids == ("gtav/00001", "gtav/00010")
    assert domains.pool.image_ids == ("train/ulm/ulm_000000_000019",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("00001.png\n00003.png\n", "line 2: there is no image 00003.png"),
        ("00001.png\n\na/00001.png\n", "line 3: 00001.png is there twice"),
        ("\n", "names no image"),
        (b"\xff\xfe", "not a list"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_list_is_named(tmp_path: Path, content: str | bytes | None, says: str) -> None:
    published.write_gtav(tmp_path)
    names = tmp_path / "list.txt"
    if content is not None:
        names.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=f"{re.escape(str(names))}: {re.escape(says)}"):
        open_gtav(tmp_path, names, None, None)


def test_an_image_of_another_size_than_its_label_is_resized_or_refused(tmp_path: Path) -> None:
    written = published.write_gtav(tmp_path)
    larger = written["00001"].repeat(2, axis=0).repeat(2, axis=1)
    published.write_image(tmp_path / "images/00001.png", larger)
    for input_size, label_size in ((None, None), ((HEIGHT, WIDTH), None), (None, (HEIGHT, WIDTH))):
        with pytest.raises(DataError, match=r"00001\.png: the label is 14x10, its image 28x20 .*input_size and"):
            open_gtav(tmp_path, None, input_size, label_size).label("gtav/00001")
    images = open_gtav(tmp_path, None, (8, 9), (HEIGHT * 3, WIDTH * 3))
    assert images.image("gtav/00001").shape == (8, 9, 3)
    native = open_gtav(tmp_path, None, (HEIGHT, WIDTH), (HEIGHT, WIDTH)).label("gtav/00001")
    np.testing.assert_array_equal(images.label("gtav/00001"), native.repeat(3, axis=0).repeat(3, axis=1))
    assert images.label_size("gtav/00001") == (HEIGHT * 3, WIDTH * 3)


def test_what_differs_within_a_split_names_the_setting(tmp_path: Path) -> None:
    data = published.write_pair(tmp_path, "gtav")
    label = published.draw_ids((7,), 0).repeat(2, axis=0)
    published.write_image(tmp_path / "gtav/images/00002.png", label)
    published.write_palette_png(tmp_path / "gtav/labels/00002.png", label)
    with pytest.raises(DataError, match=r"data\.source_input_size"):
        check_domains(open_domains(data), data)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _grey(value: int) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(np.full((HEIGHT, WIDTH), value, np.uint8)).save(path)


def _missing(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def _empty(folder: Path) -> None:
    for path in folder.rglob("*.png"):
        path.unlink()


CITY = "cityscapes/gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png"
FAULTS: dict[str, tuple[str, str, Callable[[Path], object], str]] = {
    "gtav truncated": ("gtav", "gtav/labels/00002.png", _truncate, "damaged"),
    "gtav grey": ("gtav", "gtav/labels/00002.png", _grey(7), "expected a PNG with a palette"),
    "gtav unknown id": (
        "gtav",
        "gtav/labels/00002.png",
        lambda path: published.write_palette_png(path, published.draw_ids((7, 35), 0)),
        "label id 35 is none of this data set's",
    ),
    "gtav label missing": ("gtav", "gtav/images/00002.png", lambda path: _label_of(path).unlink(), "has no label"),
    "gtav image missing": ("gtav", "gtav/labels/00002.png", lambda path: _image_of(path).unlink(), "has no image"),
    "gtav folder missing": ("gtav", "gtav/labels", _missing, "is missing; expected the labels of gtav"),
    "synthia truncated": ("synthia", "synthia/GT/LABELS/0000001.png", _truncate, "damaged"),
    "synthia 8-bit": ("synthia", "synthia/GT/LABELS/0000001.png", _grey(7), "three 16-bit channels"),
    "synthia unknown id": (
        "synthia",
        "synthia/GT/LABELS/0000001.png",
        lambda path: published.write_16_bit_png(path, published.draw_ids((3, 23), 0)),
        "label id 23 is none",
    ),
    "synthia id above 255": (
        "synthia",
        "synthia/GT/LABELS/0000001.png",
        lambda path: published.write_16_bit_png(path, published.draw_ids((3,), 0).astype(int) + 512),
        "label id 515 is none",
    ),
    "synthia folder missing": ("synthia", "synthia/RGB", _missing, "is missing; expected the images of synthia"),
    "cityscapes truncated": ("gtav", CITY, _truncate, "damaged"),
    "cityscapes unknown id": ("gtav", CITY, _grey(40), "label id 40"),
    "cityscapes colour": ("gtav", CITY, lambda path: Image.new("RGB", (WIDTH, HEIGHT)).save(path), "labelIds"),
    "cityscapes split missing": ("gtav", "cityscapes/leftImg8bit/val", _missing, "leftImg8bit/val/*/*_leftImg8bit.png"),
    "cityscapes empty": (
        "synthia",
        "cityscapes/gtFine/val",
        _empty,
        "holds no */*_gtFine_labelIds.png",
    ),
}


def _label_of(path: Path) -> Path:
    return path.parent.with_name("labels") / path.name


def _image_of(path: Path) -> Path:
    return path.parent.with_name("images") / path.name


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_and_named(tmp_path: Path, fault: str) -> None:
    source, file, spoil, says = FAULTS[fault]
    data: CityscapesData = published.write_pair(tmp_path, source)
    spoil(tmp_path / file)
    with pytest.raises(DataError) as caught:
        check_domains(open_domains(data), data)
    line = str(caught.value)
    assert line.startswith(f"{tmp_path / file}: ")
    assert says in line
    assert "\n" not in line
