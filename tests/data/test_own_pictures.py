"""Pictures and folders as cameras, phones and people produce them, through `ripu data check` and one run over Ray."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ripu_cli.main import app
from typer.testing import CliRunner, Result

from ripu_ray.config import load_config
from ripu_ray.data.loading import open_domains
from ripu_ray.data.pictures import picture_size
from ripu_ray.distributed.sweeping import run_sweep
from ripu_ray.errors import DataError
from ripu_ray.runs.run_folder import RunFolder
from tests.conftest import TINY
from tests.data.folders import HEIGHT, WIDTH, scene, write_data_set
from tests.running import ignore

DATA = "data={dataset: folder, root: data, source: day, target: dusk}"
POOL = Path("data/dusk/train")
ORIENTATION = 0x0112


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def _replace(picture: Image.Image, suffix: str = ".jpg", **options: Any) -> None:
    """Write a picture in place of the pool's image b."""
    (POOL / "images/b.png").unlink()
    picture.save(POOL / f"images/b{suffix}", quality=95, subsampling=0, **options)


def _photo() -> Image.Image:
    return Image.fromarray(scene(1)[0])


def _mpo() -> None:
    _replace(_photo(), format="MPO", save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT))])


def _turned() -> None:
    """A picture that is stored lying, and its label as it is shown, upright."""
    _replace(_photo().transpose(Image.Transpose.ROTATE_90), exif=_exif(6))


