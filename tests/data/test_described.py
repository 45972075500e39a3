"""Data sets described by patterns: those of this package in their own layouts, one's own, lists, and each fault."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from ripu_cli.main import app
from typer.testing import CliRunner, Result

from ripu_ray.config import Config, dump_config, load_config
from ripu_ray.data.described import PatternsData
from ripu_ray.data.description import describe, set_names
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import DataError
from tests.data import described, published
from tests.data.described import ORIGINALS, write_original
from tests.data.published import HEIGHT, WIDTH
from tests.data.test_published import to_train_ids


def check(tmp_path: Path, **data: Any) -> Result:
    """`ripu data check` of a section; paths are relative to `tmp_path`."""
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"data": {"dataset": "patterns", **data}}))
    arguments = ["data", "check", "--config", str(file), "--overlays", str(tmp_path / "overlays.png")]
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)


@pytest.mark.parametrize("name", ORIGINALS)
def test_each_data_set_is_read_in_its_own_layout(tmp_path: Path, name: str) -> None:
    original = ORIGINALS[name]
    written = write_original(tmp_path / name, name)
    source: dict[str, Any] = {"source": name, "source_root": name}
    if name in ("acdc", "bdd100k", "mapillary", "idd"):
        source = {"source": "gtav", "source_root": "gtav"}
        published.write_gtav(tmp_path / "gtav")
    done = check(tmp_path, **source, target=name, target_root=name)
    assert (done.exit_code, done.stderr, "faults    0" in done.stdout) == (0, "", True), done.output

    domains = open_domains(load_config(tmp_path / "config.yaml").data)
    classes = describe(name)[1].table("").names
    assert domains.classes.names == classes
    assert domains.pool.image_ids[0] == original.stem
    for images, files in ((domains.pool, original.train), (domains.validation, original.validation)):
        assert len(images.image_ids) == len(files)
        for image_id, file in zip(images.image_ids, files, strict=True):
            np.testing.assert_array_equal(images.label(image_id), to_train_ids(written[file], original.ids))
            assert images.image(image_id).shape == (HEIGHT, WIDTH, 3)
            assert images.label_size(image_id) == (HEIGHT, WIDTH)


def test_every_data_set_of_the_package_is_tested() -> None:
    assert {*ORIGINALS, "gtav", "synthia", "cityscapes"} == set(set_names())
    folder = Path(__file__).parents[2] / "configs/datasets"
    assert {path.stem for path in folder.glob("*.yaml")} == set(set_names())


def test_choices_make_a_source_and_a_target_of_one_data_set(tmp_path: Path) -> None:
    write_original(tmp_path, "loveda")
    both = {"source": "loveda", "source_root": tmp_path, "target": "loveda", "target_root": tmp_path}
    data = PatternsData.model_validate(
        {**both, "source_choice": {"domain": "Rural"}, "target_choice": {"domain": ["Urban"]}}
    )
    domains = open_domains(data)
    assert domains.source.image_ids == ("Train/Rural/0", "Train/Rural/1")
    assert domains.pool.image_ids == ("Train/Urban/1366", "Train/Urban/1367")
    assert domains.validation.image_ids == ("Val/Urban/3514",)
    assert len(open_domains(PatternsData.model_validate(both)).pool.image_ids) == 4


def test_source_and_target_share_classes_by_name(tmp_path: Path) -> None:
    ids = published.write_synthia(tmp_path / "synthia")
    written = write_original(tmp_path / "idd", "idd")
    data = {"source": "synthia", "source_root": tmp_path / "synthia", "target": "idd", "target_root": tmp_path / "idd"}
    domains = open_domains(PatternsData.model_validate(data))
    assert domains.classes == published.CLASSES_16
    kept = [name for name in published.CLASSES_19.names if name in published.CLASSES_16.names]
    table = {published.CLASSES_19.names.index(name): class_id for class_id, name in enumerate(kept)}
    label = domains.pool.label("train/0/005506")
    np.testing.assert_array_equal(label, to_train_ids(next(iter(written.values())), table))
    assert set(np.unique(domains.source.label("synthia/0000000"))) == {*range(16), 255}
    assert len(ids) == len(domains.source.image_ids)


OWN = {
    "images": "{split}/**/*.jpg",
    "labels": "truth/{split}/**/*_ids.png",
    "encoding": "ids",
    "classes": ["road", {"name": "sky"}],
    "id_map": {3: "road", 9: 1, "*": 255},
}


def write_own(root: Path, names: tuple[str, ...] = ("train/a/1", "train/a/b/1", "train/2", "val/1")) -> None:
    """Pictures and labels of the description `OWN`."""
    for name in names:
        label = np.full((HEIGHT, WIDTH), 3, np.uint8)
        label[:, :4], label[0] = 9, 77
        described.write_grey(root / "truth" / f"{name}_ids.png", label)
        (root / f"{name}.jpg").parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / f"{name}.jpg")


@pytest.mark.parametrize("written", ["in a file", "in the configuration"])
def test_a_data_set_of_ones_own(tmp_path: Path, written: str) -> None:
    write_own(tmp_path / "own")
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(OWN))
    target = "own.yaml" if written == "in a file" else OWN
    assert check(tmp_path, source=target, source_root="own", target=target, target_root="own").exit_code == 0
    config = load_config(tmp_path / "config.yaml")
    assert Config.model_validate(yaml.safe_load(dump_config(config))) == config
    assert hash(config.data) == hash(load_config(tmp_path / "config.yaml").data)
    domains = open_domains(config.data)
    assert domains.pool.image_ids == ("train/2", "train/a/1", "train/a/b/1")
    label = domains.pool.label("train/a/1")
    assert (label[0, 0], label[1, 0], label[1, 4]) == (255, 1, 0)


def _rewrite(**changes: Any) -> Callable[[Path], None]:
    """Change the description of one's own; None takes a key away."""

    def spoil(root: Path) -> None:
        kept = {key: value for key, value in (OWN | changes).items() if value is not None}
        (root.parent / "own.yaml").write_text(yaml.safe_dump(kept))

    return spoil


