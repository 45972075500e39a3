"""What every data set of files offers: shares, lists, limits, links, people as the oracle."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from ripu_cli.main import app
from typer.testing import CliRunner, Result

from ripu_ray.config import load_config
from ripu_ray.data.loading import Domains, open_domains

SIZE = (8, 10)
OWN = {"images": "{split}/**/*.jpg", "labels": "truth/{split}/**/*.png", "encoding": "ids", "classes": ["road", "sky"]}
DATA: dict[str, dict[str, Any]] = {
    "folder": {"root": "own", "images": "{split}/**/*.jpg", "labels": "truth/{split}/**/*.png"},
    "patterns": {"target": OWN, "target_root": "own"},
}
NAMES = ("train/a", "train/b", "train/trip [1]/c", "train/trip [1]/d", "val/é f")


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(NAMES):
        for path in (Path(f"own/{name}.jpg"), Path(f"own/truth/{name}.png")):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE[::-1], (40 * number, 0, 0)).save(f"own/{name}.jpg")
        Image.fromarray(np.indices(SIZE).sum(axis=0, dtype=np.uint8) % 2).save(f"own/truth/{name}.png")
    Path("own/classes.json").write_text('["road", "sky"]')
    return Path("own")


@pytest.fixture(params=DATA)
def data(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The section `data` of each kind, whose source is a part of the target."""
    return {"dataset": request.param, **DATA[request.param], "source_share": 0.25}


def check(data: dict[str, Any], *settings: str) -> Result:
    Path("config.yaml").write_text(yaml.safe_dump({"data": data}))
    words = ["data", "check", "--config=config.yaml", *(f"--set={text}" for text in settings)]
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, words)


def opened(*settings: str) -> Domains:
    return open_domains(load_config(Path("config.yaml"), settings).data)


def test_shares_and_lists_choose_the_same_images_of_each(data: dict[str, Any]) -> None:
    assert check(data).exit_code == 0
    shared = opened("data.validation_share=0.25")
    parts = [images.image_ids for images in (shared.source, shared.pool, shared.validation)]
    assert sorted(sum(parts, ())) == [*NAMES[:4]]
    assert parts == [("train/trip [1]/d",), ("train/b", "train/trip [1]/c"), ("train/a",)]
    Path("list.txt").write_bytes("\ufeff# mine\r\na.jpg\r\n\r\ntrain/trip [1]/c.jpg\r\nd\r\n".encode())
    listed = opened("data.target_list=list.txt")
    chosen = listed.source.image_ids + listed.pool.image_ids
    assert sorted(chosen) == ["train/a", "train/trip [1]/c", "train/trip [1]/d"]


def _large(root: Path) -> None:
    Image.new("L", (1200, 1000)).save(root / "train/a.jpg")


def _link(root: Path) -> None:
    (root / "train/trip [1]").rename("elsewhere")
    (root / "train/trip [1]").symlink_to(Path("elsewhere").absolute())
    (root / "train/again").symlink_to(root.absolute() / "train")  # a circle


def _turn(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SIZE).save(root / "train/a.jpg", exif=exif)


def _half(root: Path) -> None:
    Image.new("L", (20, 16)).save(root / "train/a.jpg")


def _rename(old: str, new: str) -> Callable[[Path], object]:
    return lambda root: (root / old).rename(root / new)


SIZES = ("data.input_size=[16, 24]", "data.label_size=[16, 24]")
# What is done, settings, what is said; "" if the data are read.
CASES: dict[str, tuple[Callable[[Path], object], tuple[str, ...], str]] = {
    "too large": (_large, ("data.max_megapixels=1",), "a.jpg: 1200x1000 pixels: expected at most 1 million"),
    "links to folders": (_link, (), ""),
    "turned": (_turn, (), ""),
    "label of half the size": (_half, (), "a.png: the label is 10x8, its image 20x16 (width x height): give both"),
    "label of half the size, both resized": (_half, SIZES, ""),
    "label of another shape": (
        lambda root: Image.new("L", (30, 16)).save(root / "train/a.jpg"),
        SIZES,
        "a.png: the label is 10x8, its image 30x16 (width x height)",
    ),
    "suffixes in capital letters": (_rename("train/a.jpg", "train/a.JPG"), (), ""),
    "two labels": (
        lambda root: (root / "truth/train/a.PNG").write_bytes((root / "truth/train/a.png").read_bytes()),
        (),
        "a.png: truth/train/a.PNG is a label of the same image",
    ),
    "a picture of another kind": (
        _rename("train/a.jpg", "train/a.webp"),
        (),
        "truth/train/a.png: has no image (a.webp is not read: images are JPEG or PNG, labels PNG)",
    ),
    "a size of one number": (lambda root: None, ("data.input_size=[16]",), "data.input_size: expected [height, width]"),
    "a cache that cannot be made": (
        lambda root: None,
        ("data.cache=own/classes.json",),
        "own/classes.json: data.cache cannot be written (File exists)",
    ),
    "no label": (_rename("truth/train/a.png", "truth/a"), (), "train/a.jpg: has no label; expected"),
    "a pipe": (lambda root: os.mkfifo(root / "train/pipe.jpg"), (), ""),
}


@pytest.mark.parametrize("name", CASES)
def test_each_reads_and_refuses_the_same(data: dict[str, Any], own: Path, name: str) -> None:
    spoil, settings, says = CASES[name]
    spoil(own)
    done = check(data, *settings)
    assert done.exit_code == (2 if says else 0), done.output
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == bool(says)


def test_people_may_label_what_has_no_labels(data: dict[str, Any], own: Path) -> None:
    (own / "truth").rename("elsewhere")
    data["source_share"] = None
    check(data)
    domains = open_domains(load_config(Path("config.yaml"), ("oracle.kind=human",)).data, with_source=False)
    assert domains.pool.image_ids == NAMES[:4]
    assert domains.validation.image_ids == ()
    assert domains.pool.label_size("train/a") == SIZE


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"source": "train"}, "data.source is not used: data.source_share takes a part of the target"),
        ({"validation_share": 0.25, "validation_split": "test"}, "data.validation_split is not used"),
        ({"source_share": None, "split_seed": 3}, "data.split_seed is not used without data.source_share or"),
        ({"dataset": "patterns", "source_root": "own"}, "data.source_root is not used: data.source_share takes"),
        ({"dataset": "patterns", "source": "gtav"}, "data.source is not used: data.source_share takes"),
        ({"dataset": "patterns", "source_input_size": [8, 8]}, "data.source_input_size is not used"),
    ],
)
def test_a_setting_that_is_not_used_is_said(change: dict[str, Any], says: str) -> None:
    base = {"dataset": "folder", "source_share": 0.25, **change}
    kind = base["dataset"]
    if not base["source_share"]:
        base["source"] = "x"
        base["images"], base["labels"] = "{split}/**/*.jpg", "truth/{split}/**/*.png"
        Path("names.txt").write_text("a\n")
        base["source_list"] = "names.txt"
    done = check(DATA[kind] | base)
    assert done.exit_code == 0, done.output
    assert f"note      {says}" in done.stdout
