"""GTAV, SYNTHIA and Cityscapes in small, byte for byte in the layouts and encodings that they are published in."""

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ripu_ray.data.cityscapes import CityscapesData
from ripu_ray.data.combining import shared_classes, with_classes
from ripu_ray.data.description import describe
from ripu_ray.data.finding import find_pairs
from ripu_ray.data.images import ImageSet
from ripu_ray.data.labels import ClassTable
from ripu_ray.data.pairs import PairedImages

HEIGHT, WIDTH = 10, 14
GTAV_NAMES = ("00001", "00002", "00010")
SYNTHIA_NAMES = ("0000000", "0000001")
CITY_NAMES = {
    "train": ("aachen/aachen_000000_000019", "aachen/aachen_000001_000019", "ulm/ulm_000000_000019"),
    "val": ("lindau/lindau_000000_000019",),
}
Ids = NDArray[np.integer]


Size = tuple[int, int] | None


def table(name: str) -> ClassTable:
    """The classes of a data set of this package."""
    return describe(name)[1].table(f"{name}.yaml")


CLASSES_19 = shared_classes(table("gtav"), table("cityscapes"))
CLASSES_16 = shared_classes(table("synthia"), table("cityscapes"))


def open_set(name: str, root: Path, split: str, names: Path | None, input_size: Size, label_size: Size) -> PairedImages:
    """One split of a data set of this package."""
    pairs = find_pairs(name, describe(name)[1].places(split, {}), root, names)
    return PairedImages(pairs, table(name), input_size, label_size)


def open_gtav(root: Path, names: Path | None, input_size: Size, label_size: Size) -> PairedImages:
    """GTAV's images, `gtav/<name>`."""
    return open_set("gtav", root, "", names, input_size, label_size)


def open_synthia(root: Path, names: Path | None, input_size: Size, label_size: Size) -> PairedImages:
    """SYNTHIA's images, `synthia/<name>`."""
    return open_set("synthia", root, "", names, input_size, label_size)


def open_cityscapes(
    root: Path, split: str, classes: ClassTable, names: Path | None, input_size: Size, label_size: Size
) -> ImageSet:
    """The images of Cityscapes, `<split>/<city>/<name>`."""
    images = open_set("cityscapes", root, split, names, input_size, label_size)
    return with_classes(images, table("cityscapes"), classes)


def draw_ids(ids: tuple[int, ...], seed: int) -> NDArray[np.uint8]:
    """(HEIGHT, WIDTH) of `ids`, each at least once."""
    drawn = np.random.default_rng(seed).choice(np.array(ids, np.uint8), (HEIGHT, WIDTH))
    drawn.flat[: len(ids)] = ids
    return drawn


def write_gtav(root: Path) -> dict[str, NDArray[np.uint8]]:
    """Images and labels of GTAV; returns the label ids by name."""
    ids = {name: draw_ids(tuple(range(35)), index) for index, name in enumerate(GTAV_NAMES)}
    for name, label in ids.items():
        write_image(root / "images" / f"{name}.png", label)
        write_palette_png(root / "labels" / f"{name}.png", label)
    return ids


def write_synthia(root: Path) -> dict[str, NDArray[np.uint8]]:
    """Images and labels of SYNTHIA; returns the class ids by name."""
    ids = {name: draw_ids(tuple(range(23)), index) for index, name in enumerate(SYNTHIA_NAMES)}
    for name, label in ids.items():
        write_image(root / "RGB" / f"{name}.png", label)
        write_16_bit_png(root / "GT/LABELS" / f"{name}.png", label)
    return ids


def write_cityscapes(root: Path) -> dict[str, NDArray[np.uint8]]:
    """Images and labels of Cityscapes; returns the label ids by `<split>/<city>/<name>`."""
    written = {}
    for split, names in CITY_NAMES.items():
        for index, name in enumerate(names):
            label = draw_ids((*range(34), 255), index)
            write_image(root / "leftImg8bit" / split / f"{name}_leftImg8bit.png", label)
            folder = (root / "gtFine" / split / name).parent
            folder.mkdir(parents=True, exist_ok=True)
            stem = Path(name).name
            Image.fromarray(label).save(folder / f"{stem}_gtFine_labelIds.png")
            # What lies beside it in the original.
            Image.fromarray(label).save(folder / f"{stem}_gtFine_instanceIds.png")
            Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{stem}_gtFine_color.png")
            written[f"{split}/{name}"] = label
    return written


def write_pair(root: Path, source: str) -> CityscapesData:
    """A source and Cityscapes in `root`."""
    (write_gtav if source == "gtav" else write_synthia)(root / source)
    write_cityscapes(root / "cityscapes")
    return CityscapesData.model_validate(
        {
            "dataset": "cityscapes",
            "source": source,
            "source_root": root / source,
            "target_root": root / "cityscapes",
        }
    )


def write_image(path: Path, label: Ids) -> None:
    """A picture whose red is the label id, so that image and label can be told to belong together."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.dstack((label, label * 0, label * 0)).astype(np.uint8)).save(path)


def write_palette_png(path: Path, ids: Ids) -> None:
    """Index = label id, and a palette whose grey values are other numbers, as in GTAV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    palette = bytes((37 * index + 11 * channel + 5) % 256 for index in range(256) for channel in range(3))
    rows = b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in ids)
    path.write_bytes(png(ids.shape, 8, 3, rows, chunk(b"PLTE", palette)))


def write_16_bit_png(path: Path, ids: Ids) -> None:
    """Class ids in channel 0 and instance ids in channel 1, 16 bits each; the rows take all five filters in turn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    instances = (np.arange(ids.size).reshape(ids.shape) * 77) % 65536
    values = np.dstack((ids, instances, np.zeros_like(instances))).astype(">u2")
    lines = np.frombuffer(values.tobytes(), np.uint8).reshape(len(ids), -1).astype(int)
    step = 6
    rows = b""
    above = np.zeros(lines.shape[1], int)
    for number, line in enumerate(lines):
        left = np.concatenate((np.zeros(step, int), line[:-step]))
        corner = np.concatenate((np.zeros(step, int), above[:-step]))
        guesses = (0 * line, left, above, (left + above) // 2, _paeth(left, above, corner))
        rows += bytes([number % 5]) + ((line - guesses[number % 5]) % 256).astype(np.uint8).tobytes()
        above = line
    path.write_bytes(png(ids.shape, 16, 2, rows))


def _paeth(left: NDArray[np.int_], above: NDArray[np.int_], corner: NDArray[np.int_]) -> NDArray[np.int_]:
    """PNG specification, 9.4."""
    guess = left + above - corner
    to_left, to_above, to_corner = (abs(guess - value) for value in (left, above, corner))
    nearer = np.where(to_above <= to_corner, above, corner)
    return np.where((to_left <= to_above) & (to_left <= to_corner), left, nearer)


def png(shape: tuple[int, ...], depth: int, colour_type: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG file of filtered rows, with `extra` chunks in front of them."""
    header = struct.pack(">IIBBBBB", shape[1], shape[0], depth, colour_type, 0, 0, 0)
    parts = (chunk(b"IHDR", header), extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
