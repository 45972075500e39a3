"""The cache of decoded pictures: what comes out of it is what the files say, at all times and for all processes."""

import os
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ripu_ray.data.folder import FolderData
from ripu_ray.data.images import ImageSet
from ripu_ray.data.loading import open_domains
from ripu_ray.errors import DataError
from tests.data.folders import HEIGHT, WIDTH, write_data_set
from tests.data.test_loading import truncate

POOL = Path("dusk/train")
SIZES = {"input_size": (24, 30), "label_size": (36, 40)}


def cached(root: Path, **settings: object) -> FolderData:
    return write_data_set(root).model_copy(update={"cache": root / "cache", **settings})


def entries(data: FolderData) -> dict[Path, int]:
    assert data.cache
    return {path: path.stat().st_mtime_ns for path in data.cache.rglob("*.npy")}


def arrays(images: ImageSet) -> list[np.ndarray]:
    return [read(image_id) for image_id in images.image_ids for read in (images.image, images.label)]


def assert_as_without(data: FolderData) -> None:
    here, there = open_domains(data), open_domains(data.model_copy(update={"cache": None}))
    for images, plain in ((here.source, there.source), (here.pool, there.pool), (here.validation, there.validation)):
        assert images.image_ids == plain.image_ids
        for mine, expected in zip(arrays(images), arrays(plain), strict=True):
            assert (mine.dtype, mine.shape) == (expected.dtype, expected.shape)
            assert (mine == expected).all()
        assert [images.label_size(i) for i in images.image_ids] == [plain.label_size(i) for i in plain.image_ids]


@pytest.mark.parametrize("sizes", [{}, SIZES], ids=["as stored", "resized"])
def test_what_is_read_is_as_without_it_and_decoded_once(tmp_path: Path, sizes: dict[str, object]) -> None:
    data = cached(tmp_path, **sizes)
    assert_as_without(data)
    written = entries(data)
    assert len(written) == 18
    assert_as_without(data)
    assert entries(data) == written


def test_a_changed_picture_or_another_size_is_another_entry(tmp_path: Path) -> None:
    data = cached(tmp_path)
    assert_as_without(data)
    path = tmp_path / POOL / "images" / "b.png"
    before = path.stat()
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 7, np.uint8)).save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert_as_without(data)
    assert_as_without(data.model_copy(update=SIZES))


@pytest.mark.parametrize("kind", ["size", "one byte", "ids", "another"])
def test_a_damaged_entry_is_made_anew(tmp_path: Path, kind: str) -> None:
    data = cached(tmp_path)
    assert_as_without(data)
    for number, path in enumerate(sorted(entries(data))):
        content = bytearray(path.read_bytes())
        if kind == "size":
            content = content[: (0, 50, -1)[number % 3]]
        elif kind == "one byte":
            content[-(40, 1, len(content), len(content) - 30)[number % 4]] ^= 1
        elif kind == "another":
            content = bytearray(sorted(entries(data))[number - 1].read_bytes())
        else:  # by someone who knows the format
            content[-40] = 77
            content[-32:] = sha256(f"{path.parent.name}{path.stem}".encode() + content[:-32]).digest()
            if np.load(path).ndim == 3:
                continue
        path.write_bytes(content)
    assert_as_without(data)


def test_a_picture_that_changed_in_secret_is_another_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ripu_ray.data.contents._RECENT_NS", -(10**18))
    data = cached(tmp_path)
    path = tmp_path / POOL / "labels" / "b.png"
    for value in (0, 1, 0):
        Image.fromarray(np.full((HEIGHT, WIDTH), value, np.uint8)).save(path, compress_level=0)
        os.utime(path, ns=(10**18, 10**18))
        assert_as_without(data)
    assert len(entries(data)) == 19


def test_marks_of_files_are_kept_and_damaged_ones_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ripu_ray.data.contents._RECENT_NS", -(10**18))
    data = cached(tmp_path)
    assert_as_without(data)
    assert data.cache
    marks = [path for path in data.cache.glob("files/*/*") if path.is_file()]
    assert len(marks) == 18
    with monkeypatch.context() as patch:
        patch.setattr("ripu_ray.data.contents.digest", lambda path: pytest.fail(f"{path} is read again"))
        assert_as_without(data)
    for number, path in enumerate(marks):
        path.write_bytes([b"", b"\xff\xfe", b"a b c d", b"0" * 32 + b" 1:2:3", path.read_bytes()[1:]][number % 5])
    assert_as_without(data)


def test_faults_are_those_of_the_files(tmp_path: Path) -> None:
    data = cached(tmp_path)
    assert_as_without(data)
    pool = open_domains(data).pool
    truncate(tmp_path / POOL / "images" / "b.png")
    with pytest.raises(DataError, match=r"images/b\.png: the image is damaged"):
        pool.image("dusk/train/b")
    (tmp_path / POOL / "images" / "c.png").unlink()
    with pytest.raises(DataError, match=r"images/c\.png: the file is missing"):
        pool.image("dusk/train/c")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    data = cached(tmp_path)
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(DataError, match=r"cache: data\.cache cannot be written"):
        open_domains(data).pool.image("dusk/train/a")


def _sums(data: FolderData) -> list[int]:
    return [int(array.sum()) for array in arrays(open_domains(data).pool)]


def test_several_processes_fill_one_cache(tmp_path: Path) -> None:
    data = cached(tmp_path, **SIZES)
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as processes:
        sums = list(processes.map(_sums, [data] * 8))
    assert sums == [_sums(data.model_copy(update={"cache": None}))] * 8
    assert len(entries(data)) == 6
