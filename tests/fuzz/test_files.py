"""Images, labels, checkpoints: whatever the bytes are."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ripu_ray.config import ModelConfig
from ripu_ray.data.pairs import PairedImages
from ripu_ray.data.pictures import picture_size, read_image
from ripu_ray.models.checkpoints import load_checkpoint
from ripu_ray.models.networks import build_network
from ripu_ray.models.pretrained import read_weights
from ripu_ray.training.checkpoint import TrainingState, load_training_state
from tests.data.folders import CLASSES
from tests.fuzz.cases import attempt, fuzzed, harms, trees

RNG = np.random.default_rng(0)


def _encoded(mode: str, size: tuple[int, int], kind: str, **options: Any) -> bytes:
    """(width, height) noise as a file; labels have the ids 0 to 2."""
    values = RNG.integers(0, 3 if mode in ("L", "P") else 256, (size[1], size[0], 4), dtype=np.uint8)
    if mode == "I;16":
        picture = Image.fromarray(values[..., 0].astype(np.uint16) * 257)
    else:
        channels = len(Image.new(mode, (1, 1)).getbands())
        picture = Image.frombytes(mode, size, values[..., :channels].tobytes() if mode != "1" else bytes(2 * size[1]))
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def _sixteen_bit_colour() -> bytes:
    """A PNG of three 16-bit channels, which Pillow does not write: header and data by hand."""
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + RNG.bytes(12 * 6) for _ in range(10))
    header = struct.pack(">IIBBBBB", 12, 10, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


SIZE = 12, 10
PICTURES = {
    "RGB.png": _encoded("RGB", SIZE, "PNG"),
    "RGB.jpg": _encoded("RGB", SIZE, "JPEG"),
    "L.jpg": _encoded("L", SIZE, "JPEG"),
    "L.png": _encoded("L", SIZE, "PNG"),
    "P.png": _encoded("P", SIZE, "PNG"),
    "RGBA.png": _encoded("RGBA", SIZE, "PNG"),
    "LA.png": _encoded("LA", SIZE, "PNG"),
    "transparent.png": _encoded("P", SIZE, "PNG", transparency=b"\0\1"),
}
REFUSED = {
    "1.png": _encoded("1", SIZE, "PNG"),
    "16 bits.png": _encoded("I;16", SIZE, "PNG"),
    "16 bits of colour.png": _sixteen_bit_colour(),
    "CMYK.jpg": _encoded("CMYK", SIZE, "JPEG"),
    "turned.jpg": _encoded("RGB", SIZE, "JPEG", exif=_exif()),
    "turned.png": _encoded("RGB", SIZE, "PNG", exif=_exif()),
    "animated.png": _encoded("RGB", SIZE, "PNG", save_all=True, append_images=[Image.new("RGB", SIZE)]),
    "gif.png": _encoded("P", SIZE, "GIF"),
    "tiff.png": _encoded("RGB", SIZE, "TIFF"),
    "empty.png": b"",
    "cut.jpg": _encoded("RGB", (64, 64), "JPEG")[:-400],
}


def _bomb() -> bytes:
    """A PNG whose header says 2**31 - 1 by 2**31 - 1."""
    content = bytearray(PICTURES["L.png"])
    content[16:24] = b"\x7f\xff\xff\xff" * 2
    return bytes(content)


@pytest.mark.parametrize("name", [*REFUSED, "bomb.png", "nothing.png"])
def test_pictures_that_could_be_misread_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = _bomb() if name == "bomb.png" else REFUSED.get(name, b"\x89PNG\r\n\x1a\n")
    path.write_bytes(content)
    assert attempt(lambda: read_image(path, None), str(path)) is None


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_that_are_right_are_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PICTURES[name])
    assert read_image(path, None).shape == (10, 12, 3)


@fuzzed
@given(st.sampled_from([*PICTURES.values(), *REFUSED.values()]), harms(), st.sampled_from([None, (9, 14)]))
def test_any_picture(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, harm: Callable[[bytes], bytes], size: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "picture.png"
    path.write_bytes(harm(content))
    image = attempt(lambda: read_image(path, size), "picture.png")
    if image is not None:
        assert image.dtype == np.uint8
        assert image.shape == (*(size or picture_size(path)), 3)
        assert image.flags.writeable


@fuzzed
@given(st.sampled_from([*PICTURES.values(), *REFUSED.values()]), harms(), st.sampled_from([None, (9, 14)]))
def test_any_label(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, harm: Callable[[bytes], bytes], size: Any
) -> None:
    root = tmp_path_factory.getbasetemp() / "labels"
    for kind in ("images", "labels"):
        (root / "day" / "train" / kind).mkdir(parents=True, exist_ok=True)
    (root / "day/train/images/a.png").write_bytes(PICTURES["RGB.png"])
    (root / "day/train/labels/a.png").write_bytes(harm(content))
    files = {"a": (root / "day/train/images/a.png", root / "day/train/labels/a.png")}
    images = PairedImages(files, CLASSES, label_size=size)
    label = attempt(lambda: images.label("a"), "labels/a.png")
    if label is not None:
        assert label.dtype == np.uint8
        assert label.shape == (size or (10, 12)) == images.label_size("a")
        assert set(np.unique(label)) <= {0, 1, 2, 255}


NETWORK = build_network(ModelConfig(width=8), num_classes=3, seed=0)
OPTIMISER = torch.optim.AdamW(NETWORK.parameters())


def _weights() -> dict[str, Any]:
    return {"network": NETWORK.state_dict(), "optimiser": OPTIMISER.state_dict(), "step": 3}


def _saved(payload: Any) -> bytes:
    out = io.BytesIO()
    torch.save(payload, out)
    return out.getvalue()


SAVED = _saved(_weights())


def _check(path: Path) -> None:
    """What is accepted fits the network and is finite, with every reader."""
    state = attempt(lambda: read_weights(path, NETWORK), path.name)
    if state is not None:
        expected = NETWORK.state_dict()
        assert {name: tensor.shape for name, tensor in state.items()} == {n: t.shape for n, t in expected.items()}
        assert all(tensor.isfinite().all() for tensor in state.values())
        build_network(ModelConfig(width=8), num_classes=3, seed=1).load_state_dict(state)

    def restore() -> TrainingState:
        training = load_training_state(path)
        fresh = build_network(ModelConfig(width=8), num_classes=3, seed=1)
        training.restore(fresh, torch.optim.AdamW(fresh.parameters()), path)
        return training

    if training := attempt(restore, path.name):
        assert isinstance(training.step, int)


@fuzzed
@given(harms())
def test_any_bytes_of_a_checkpoint(tmp_path_factory: pytest.TempPathFactory, harm: Callable[[bytes], bytes]) -> None:
    path = tmp_path_factory.getbasetemp() / "weights.pt"
    path.write_bytes(harm(SAVED))
    attempt(lambda: load_checkpoint(path), "weights.pt")
    _check(path)


TENSORS: list[Any] = [
    torch.zeros(3),
    torch.zeros(0),
    torch.zeros(8, 3, 3, 3, dtype=torch.float64),
    torch.zeros(8, 3, 3, 3, dtype=torch.complex64),
    torch.zeros(8, 3, 3, 3, dtype=torch.int8),
    torch.zeros(8, 3, 3, 3, dtype=torch.bool),
    torch.full((8, 3, 3, 3), float("nan")),
    torch.full((8, 3, 3, 3), 1e308, dtype=torch.float64),
    torch.zeros(8, 3, 3, 3).to_sparse(),
    torch.empty(8, 3, 3, 3, device="meta"),
    torch.zeros(1).expand(10**6, 10**6),
    torch.zeros(1).expand(8, 3, 3, 3),
]


@fuzzed
@given(
    st.sampled_from(["network", "optimiser", "step", "state", "param_groups", "tensor", "name"]),
    st.sampled_from(TENSORS) | trees,
)
def test_any_content_of_a_checkpoint(tmp_path_factory: pytest.TempPathFactory, place: str, value: Any) -> None:
    payload = _weights()
    first = next(iter(payload["network"]))
    if place in payload:
        payload[place] = value
    elif place in payload["optimiser"]:
        payload["optimiser"] = {**payload["optimiser"], place: value}
    elif place == "tensor":
        payload["network"] = {**payload["network"], first: value}
    else:
        names = {key if isinstance(key, str) else repr(key) for key in [value]}
        payload["network"] = {**payload["network"], next(iter(names)): torch.zeros(1)}
    path = tmp_path_factory.getbasetemp() / "content.pt"
    torch.save(payload, path)
    _check(path)