def _save(mode: str, file: str = "truth/train/2_ids.png", value: Any = 0) -> Callable[[Path], None]:
    return lambda root: Image.new(mode, (WIDTH, HEIGHT), value).save(root / file)


def _text(text: str) -> Callable[[Path], object]:
    return lambda root: (root.parent / "own.yaml").write_text(text)


def _copy(origin: str, copy: str) -> Callable[[Path], object]:
    return lambda root: (root / copy).write_bytes((root / origin).read_bytes())


def _dangling(path: Path) -> Path:
    path.symlink_to("nowhere")
    return path


COLOURS = {"encoding": "colours", "id_map": None}
RED, BLUE = {"name": "red", "color": [255, 0, 0]}, {"name": "blue", "color": [0, 0, 255]}
FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "folder missing": (
        lambda root: (root / "val").rename(root / "v"),
        "own/val: is missing; expected the images of own",
    ),
    "nothing matches": (_rewrite(images="{split}/**/*.jpeg"), "own/train: holds no **/*.jpeg; expected the images of"),
    "no label matches": (
        _rewrite(labels="{split}/**/*.png"),
        "own/train: holds no **/*.png; expected the labels of own",
    ),
    "label missing": (
        lambda root: (root / "truth/train/a/1_ids.png").unlink(),
        "own/train/a/1.jpg: has no label; expected {root}/truth/train/a/1_ids.png",
    ),
    "image missing": (lambda root: (root / "train/a/1.jpg").unlink(), "own/truth/train/a/1_ids.png: has no image"),
    "same id": (_copy("train/2.jpg", "train/2.JPG"), "own/train/2.jpg: train/2.JPG has the same id, train/2"),
    "same id by two patterns": (
        lambda root: (_rewrite(images=[OWN["images"], "{split}/**/*.png"])(root), _save("RGB", "train/2.png")(root)),
        "own/train/2.png: train/2.jpg has the same id, train/2",
    ),
    "unknown id": (
        _rewrite(id_map={3: "road"}),
        "label id 9 is none of this data set's: not in the id_map of own.yaml",
    ),
    "id of no class": (_rewrite(id_map=None), "label id 3 is outside the classes 0..1 and 255"),
    "palette, not ids": (
        _save("P"),
        "truth/train/2_ids.png: expected a PNG of one 8-bit channel: its encoding is ids in",
    ),
    "colours, not ids": (
        _save("RGB"),
        "2_ids.png: expected a PNG of one 8-bit channel: its encoding is ids in own.yaml",
    ),
    "16 bits, not ids": (
        _save("I;16"),
        "2_ids.png: expected a PNG of one 8-bit channel: its encoding is ids in own.yaml",
    ),
    "ids, not palette": (_rewrite(encoding="palette"), "expected a PNG with a palette: its encoding is palette in own"),
    "ids, not 16 bits": (_rewrite(encoding="uint16_channel0"), "expected a PNG of one or three 16-bit channels: its"),
    "ids, not colours": (_rewrite(**COLOURS, classes=[RED, BLUE]), "expected a PNG of colours, 8 bits a channel"),
    "no image": (lambda root: (root / "train/2.jpg").write_bytes(b""), "own/train/2.jpg: not a JPEG or PNG image"),
    "link to nowhere": (
        lambda root: _dangling(root / "link").replace(root / "train/2.jpg"),
        "own/train/2.jpg: a link to nowhere, which is not there",
    ),
    "unknown placeholder": (
        _rewrite(images="{city}/**/*.jpg", labels="truth/{city}/**/*_ids.png"),
        "own.yaml: images: unknown placeholder {city}: expected {split}, or a key in choices",
    ),
    "placeholder of the label": (
        _rewrite(labels="truth/**/*_ids.png"),
        "labels: 'truth/**/*_ids.png': expected the pla",
    ),
    "stars differ": (
        _rewrite(labels="truth/{split}/*_ids.png"),
        "own.yaml: labels: 'truth/{split}/*_ids.png': expected",
    ),
    "no star": (
        _rewrite(images="{split}/a.jpg", labels="{split}/a.png"),
        "own.yaml: images: '{split}/a.jpg': expected",
    ),
    "path above": (
        _rewrite(images="../{split}/**/*.jpg"),
        "own.yaml: images[0]: '../{split}/**/*.jpg': expected a path",
    ),
    "absolute path": (
        _rewrite(labels="/x/{split}/**/*.png"),
        "own.yaml: labels: '/x/{split}/**/*.png': expected a path",
    ),
    "other signs": (_rewrite(images="{split}/**/[ab].jpg"), "own.yaml: images[0]: '{split}/**/[ab].jpg': has '['"),
    "stars beside **": (_rewrite(images="{split}/**x/*.jpg"), "expected ** as the name of a folder"),
    "JPEG labels": (_rewrite(labels="truth/{split}/**/*.jpg"), "expected a pattern of .png files"),
    "star in a split": (_rewrite(splits={"train": "*"}), "own.yaml: split: '*': expected a name, without stars"),
    "unused choice": (_rewrite(choices={"sky": ["a"]}), "own.yaml: choices.sky: images has no {sky}"),
    "unknown key": (_rewrite(pictures="a"), "own.yaml: pictures: unknown key"),
    "key missing": (_rewrite(labels=None), "own.yaml: labels: expected a value, and there is none"),
    "unknown encoding": (
        _rewrite(encoding="rgb"),
        "own.yaml: encoding: expected 'ids', 'colours', 'palette' or",
    ),
    "class twice": (_rewrite(classes=["sky", "sky"]), "own.yaml: classes[1].name is 'sky': expected a printable name"),
    "no class": (_rewrite(classes=[]), "own.yaml: classes: expected 2 to 255 of them, found 0"),
    "class of id_map": (_rewrite(id_map={3: "water"}), "own.yaml: id_map['3'] is 'water': expected the name or id of"),
    "id twice": (_rewrite(id_map={3: "road", "3": "sky"}), "own.yaml: id_map: '3': is there twice"),
    "id of id_map": (_rewrite(id_map={300: "sky"}), "own.yaml: id_map: '300': expected an id of the label files"),
    "colours without colours": (
        _rewrite(**COLOURS),
        "own.yaml: classes: labels in colours need the 'color' of each class",
    ),
    "id_map of colours": (
        _rewrite(encoding="colours"),
        "own.yaml: id_map: labels in colours hold no ids: leave it out",
    ),
    "one colour twice": (
        _rewrite(**COLOURS, classes=[RED, {**BLUE, "color": [255, 0, 0]}]),
        "own.yaml: classes: red and blue have one colour, 255,0,0",
    ),
    "not YAML": (_text("images: {split}/*.jpg"), "own.yaml: not valid YAML at line 1"),
    "no keys": (_text("- a"), "own.yaml: expected keys and values, found list"),
    "empty": (_text(""), "own.yaml: encoding: expected a value, and there is none"),
    "no file": (
        lambda root: (root.parent / "own.yaml").unlink(),
        "own.yaml: cannot be read (No such file or directory)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_and_named(tmp_path: Path, fault: str) -> None:
    root = tmp_path / "own"
    write_own(root)
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(OWN))
    spoil, says = FAULTS[fault]
    spoil(root)
    done = check(tmp_path, source="own.yaml", source_root="own", target="own.yaml", target_root="own")
    assert done.exit_code == 2, done.output
    assert says.replace("{root}", str(root)) in done.stderr, done.stderr
    assert all(line.startswith("ripu: ") for line in done.stderr.splitlines())