def _warned() -> None:
    _replace(_photo(), exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01")


def _deep() -> None:
    for kind in ("images", "labels"):
        (POOL / kind / "trip one").mkdir()
        (POOL / kind / "b.png").rename(POOL / kind / "trip one/b.png")


def _linked() -> None:
    (POOL / "images/b.png").rename("elsewhere.png")
    (POOL / "images/b.png").symlink_to(Path("elsewhere.png").absolute())
    (POOL / "images/again").symlink_to(POOL.absolute() / "images")  # a circle


READ: dict[str, Callable[[], object]] = {
    "MPO": _mpo,
    "RGBA": lambda: _replace(_photo().convert("RGBA"), ".PNG"),
    "grey": lambda: _replace(_photo().convert("L"), ".jpeg"),
    "palette": lambda: _replace(_photo().convert("P"), ".png"),
    "turned, label as shown": _turned,
    "an orientation that means nothing": lambda: _replace(_photo(), exif=_exif(0)),
    "a warning": _warned,
    "sub-folders": _deep,
    "links": _linked,
    "BOM": lambda: _classes("\ufeff" + json.dumps(["a", "b", "c"])),
}


def _classes(text: str) -> None:
    Path("data/classes.json").write_text(text, encoding="utf-8")


def check(*settings: str) -> Result:
    words = ["data", "check", *(f"--set={text}" for text in (DATA, *settings))]
    return CliRunner(env={"COLUMNS": "220"}).invoke(app, words)


@pytest.fixture(autouse=True)
def data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good data set in `data` of the working directory."""
    monkeypatch.chdir(tmp_path)
    write_data_set(Path("data"))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # outside pytest, which sets its own filters, it is not shown again
@pytest.mark.parametrize("name", READ)
def test_what_cameras_and_people_leave_is_read(name: str) -> None:
    READ[name]()
    done = check()
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    assert "faults    0" in done.stdout
    assert done.stdout.count("note ") == (name == "a warning")
    pool = open_domains(load_config(None, [DATA]).data).pool
    image_id = "dusk/train/trip one/b" if name == "sub-folders" else "dusk/train/b"
    assert image_id in pool.image_ids
    image, label = scene(1)
    np.testing.assert_array_equal(pool.label(image_id), label)
    if name not in ("grey", "palette"):
        assert np.abs(pool.image(image_id).astype(int) - image).mean() < 30  # JPEG of noise


def test_a_warning_is_shown_once(tmp_path: Path) -> None:
    _warned()
    notes = [line for line in check().stdout.splitlines() if line.startswith("note")]
    assert len(notes) == 1
    assert notes[0].startswith(f"note      {tmp_path / POOL}/images/b.jpg: Corrupt EXIF data")


def _dangling() -> None:
    for kind in ("images", "labels"):
        (POOL / kind / "b.png").unlink()
        (POOL / kind / "b.png").symlink_to("/no/such/file.png")


def _circle() -> None:
    (POOL / "images/b.png").unlink()
    (POOL / "images/b.png").symlink_to("b.png")


def _two_forms() -> None:
    """What an archive of a Mac may do to the names: a letter with its accent, and both apart."""
    (POOL / "images/b.png").rename(POOL / "images/\u00fc.png")
    (POOL / "labels/b.png").rename(POOL / "labels/U\u0308.png")


_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"
# What is done -> settings, faults.
FAULTS: dict[str, tuple[Callable[[], object], tuple[str, ...], list[str]]] = {
    "image and label dangle": (
        _dangling,
        (),
        [f"{POOL}/{kind}/b.png: a link to /no/such/file.png, which is not there" for kind in ("images", "labels")],
    ),
    "a link to itself": (_circle, (), [f"{POOL}/images/b.png: a link to b.png, which is not there"]),
    "turned, label as stored": (
        lambda: _replace(_photo(), exif=_exif(6)),
        (),
        [f"{POOL}/images/b.jpg: its EXIF orientation asks for a rotation: store the pixels upright"],
    ),
    "upside down": (lambda: _replace(_photo(), exif=_exif(3)), (), [f"{POOL}/images/b.jpg: its EXIF orientation"]),
    "animation": (
        lambda: _replace(_photo(), ".png", save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT))]),
        (),
        [f"{POOL}/images/b.png: an animation, expected a single picture"],
    ),
    "pointers of Git LFS": (
        lambda: [(POOL / kind / "b.png").write_bytes(_POINTER) for kind in ("images", "labels")],
        (),
        [
            f"{POOL}/{kind}/b.png: a pointer of Git LFS, not the picture: `git lfs pull`"
            for kind in ("images", "labels")
        ],
    ),
    "names in two forms": (
        _two_forms,
        (),
        [
            f"{POOL}/images/\u00fc.png: has no label",
            f"{POOL}/labels/U\u0308.png: has no image (the name of an image differs from it in upper and lower case",
        ],
    ),
    "16 bits": (
        lambda: _replace(Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint16)), ".png"),
        (),
        [f"{POOL}/images/b.png: mode I;16: expected 8 bits a channel, colour or grey"],
    ),
    "too large": (
        lambda: _replace(Image.new("L", (1200, 1000)), ".png"),
        ("data.max_megapixels=1",),
        [f"{POOL}/images/b.png: 1200x1000 pixels: expected at most 1 million (data.max_megapixels)"],
    ),
    "a picture that is not read": (
        lambda: _photo().save(POOL / "images/new.webp"),
        (),
        [f"{POOL}/images/new.webp: is not read: images are JPEG or PNG, labels PNG"],
    ),
    "an unknown encoding": (
        lambda: _classes('{"classes": ["a", "b", "c"], "encoding": "rgb"}'),
        (),
        ["data/classes.json: encoding is 'rgb': expected ids, colours, palette, uint16_channel0; expected"],
    ),
    "one class": (
        lambda: _classes('["road"]'),
        (),
        ["data/classes.json: classes: expected 2 to 255 of them, found 1; expected"],
    ),
    "no source": (
        lambda: Path("data/day").rename("elsewhere"),
        (),
        ["data/day/train/images: cannot be read (No such file or directory): data.source names the source's folder"],
    ),
    "no validation": (
        lambda: Path("data/dusk/val").rename("elsewhere"),
        (),
        ["data/dusk/val/images: cannot be read (No such file or directory): data.validation_split names the target's"],
    ),
    "a pattern without split": (
        lambda: None,
        ("data.images='{domain}/train/images/*'", "data.labels='{domain}/train/labels/*'"),
        ["data.images '{domain}/train/images/*' has no {split} to tell the validation from the target"],
    ),
    "too few to share": (
        lambda: None,
        ("data.source_share=0.5", "data.validation_share=0.5"),
        ["data.target has 3 images: too few for a pool beside source and validation"],
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_a_line_before_anything_starts(tmp_path: Path, name: str) -> None:
    spoil, settings, lines = FAULTS[name]
    spoil()
    done = check(*settings)
    assert done.exit_code == 2, done.output
    told = done.stderr.replace(f"{tmp_path}/", "").splitlines()
    assert len(told) == len(lines)
    for line, expected in zip(told, lines, strict=True):
        assert line.startswith(f"ripu: {expected}")
    words = [f"--set={text}" for text in (DATA, *settings)]
    for command in (["sweep", "--dry-run", *words], ["run", *words]):
        done = CliRunner().invoke(app, command)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.replace(f"{tmp_path}/", "").startswith(f"ripu: {lines[0]}")
    assert not Path("runs").exists()


@pytest.mark.slow
def test_a_tile_of_more_megapixels_than_pillow_allows_is_read() -> None:
    _replace(Image.new("L", (10_000, 10_000)), ".png")
    Image.new("L", (10_000, 10_000)).save(POOL / "labels/b.png")
    done = check("data.input_size=[12, 20]", "data.label_size=[12, 20]")
    assert done.exit_code == 0, done.output
    assert "12x20: 2, 10000x10000: 1" in done.stdout
    assert (
        "note      pool: data.input_size changes the aspect of 1 image, such as from 10000x10000 to 12x20"
        in done.stdout
    )


def test_the_same_images_twice_are_said() -> None:
    done = check("data.source=dusk", "data.validation_split=train")
    assert done.exit_code == 0
    for line in ("source and pool", "source and validation", "pool and validation"):
        assert f"note      {line} have 3 images in common" in done.stdout
    words = [f"--set={text}" for text in (DATA, "data.source=dusk")]
    done = CliRunner().invoke(app, ["run", "--budget=50", "--dry-run", *words])
    assert (done.exit_code, done.stderr) == (0, "ripu: source and pool have 3 images in common\n")


def test_shares_depend_on_seed_and_names_alone() -> None:
    for number in range(20):
        for kind, array in zip(("images", "labels"), scene(number), strict=True):
            Image.fromarray(array).save(POOL / kind / f"{number}.png")

    def split(*settings: str, with_source: bool = True) -> tuple[tuple[str, ...], ...]:
        shares = ("data.source_share=0.25", "data.validation_share=0.25")
        domains = open_domains(load_config(None, (DATA, *shares, *settings)).data, with_source)
        return domains.source.image_ids, domains.pool.image_ids, domains.validation.image_ids

    parts = split()
    assert [len(part) for part in parts] == [6, 11, 6]
    assert len(set().union(*parts)) == 23
    assert split() == parts
    assert split(with_source=False)[1:] == parts[1:]
    assert split("data.split_seed=1") != parts
    # Written out, so that another process, version or machine has the same.
    assert [name.rpartition("/")[2] for name in parts[2]] == ["0", "12", "15", "3", "5", "b"]


@pytest.mark.parametrize(
    "pattern", ["images/a", "*/images/x", "../x/*", "/x/*", "a//*", "{city}/*", "**/x/*", "x/*/*", ""]
)
def test_a_wrong_pattern_is_named(pattern: str) -> None:
    done = check(f"data.images='{pattern}'")
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"data.images: '{pattern}': expected folders and a file's name" in done.stderr


def test_names_in_sub_folders_are_found_by_lists() -> None:
    _deep()
    for kind, array in zip(("images", "labels"), scene(5), strict=True):
        (POOL / kind / "trip two").mkdir()
        Image.fromarray(array).save(POOL / kind / "trip two/b.png")

    def listed(text: str) -> tuple[str, ...]:
        Path("list.txt").write_text(text)
        return open_domains(load_config(None, (DATA, "data.target_list=list.txt")).data).pool.image_ids

    assert listed("trip one/b.png\r\na\r\n") == ("dusk/train/a", "dusk/train/trip one/b")
    assert listed("data/images/trip two/b") == ("dusk/train/trip two/b",)
    with pytest.raises(DataError, match=r"list\.txt: line 1: b\.png may be any of 2 images: put the folder in"):
        listed("b.png")
    _photo().save(POOL / "images/a.jpg")
    with pytest.raises(DataError, match=r"line 1: a may be any of 2 images: put .* and the suffix behind"):
        listed("a")
    assert listed("a.png") == ("dusk/train/a",)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.usefixtures("ray_cpus")
@pytest.mark.slow
def test_all_of_them_run_over_ray(tmp_path: Path) -> None:
    for number, name in enumerate(("MPO", "RGBA", "turned, label as shown", "a warning", "links")):
        READ[name]()
        for path in [*POOL.glob("*/b.*")]:
            path.rename(path.with_stem(f"c{number}"))
        for kind, array in zip(("images", "labels"), scene(1), strict=True):
            Image.fromarray(array).save(POOL / kind / "b.png")
    _deep()
    settings = ("data.validation_share=0.3", "data.source_share=0.3", "data.split_seed=2", "strategy.rounds=1")
    run = RunFolder.create(tmp_path / "run", load_config(None, (*TINY[4:], DATA, *settings)))
    assert run_sweep(run, ignore) == {}
    assert all(run.is_finished(trial_id) for trial_id in run.trials)


def test_overlays_are_not_drawn_among_the_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path / POOL / "images")
    done = CliRunner().invoke(app, ["data", "check", "--set", DATA.replace("root: data", f"root: {tmp_path}/data")])
    assert done.exit_code == 0, done.output
    assert "not drawn: overlays.png would lie among the images: name another place with --overlays" in done.stdout
    assert not Path("overlays.png").exists()


def test_what_was_read_is_shown_if_the_overlays_cannot_be_written(tmp_path: Path) -> None:
    words = ["data", "check", "--set", DATA, "--overlays"]
    done = CliRunner(env={"COLUMNS": "220"}).invoke(app, [*words, "data/classes.json/x.png"])
    assert (done.exit_code, "faults    0" in done.stdout) == (0, True), done.output
    assert "not drawn: data/classes.json/x.png: cannot be written (" in done.stdout
    Path("data/classes.json").write_text("")
    done = CliRunner().invoke(app, [*words, "x.gif"])
    assert done.stderr == "ripu: --overlays x.gif: expected the name of a .png or .jpg file\n"


def test_what_the_system_does_not_give_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r": cannot be read \(Is a directory\)$"):
        picture_size(tmp_path)
