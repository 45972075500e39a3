"""The check before any actor starts: each fault of a data set on disk, in one line that names the file."""

import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ripu_ray.data.checking import check_domains
from ripu_ray.data.folder import FolderData
from ripu_ray.data.loading import open_domains
from ripu_ray.data.synthetic.images import SyntheticData
from ripu_ray.errors import DataError
from tests.data.folders import HEIGHT, WIDTH, scene, write_data_set

POOL = Path("dusk/train")


def check(data: FolderData) -> None:
    check_domains(open_domains(data), data)


def test_the_check_of_input_loads_no_torch() -> None:
    code = "import sys, ripu_ray.data.loading; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_good_data_set_passes(tmp_path: Path) -> None:
    check(write_data_set(tmp_path))
    data = SyntheticData()
    check_domains(open_domains(data), data)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def grey_png(bits: int) -> bytes:
    """A PNG of zeros with `bits` of grey per pixel, which Pillow cannot write for 2 and 4."""
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, 0, 0, 0, 0)
    rows = (b"\0" + bytes(-(-WIDTH * bits // 8))) * HEIGHT
    parts = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)


def save(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(array).save(path)


def jpeg_as_png(path: Path) -> None:
    Image.fromarray(scene(0)[1]).save(path, format="JPEG")


def rotated(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(scene(0)[0]).save(path, exif=exif)


UNKNOWN_ID = np.full((HEIGHT, WIDTH), 3, np.uint8)
FAULTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "truncated image": ("images/b.png", truncate, "damaged"),
    "flipped byte in an image": ("images/b.png", flip, "damaged"),
    "truncated label": ("labels/b.png", truncate, "damaged"),
    "empty image": ("images/b.png", lambda path: path.write_bytes(b""), "not a JPEG or PNG"),
    "text as image": ("images/b.png", lambda path: path.write_text("hello"), "not a JPEG or PNG"),
    "a GIF as image": ("images/b.png", lambda p: Image.new("L", (WIDTH, HEIGHT)).save(p, "GIF"), "not a JPEG or PNG"),
    "16-bit image": ("images/b.png", save(np.zeros((HEIGHT, WIDTH), np.uint16)), "mode I;16"),
    "rotated image": ("images/b.png", rotated, "EXIF orientation"),
    "image of another size": ("images/b.png", save(np.zeros((HEIGHT, 9, 3), np.uint8)), "(width x height)"),
    "label of another size": ("labels/b.png", save(np.zeros((9, WIDTH), np.uint8)), "20x9, its image 20x12"),
    "id outside the classes": ("labels/b.png", save(UNKNOWN_ID), "label id 3 is outside the classes 0..2"),
    "colour label": ("labels/b.png", save(scene(0)[0]), "no class in classes.json has the colour"),
    "16-bit label": ("labels/b.png", lambda path: path.write_bytes(grey_png(16)), 'a channel, or "encoding": "uint16_'),
    "4-bit grey label": (
        "labels/b.png",
        lambda path: path.write_bytes(grey_png(4)),
        "4-bit grey: expected a PNG of one 8-bit",
    ),
    "JPEG named .png": ("labels/b.png", jpeg_as_png, "not a PNG"),
    "empty label": ("labels/b.png", lambda path: path.write_bytes(b""), "not a PNG"),
    "image without label": ("labels/b.png", Path.unlink, "has no label"),
    "label without image": ("images/b.png", Path.unlink, "has no image"),
    "two images of one stem": ("images/b.jpg", save(scene(0)[0]), "the same id"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_and_named(tmp_path: Path, fault: str) -> None:
    data = write_data_set(tmp_path)
    file, spoil, message = FAULTS[fault]
    spoil(tmp_path / POOL / file)
    with pytest.raises(DataError) as caught:
        check(data)
    line = str(caught.value)
    assert message in line
    assert re.match(re.escape(f"{tmp_path / POOL}") + r"/(images|labels)/b\.", line)
    assert "\n" not in line


def test_further_faults_are_counted(tmp_path: Path) -> None:
    data = write_data_set(tmp_path)
    truncate(tmp_path / "day/train/images/c.png")
    truncate(tmp_path / "dusk/val/labels/a.png")
    truncate(tmp_path / "dusk/val/labels/b.png")
    with pytest.raises(DataError, match=r"day/train/images/c\.png: .*\(and 2 more faults\)"):
        check(data)


def test_one_size_for_a_split_unless_the_configuration_gives_one(tmp_path: Path) -> None:
    data = write_data_set(tmp_path)
    for kind, shape in (("images", (24, 40, 3)), ("labels", (24, 40))):
        Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / POOL / kind / "b.png")
    with pytest.raises(DataError, match=r"dusk/train/b: .*data\.input_size .*1 more"):
        check(data)
    with pytest.raises(DataError, match=r"data\.label_size"):
        check(data.model_copy(update={"input_size": (8, 8)}))
    check(data.model_copy(update={"input_size": (8, 8), "label_size": (12, 20)}))


@pytest.mark.parametrize(
    "place", ["day/train/images", "dusk/train/images", "dusk/val/images", "dusk/val/labels", "dusk"]
)
def test_a_missing_folder_is_named(tmp_path: Path, place: str) -> None:
    data = write_data_set(tmp_path)
    (tmp_path / place).rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=f"{re.escape(str(tmp_path / place))}.*cannot be read"):
        open_domains(data)


def test_an_empty_folder_and_a_missing_root_are_named(tmp_path: Path) -> None:
    data = write_data_set(tmp_path)
    for kind in ("images", "labels"):
        for path in (tmp_path / POOL / kind).iterdir():
            path.unlink()
    with pytest.raises(DataError, match=r"dusk/train/images: holds no image"):
        open_domains(data)
    with pytest.raises(DataError, match=r"nowhere: data\.root is not a folder"):
        open_domains(FolderData(root=tmp_path / "nowhere"))


def test_without_source_its_files_are_left_alone(tmp_path: Path) -> None:
    data = write_data_set(tmp_path)
    (tmp_path / "day").rename(tmp_path / "elsewhere")
    for domains in (open_domains(data, with_source=False), open_domains(SyntheticData(), with_source=False)):
        assert domains.source.image_ids == ()
        with pytest.raises(KeyError):
            domains.source.label("day/train/a")
    check_domains(open_domains(data, with_source=False), data)
