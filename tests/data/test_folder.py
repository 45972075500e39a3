"""Images and labels of a folder: what is read, and how it is resized."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ripu_ray.data.folder import FolderData
from ripu_ray.data.images import ImageSet
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import DataError
from tests.data.folders import HEIGHT, NUM_CLASSES, STEMS, WIDTH, scene, write_data_set


def open_train(
    root: Path, input_size: tuple[int, int] | None = None, label_size: tuple[int, int] | None = None
) -> ImageSet:
    sizes = {"input_size": input_size, "label_size": label_size}
    return open_domains(FolderData(root=root, target="dusk").model_copy(update=sizes), with_source=False).pool


def test_pixels_and_ids_are_those_of_the_files(tmp_path: Path) -> None:
    domains = open_domains(write_data_set(tmp_path))
    assert domains.classes.num_classes == NUM_CLASSES
    for images, place in (
        (domains.source, "day/train"),
        (domains.pool, "dusk/train"),
        (domains.validation, "dusk/val"),
    ):
        assert images.image_ids == tuple(f"{place}/{stem}" for stem in STEMS)
        for index, image_id in enumerate(images.image_ids):
            image, label = scene(index)
            np.testing.assert_array_equal(images.image(image_id), image)
            np.testing.assert_array_equal(images.label(image_id), label)
            assert images.image(image_id).dtype == images.label(image_id).dtype == np.uint8
            assert images.label_size(image_id) == label.shape


def test_images_are_resized_bilinearly_and_labels_to_nearest(tmp_path: Path) -> None:
    write_data_set(tmp_path)
    images = open_train(tmp_path, (HEIGHT // 2, WIDTH // 2), (HEIGHT * 2, WIDTH * 2))
    image, label = scene(0)
    expected = Image.fromarray(image).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(images.image("dusk/train/a"), np.asarray(expected))
    np.testing.assert_array_equal(images.label("dusk/train/a"), label.repeat(2, axis=0).repeat(2, axis=1))
    assert images.label_size("dusk/train/a") == (HEIGHT * 2, WIDTH * 2)


def test_a_palettes_indices_are_the_ids(tmp_path: Path) -> None:
    write_data_set(tmp_path)
    label = scene(0)[1] % NUM_CLASSES
    picture = Image.fromarray(label, mode=None).convert("P")
    picture.putdata(label.ravel().tolist())
    picture.putpalette([200, 100, 50, 3, 2, 1, 7, 7, 7])
    for bits in (2, 8):
        picture.save(tmp_path / "dusk/train/labels/a.png", bits=bits)
        np.testing.assert_array_equal(open_train(tmp_path).label("dusk/train/a"), label)


@pytest.mark.parametrize("suffix", [".JPG", ".jpeg", ".PNG"])
def test_suffixes_are_read_in_any_case(tmp_path: Path, suffix: str) -> None:
    write_data_set(tmp_path)
    folder = tmp_path / "dusk/train/images"
    (folder / "a.png").unlink()
    Image.fromarray(scene(0)[0]).save(folder / f"a{suffix}")
    assert open_train(tmp_path).image("dusk/train/a").shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA"])
def test_grey_palette_and_transparent_images_become_rgb(tmp_path: Path, mode: str) -> None:
    write_data_set(tmp_path)
    colour = (102, 102, 102)
    picture = Image.new("RGB", (WIDTH, HEIGHT), colour).convert(mode)
    if mode == "P":
        picture.info["transparency"] = bytes([0, 128, 255])
    picture.save(tmp_path / "dusk/train/images/a.png")
    image = open_train(tmp_path).image("dusk/train/a")
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(image.astype(int) - colour).max() <= 8


def test_hidden_and_other_files_are_passed_over(tmp_path: Path) -> None:
    write_data_set(tmp_path)
    for name in ("._a.png", ".DS_Store", "notes.txt"):
        (tmp_path / "dusk/train/images" / name).write_bytes(b"x")
    assert len(open_train(tmp_path).image_ids) == len(STEMS)


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/etc", "a\\b"])
def test_names_do_not_lead_out_of_the_root(tmp_path: Path, name: str) -> None:
    write_data_set(tmp_path / "root")
    for domain, split in ((name, "train"), ("dusk", name)):
        with pytest.raises(DataError, match="not a path"):
            open_domains(FolderData(root=tmp_path / "root", target=domain, train_split=split), with_source=False)


def test_what_is_returned_may_be_written_to(tmp_path: Path) -> None:
    write_data_set(tmp_path)
    images = open_train(tmp_path)
    for array in (images.image("dusk/train/a"), images.label("dusk/train/a")):
        array[:] = 0
    np.testing.assert_array_equal(images.label("dusk/train/a"), scene(0)[1])