CITIES = {"source": "gtav", "source_root": "gtav", "target": "cityscapes", "target_root": "cityscapes"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"target": "cityscape"}, "data.target: unknown data set 'cityscape': expected acdc, bdd100k, cityscapes, "),
        ({"source": None}, "data.source: expected the data set to train on first, such as gtav"),
        ({"source_root": None}, "data.source_root: expected the folder of gtav"),
        ({"target": None}, "data.target: unknown data set 'null': expected acdc"),
        ({"target": 7}, "data.target: unknown data set '7': expected acdc"),
        ({"target": {"images": "a"}}, "data.target.encoding: expected a value, and there is none"),
        ({"target": "gtav", "target_root": "gtav"}, "data.target: gtav has no {split}: expected data.target_list and"),
        (
            {"target_choice": {"city": "ulm"}},
            "data.target_choice.city: cityscapes has no such placeholder: expected none",
        ),
        (
            {"source": "loveda", "source_choice": {"domain": "rural"}},
            "data.source_choice.domain: loveda has no rural: expected Rural, Urban",
        ),
        (
            {"source": {**OWN, "classes": ["a", "b"], "id_map": None}},
            "source and target share no class: a, b in the sou",
        ),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    published.write_gtav(tmp_path / "gtav")
    published.write_cityscapes(tmp_path / "cityscapes")
    done = check(tmp_path, **(CITIES | changes))
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.output
    assert says in done.stderr


