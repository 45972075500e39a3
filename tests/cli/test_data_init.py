"""`ripu data init` and `ripu data convert`: from any arrangement to a data set that is read, and never over a file."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from ripu_cli.main import app
from typer.testing import CliRunner, Result

from ripu_ray.config import load_config
from ripu_ray.data.loading import Domains, open_domains
from ripu_ray.data.pictures import picture_size
from tests.data.photographs import photograph, save_label, write_photographs

SPLITS = (("", "train"), ("", "val"), ("", "test"))
SEQUENCES = (("a", "seq1"), ("a", "seq2"), ("b", "seq3"))
DOMAINS = (("real", "train"), ("real", "val"), ("sim", "train"), ("sim", "val"))


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def invoke(*words: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["data", *map(str, words)])


def opened(file: Path) -> Domains:
    return open_domains(load_config(file).data)


# Images, labels, kind, places -> patterns of images and labels, images of source, pool and validation.
ARRANGEMENTS = {
    "images, labels": (("images/{number}.jpg", "labels/{number}.png"), "images/*", "labels/*", (2, 2, 1)),
    "Pascal VOC": (
        ("JPEGImages/{number}.jpg", "SegmentationClass/{number}.png", "palette"),
        *("JPEGImages/*", "SegmentationClass/*", (2, 2, 1)),
    ),
    "splits above": (
        ("{split}/images/{number}.png", "{split}/masks/{number}_mask.png", "ids", SPLITS),
        *("{split}/images/*", "{split}/masks/*_mask", (2, 3, 5)),
    ),
    "splits below": (
        ("images/{split}/{number}.jpg", "annotations/{split}/{number}.png", "other ids", SPLITS[:2]),
        *("images/{split}/*", "annotations/{split}/*", (2, 3, 5)),
    ),
    "CamVid": (
        ("{split}/{number}.png", "{split}annot/{number}.png", "ids", SPLITS),
        *("{split}/*", "{split}annot/*", (2, 3, 5)),
    ),
    "CamVid of Kaggle": (
        ("{split}/{number}.png", "{split}_labels/{number}_L.png", "colours", SPLITS),
        *("{split}/*", "{split}_labels/*_L", (2, 3, 5)),
    ),
    "Cityscapes": (
        (
            "leftImg8bit/{split}/a/{number}_leftImg8bit.png",
            "gtFine/{split}/a/{number}_gtFine_color.png",
            "colours",
            SPLITS,
        ),
        *("leftImg8bit/{split}/**/*_leftImg8bit", "gtFine/{split}/**/*_gtFine_color", (2, 3, 5)),
    ),
    "one folder, JPEG and PNG": (("{number}.jpg", "{number}.png"), "*.jpg", "*.png", (2, 2, 1)),
    "one folder, an ending": (("{number}.png", "{number}_mask.png", "binary"), "*", "*_mask", (2, 2, 1)),
    "one folder, a beginning": (("img_{number}.png", "mask_{number}.png"), "img_*", "mask_*", (2, 2, 1)),
    "labels below the images": (("{number}.jpg", "masks/{number}.png"), "*", "masks/*", (2, 2, 1)),
    "labels in a folder of labels": (
        ("images/{number}.jpg", "annotations/trimaps/{number}.png"),
        *("images/*", "annotations/trimaps/*", (2, 2, 1)),
    ),
    "BDD100K": (
        ("images/10k/{split}/{number}.jpg", "labels/sem_seg/masks/{split}/{number}.png", "ids", SPLITS[:2]),
        *("images/10k/{split}/*", "labels/sem_seg/masks/{split}/*", (2, 3, 5)),
    ),
    "Mapillary Vistas": (
        ("{split}/images/{number}.jpg", "{split}/v1.2/labels/{number}.png", "palette", SPLITS[:2]),
        *("{split}/images/*", "{split}/v1.2/labels/*", (2, 3, 5)),
    ),
    "domains below": (
        ("rgb/{domain}/{split}/a/{number}.png", "gt/{domain}/{split}/a/{number}.png", "ids", DOMAINS),
        *("rgb/{domain}/{split}/**/*", "gt/{domain}/{split}/**/*", (5, 5, 5)),
    ),
    "domains below splits": (
        ("images/{split}/{domain}/{number}.jpg", "labels/{split}/{domain}/{number}.png", "ids", DOMAINS),
        *("images/{split}/{domain}/*", "labels/{split}/{domain}/*", (5, 5, 5)),
    ),
    "names that say nothing": (("a b/ä {number}.png", "c/ä {number}.png"), "a b/*", "c/*", (2, 2, 1)),
    "Supervisely": (
        ("ds0/img/{number}.jpg", "ds0/masks_machine/{number}.jpg.png", "ids"),
        *("ds0/img/*", "ds0/masks_machine/*.jpg.png", (2, 2, 1)),
    ),
    "sub-folders": (("images/x/{number}.jpg", "labels/x/{number}.png"), "images/**/*", "labels/**/*", (2, 2, 1)),
    "palettes that change": (
        ("images/{number}.jpg", "labels/{number}.png", "changing palette"),
        *("images/*", "labels/*", (2, 2, 1)),
    ),
    "domains": (
        ("{domain}/{split}/images/{number}.jpg", "{domain}/{split}/labels/{number}.png", "colours", DOMAINS),
        *("{domain}/{split}/images/*", "{domain}/{split}/labels/*", (5, 5, 5)),
    ),
    "sequences": (
        ("uav_{domain}/{split}/Images/{number}.png", "uav_{domain}/{split}/Labels/{number}.png", "colours", SEQUENCES),
        *("uav_a/{domain}/Images/*", "uav_a/{domain}/Labels/*", (5, 4, 1)),
    ),
    "sequences, one each": (
        ("{domain}/{split}/img/{number}.png", "{domain}/{split}/gt/{number}.png", "colours", SEQUENCES[1:]),
        *("a/seq2/img/*", "a/seq2/gt/*", (2, 2, 1)),
    ),
    "domains without splits": (
        ("{domain}/photos/{number}.jpg", "{domain}/gt/{number}.png", "ids", (("day", ""), ("night", ""))),
        *("{domain}/photos/*", "{domain}/gt/*", (5, 4, 1)),
    ),
}


@pytest.mark.parametrize("name", ARRANGEMENTS)
def test_arrangements_are_found_read_and_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    written, images, labels, counts = ARRANGEMENTS[name]
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "my photos"
    write_photographs(root, *written)  # type: ignore[arg-type]
    done = invoke("init", root)
    assert done.exit_code == 0, done.output
    tree = yaml.safe_load((root / "ripu.yaml").read_text())
    assert (tree["data"]["images"], tree["data"]["labels"]) == (images, labels)
    assert f"images    {images}" in done.stdout.splitlines()
    done = invoke("check", "--config", root / "ripu.yaml")
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    domains = opened(root / "ripu.yaml")
    assert tuple(len(part.image_ids) for part in (domains.source, domains.pool, domains.validation)) == counts
    assert domains.classes.num_classes == (2 if "ending" in name else 3)

    done = invoke("convert", "new", "--config", root / "ripu.yaml")
    assert done.exit_code == 0, done.output
    converted = opened(tmp_path / "new/ripu.yaml")
    assert converted.classes.names == domains.classes.names
    for part in ("source", "pool", "validation"):
        ours, theirs = getattr(converted, part), getattr(domains, part)
        for mine, its in zip(ours.image_ids, theirs.image_ids, strict=True):
            np.testing.assert_array_equal(ours.label(mine), theirs.label(its))
            np.testing.assert_array_equal(ours.image(mine), theirs.image(its))
            with Image.open(ours.files[mine][1]) as picture:
                assert picture.mode == "L"


def test_labels_of_another_size_than_their_images_are_converted_at_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photographs(tmp_path / "a")
    for path in (tmp_path / "a/labels").iterdir():
        with Image.open(path) as picture:
            half = picture.resize((20, 15), Image.Resampling.NEAREST)
        half.save(path)
    assert invoke("init", "a").exit_code == 0
    tree = yaml.safe_load(Path("a/ripu.yaml").read_text())
    assert tree["data"]["input_size"] == tree["data"]["label_size"] == [16, 16]
    done = invoke("convert", "new", "--config", "a/ripu.yaml")
    assert done.exit_code == 0, done.output
    assert {picture_size(path) for path in Path("new").rglob("labels/*.png")} == {(15, 20)}
    for config in ("a/ripu.yaml", "new/ripu.yaml"):
        assert invoke("check", "--config", config).exit_code == 0
    before, after = opened(Path("a/ripu.yaml")).pool, opened(Path("new/ripu.yaml")).pool
    for mine, its in zip(after.image_ids, before.image_ids, strict=True):
        np.testing.assert_array_equal(after.label(mine), before.label(its))


def test_what_is_there_is_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_photographs(tmp_path / "a")
    (tmp_path / "a/classes.json").write_text('[{"name": "road", "color": [128, 64, 128]},'
        ' {"name": "sky", "color": [70, 130, 180]}, {"name": "car", "color": [0, 0, 0]}]')  # fmt: skip
    (tmp_path / "mine.yaml").write_text("seed: 3")
    (tmp_path / "new").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = invoke("init", "a", "--config", "mine.yaml")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "ripu: mine.yaml: is there already, and is not overwritten: name another file with --config\n"
    done = invoke("init", "a", "--config", "other.yaml")
    assert done.exit_code == 0, done.output
    assert "classes   3: a/classes.json is there, and is kept" in done.stdout
    assert opened(tmp_path / "other.yaml").classes.names == ("road", "sky", "car")
    done = invoke("convert", "new", "--config", "other.yaml")
    assert done.exit_code == 2
    assert done.stderr == "ripu: new: is there already, and is not overwritten: name a new folder\n"
    assert not list((tmp_path / "new").iterdir())
    assert {path: path.read_bytes() for path in before} == before


def test_a_conversion_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_photographs(tmp_path / "a")
    assert invoke("init", "a").exit_code == 0
    broken = tmp_path / "a/labels/003.png"
    broken.write_bytes(broken.read_bytes()[:60])
    done = invoke("convert", "deep/er/new", "--config", "a/ripu.yaml")
    assert (done.exit_code, done.stderr.startswith(f"ripu: {broken}: the image is damaged")) == (2, True), done.output
    done = invoke("convert", "deep/er/new")
    assert (done.exit_code, done.stderr) == (2, "ripu: data.dataset synthetic has no files to convert\n")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_names_void_and_unlabelled_images_are_taken_over(tmp_path: Path) -> None:
    write_photographs(tmp_path)
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nroad,128,64,128\nsky,70,130,180\nVoid,0,0,0\n")
    (tmp_path / "labels/002.png").unlink()
    done = invoke("init", tmp_path)
    assert done.exit_code == 0, done.output
    assert "aside     1 file without image or PNG label, such as 002.jpg: ripu_target.txt lists" in done.stdout
    domains = opened(tmp_path / "ripu.yaml")
    assert domains.classes.names == ("road", "sky")
    assert domains.classes.encoding.void_colours == ((0, 0, 0),)
    stems = [name for part in (domains.source, domains.pool, domains.validation) for name in part.image_ids]
    assert sorted(stems) == ["000", "001", "003", "004"]


def test_links_to_folders_are_followed_and_other_pictures_left_aside(tmp_path: Path) -> None:
    write_photographs(tmp_path / "disk")
    Image.new("RGB", (40, 30)).save(tmp_path / "disk/images/new.webp")
    root = tmp_path / "photos"
    root.mkdir()
    for name in ("images", "labels"):
        (root / name).symlink_to(tmp_path / "disk" / name)
    (tmp_path / "disk/images/circle").symlink_to(root)
    done = invoke("init", root)
    assert done.exit_code == 0, done.output
    assert "aside     1 file without image or PNG label, such as new.webp" in done.stdout
    assert invoke("check", "--config", root / "ripu.yaml").exit_code == 0


def test_lists_of_voc_are_used(tmp_path: Path) -> None:
    write_photographs(tmp_path)
    (tmp_path / "images").rename(tmp_path / "JPEGImages")
    (tmp_path / "labels").rename(tmp_path / "SegmentationClass")
    (tmp_path / "SegmentationClass/004.png").unlink()
    folder = tmp_path / "ImageSets/Segmentation"
    folder.mkdir(parents=True)
    for name, numbers in (("train", (0, 1)), ("val", (2, 3)), ("trainval", (0, 1, 2, 3))):
        (folder / f"{name}.txt").write_text("".join(f"{number:03}\n" for number in numbers))
    done = invoke("init", tmp_path)
    assert done.exit_code == 0, done.output
    assert "val       the list ImageSets/Segmentation/val.txt" in done.stdout
    assert not (tmp_path / "ripu_target.txt").exists()
    domains = opened(tmp_path / "ripu.yaml")
    assert sorted(domains.source.image_ids + domains.pool.image_ids) == ["000", "001"]
    assert domains.validation.image_ids == ("002", "003")


def test_names_that_are_no_pattern_are_said(tmp_path: Path) -> None:
    write_photographs(tmp_path / "{x}")
    done = invoke("init", tmp_path)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert f"{tmp_path}: rename the folders or files with such signs: '{{x}}/images/*'" in done.stderr


def _smooth(root: Path) -> None:
    ids = photograph(30, 40, 0)[1]
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*ids.shape, 3), np.uint8)).save(root / "labels/000.png")


def _single(root: Path) -> None:
    for path in (root / "labels").iterdir():
        save_label(np.zeros((30, 40), np.uint8), path, "ids")


def _only_jpeg(root: Path) -> None:
    for path in (root / "labels").iterdir():
        Image.fromarray(photograph(30, 40, 0)[0]).save(path.with_suffix(".jpg"))
        path.unlink()


def _no_labels(root: Path) -> None:
    for path in (root / "labels").iterdir():
        path.unlink()


def _two(root: Path) -> None:
    for number in range(2, 5):
        (root / f"labels/00{number}.png").unlink()


def _nothing(root: Path) -> None:
    for path in (path for path in root.rglob("*") if path.is_file()):
        path.unlink()


REFUSED = {
    "labels/000.png: more than 255 colours: not a label": _smooth,
    "the labels have 1 id: expected 2 to 255 classes": _single,
    "no image of the target, images/*, has a PNG as its label, labels/*: JPEG changes ids and colours": _only_jpeg,
    "no labels found beside its 5 pictures: expected PNGs in a folder called labels": _no_labels,
    "2 labelled images: expected at least 3, to be shared out": _two,
    "holds no pictures (.jpg, .jpeg, .png)": _nothing,
}


@pytest.mark.parametrize("says", REFUSED)
def test_what_cannot_be_started_from_is_one_line(tmp_path: Path, says: str) -> None:
    write_photographs(tmp_path)
    REFUSED[says](tmp_path)
    done = invoke("init", tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert says in done.stderr and str(tmp_path) in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("*.*"))