FIRST, SECOND = "train/aachen/aachen_000000_000019", "train/ulm/ulm_000000_000019"
NAMES = {
    "paths": ([f"leftImg8bit/{SECOND}_leftImg8bit.png", f"leftImg8bit/{FIRST}_leftImg8bit.png"], True),
    "folders in front": ([f"/data/x/{SECOND}_leftImg8bit.png", f"{FIRST}_leftImg8bit.png"], True),
    "no suffix": (["ulm/ulm_000000_000019_leftImg8bit", "aachen/aachen_000000_000019_leftImg8bit"], True),
    "image ids": ([FIRST, SECOND], True),
    "file names": (["ulm_000000_000019_leftImg8bit.png", "aachen_000000_000019_leftImg8bit.png"], False),
    "both": (["ulm_000000_000019_leftImg8bit.png", FIRST], False),
}


def write_list(file: Path, names: list[str]) -> Path:
    """A list in the format that the suffix says."""
    if file.suffix == ".txt":
        file.write_bytes("\r\n".join(names).encode("utf-8-sig"))
    else:
        content = pa.BufferOutputStream()
        pq.write_table(pa.table({"size": range(len(names)), "image": names}), content)
        file.write_bytes(content.getvalue().to_pybytes())
    return file


@pytest.mark.parametrize("suffix", [".txt", ".parquet"])
@pytest.mark.parametrize("names", NAMES)
def test_a_list_names_images_in_many_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: str, suffix: str
) -> None:
    data = published.write_pair(tmp_path, "gtav")
    texts, tells_paths = NAMES[names]
    chosen = data.model_copy(update={"train_list": write_list(tmp_path / f"list{suffix}", texts)})
    if tells_paths:
        # What is not listed need not be looked at: here it cannot be.
        monkeypatch.setattr("ripu_ray.data.finding._list_images", None)
        chosen = chosen.model_copy(
            update={"validation_list": write_list(tmp_path / "v.txt", ["lindau/lindau_000000_000019"])}
        )
    domains = open_domains(chosen, with_source=False)
    assert domains.pool.image_ids == (FIRST, SECOND)
    assert domains.pool.image(SECOND).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["00001.png", "00003.png"], "2: there is no image 00003.png"),
        (["00001.png", "images/00001"], "2: 00001 is there twice"),
        (["00001.png 00001.png"], "1: '00001.png 00001.png': expected one name a line"),
        ([], "names no image"),
    ],
)
def test_a_wrong_list_is_named(tmp_path: Path, texts: list[str], says: str) -> None:
    published.write_gtav(tmp_path)
    for suffix, place in ((".txt", "line "), (".parquet", "row ")):
        file = write_list(tmp_path / f"list{suffix}", texts)
        with pytest.raises(DataError) as caught:
            published.open_gtav(tmp_path, file, None, None)
        assert str(caught.value) == f"{file}: {place if says[0].isdigit() else ''}{says}"


def test_a_name_that_several_images_have_is_refused(tmp_path: Path) -> None:
    write_original(tmp_path, "uavid")
    file = write_list(tmp_path / "list.txt", ["000000.png"])
    with pytest.raises(DataError, match=r"list\.txt: line 1: 000000\.png may be any of 2 images: put the folder in"):
        published.open_set("uavid", tmp_path, "train", file, None, None)
    write_list(file, ["seq2/Images/000000.png"])
    assert published.open_set("uavid", tmp_path, "train", file, None, None).image_ids == ("train/seq2/000000",)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"a": ["x"], "b": ["y"]}, "has the columns a, b: expected one of them to be 'image'"),
        ({"image": [None]}, "row 1: image is None: expected the name of an image"),
        ({"number": [1, 2]}, "row 1: number is 1: expected the name of an image"),
        (None, "not a Parquet file ("),
    ],
)
def test_a_wrong_parquet_file_is_named(tmp_path: Path, table: dict[str, Any] | None, says: str) -> None:
    published.write_gtav(tmp_path)
    file = tmp_path / "list.parquet"
    if table:
        pq.write_table(pa.table(table), file)
    else:
        file.write_bytes(b"00001.png")
    with pytest.raises(DataError) as caught:
        published.open_gtav(tmp_path, file, None, None)
    assert str(caught.value).startswith(f"{file}: {says}")


def test_images_and_lists_may_be_in_a_store(tmp_path: Path, bucket: Path) -> None:
    written = write_original(tmp_path, "uavid")
    for path in tmp_path.rglob("*.png"):
        (bucket / "u" / path.relative_to(tmp_path)).write_bytes(path.read_bytes())
    both: dict[str, Any] = {
        "source": "uavid",
        "source_root": bucket / "u",
        "target": "uavid",
        "target_root": bucket / "u",
    }
    listed = {"target_list": write_list(bucket / "pool.parquet", ["seq2/Images/000000.png", "seq7/Images/000000.png"])}
    data = PatternsData.model_validate(both)
    domains = open_domains(data)
    assert domains.pool.image_ids == ("train/seq1/000000", "train/seq2/000000")
    label = domains.pool.label("train/seq2/000000")
    np.testing.assert_array_equal(label, written["uavid_train/seq2/Images/000000.png"])
    # Of a list, no file is looked for before it is read: a pool may be too large for that.
    pool = open_domains(PatternsData.model_validate(both | listed)).pool
    assert pool.image_ids == ("train/seq2/000000", "train/seq7/000000")
    with pytest.raises(DataError, match=rf"{bucket}/u/uavid_train/seq7/Images/000000\.png: the file is missing"):
        pool.image("train/seq7/000000")
