"""The answers of people: append-only batches in `trials/<trial>/answers/`, one Parquet file for each.

A batch is committed when its `.json`, with the digest of its `.parquet`, exists. A round's `answers.json` says how many
batches it is trained on; later ones are for later rounds.
"""

import hashlib
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import TypeAdapter

from ripu_ray.config import CostConfig
from ripu_ray.core.budget import Spent, annotation_seconds
from ripu_ray.core.metrics import IGNORE_LABEL
from ripu_ray.core.regions import Regions
from ripu_ray.errors import DataError, RunFolderError
from ripu_ray.runs.validate import read_typed
from ripu_ray.storage.bounded import read_parquet
from ripu_ray.storage.checksums import read_json, write_json
from ripu_ray.storage.files import replace_file

ANSWERS = "answers"
"""Name of the folder of a trial's answers."""
MAX_BYTES = 2**29
"""Of the labels and pixels of a batch, before compression."""
_USED = "answers.json"
Key = tuple[str, int, int]
"""A question: image id, row and column of its centre."""
_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("row", pa.uint16()),
        ("col", pa.uint16()),
        ("pixels", pa.list_(pa.uint32())),
        ("labels", pa.binary()),
        ("seconds", pa.float64()),
        ("source", pa.string()),
    ]
)


_NO_PIXELS = np.empty(0, np.uint32)


@dataclass(frozen=True)
class Answer:
    """The answer to one question, or labels outside all questions.

    Attributes:
        key: of the question; of labels outside, the image id and (0, 0).
        labels_M: (M,) uint8 class ids, IGNORE_LABEL for no class, of the region's pixels in reading order.
        source: file and annotation.
        seconds: of work, NaN if not recorded.
        pixels_M: (M,) uint32, row * W + column of labels outside all questions; None: those of the region.
    """

    key: Key
    labels_M: NDArray[np.uint8]
    source: str
    seconds: float = math.nan
    pixels_M: NDArray[np.uint32] | None = None

    @property
    def num_bytes(self) -> int:
        """Of the labels and pixels."""
        return self.labels_M.nbytes + (0 if self.pixels_M is None else self.pixels_M.nbytes)


class Answers:
    """The committed answers of one trial.

    Args:
        folder: of the batches.
        num_batches: how many of them to read; None: all.

    Raises:
        RunFolderError: a file is missing, torn or altered.
    """

    def __init__(self, folder: Path, num_batches: int | None = None) -> None:
        self._folder, self.num_batches = folder, 0
        self.by_key: dict[Key, Answer] = {}
        self.outside: dict[str, list[Answer]] = defaultdict(list)
        self._keys: dict[str, list[Key]] = defaultdict(list)
        self._digest = hashlib.sha256()
        while self.num_batches != num_batches and (num_batches or self._path(".json").exists()):
            self._take(self._read())

    @property
    def sha256(self) -> str:
        """Digest of all batches, in hex."""
        return self._digest.hexdigest()

    def label(self, image_id: str, regions: Regions, size: tuple[int, int]) -> NDArray[np.uint8]:
        """The annotation of an image.

        Args:
            image_id: in the pool.
            regions: of the image.
            size: (H, W) of its labels.

        Returns:
            (H, W) uint8, IGNORE_LABEL where nothing was answered. Answers lie over labels outside all questions.

        Raises:
            RunFolderError: an answer does not fit its region.
        """
        label_HW = np.full(size, IGNORE_LABEL, np.uint8)
        for extra in self.outside.get(image_id, ()):
            if extra.pixels_M is None or not (extra.pixels_M < label_HW.size).all():
                raise RunFolderError(f"{self._folder}: image {image_id}: labels outside the image")
            label_HW.ravel()[extra.pixels_M] = extra.labels_M
        for key in self._keys.get(image_id, ()):
            fill(label_HW, regions, key, self.by_key[key].labels_M, self._folder)
        return label_HW

    def commit(self, answers: Iterable[Answer]) -> None:
        """Append a batch. Raises DataError: it is larger than MAX_BYTES, and nothing is written; StorageError."""
        listed = list(answers)
        check_size(sum(answer.num_bytes for answer in listed), self._folder)
        rows = [
            {
                "image_id": answer.key[0],
                "row": answer.key[1],
                "col": answer.key[2],
                "pixels": _NO_PIXELS if answer.pixels_M is None else answer.pixels_M,
                "labels": answer.labels_M.tobytes(),
                "seconds": answer.seconds,
                "source": answer.source,
            }
            for answer in listed
        ]
        table = pa.Table.from_pylist(rows, _SCHEMA)
        path = self._path(".parquet")
        content = _content(table, compression="zstd")
        if not _is_readable(content):  # `read_parquet` refuses a small file of much content, such as large even regions
            content = _content(table, compression="none", use_dictionary=False)
        replace_file(path, lambda file: file.write(content))
        sha256 = hashlib.sha256(content).hexdigest()
        write_json(self._path(".json"), {"answers_sha256": sha256, "num_answers": table.num_rows})
        self._take((sha256, table))

    def _path(self, suffix: str) -> Path:
        return self._folder / f"batch_{self.num_batches:04d}{suffix}"

    def _read(self) -> tuple[str, pa.Table]:
        path, expected = self._path(".parquet"), read_json(self._path(".json"))
        try:
            content = path.read_bytes()
            sha256 = hashlib.sha256(content).hexdigest()
            table = read_parquet(content) if sha256 == expected.get("answers_sha256") else None
        except (OSError, ValueError, pa.ArrowException) as error:
            raise RunFolderError(f"{path}: cannot be read ({type(error).__name__})") from None
        if table is None:
            raise RunFolderError(f"{path}: altered or torn since it was committed (its digest differs)")
        if not table.schema.equals(_SCHEMA) or _has_null(table):
            raise RunFolderError(f"{path}: not a batch of answers (other columns, or values that are missing)")
        return sha256, table

    def _take(self, batch: tuple[str, pa.Table]) -> None:
        sha256, table = batch
        for row, pixels in zip(table.drop_columns(["pixels"]).to_pylist(), table["pixels"], strict=True):
            pixels_M = pixels.values.to_numpy() if len(pixels) else None
            key, labels_M = (row["image_id"], row["row"], row["col"]), np.frombuffer(row["labels"], np.uint8)
            answer = Answer(key, labels_M, row["source"], row["seconds"], pixels_M)
            if pixels_M is not None:
                self.outside[key[0]].append(answer)
            else:
                if key not in self.by_key:
                    self._keys[key[0]].append(key)
                self.by_key[key] = answer  # in place of one of a batch before
        self._digest.update(sha256.encode())
        self.num_batches += 1


def check_size(num_bytes: int, place: Path) -> None:
    """Raise DataError, which names `place`, if the answers of one batch have more bytes than MAX_BYTES."""
    if num_bytes > MAX_BYTES:
        found, most = (f"{size / 2**20:.0f} MiB" for size in (num_bytes, MAX_BYTES))
        raise DataError(f"{place}: labels of {found} in one call: expected at most {most}: give fewer images to a call")


def _content(table: pa.Table, **options: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    return stream.getvalue()


def _is_readable(content: bytes) -> bool:
    try:
        read_parquet(content)
    except ValueError:
        return False
    return True


def _has_null(table: pa.Table) -> bool:
    return any(column.null_count for column in (*table.columns, pc.list_flatten(table["pixels"])))


def fill(label_HW: NDArray[np.uint8], regions: Regions, key: Key, labels_M: NDArray[np.uint8], origin: Path) -> None:
    """Write an answer into the region of its question. Raises RunFolderError, which names `origin`: it does not fit."""
    height, width = label_HW.shape
    if key[1] >= height or key[2] >= width:
        raise RunFolderError(f"{origin}: image {key[0]}: an answer outside the image")
    members = regions.members(key[1], key[2])
    if labels_M.size != np.broadcast(*members).size:
        raise RunFolderError(f"{origin}: image {key[0]}: an answer of {labels_M.size} pixels, not those of its region")
    label_HW[members] = labels_M.reshape(np.broadcast(*members).shape)


@dataclass(frozen=True)
class AnswersPin:
    """The first batches of a folder of answers, and their digest."""

    folder: Path
    num_batches: int
    sha256: str

    def open(self) -> Answers:
        """Read them. Raises RunFolderError: they are missing or altered."""
        answers = Answers(self.folder, self.num_batches)
        if answers.sha256 != self.sha256:
            raise RunFolderError(f"{self.folder}: altered since a round was bought with it (its digest differs)")
        return answers


@dataclass(frozen=True)
class UsedAnswers:
    """The answers that a round is trained on, and the part of their cost that was measured; all are totals so far.

    Attributes:
        num_batches: how many batches.
        answers_sha256: their digest.
        timed_clicks, timed_boundary_pixels: of the bought regions whose time the tool recorded.
        timed_s: seconds of these.
    """

    num_batches: int = 0
    answers_sha256: str = ""
    timed_clicks: int = 0
    timed_boundary_pixels: int = 0
    timed_s: float = 0.0

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the file of a round. Raises RunFolderError."""
        return read_typed(TypeAdapter(cls), folder / _USED)

    def write(self, folder: Path) -> None:
        """Write it into the folder of a round, before its purchase is committed."""
        write_json(folder / _USED, asdict(self))

    def pin(self, folder: Path) -> AnswersPin:
        """The batches in `folder`."""
        return AnswersPin(folder, self.num_batches, self.answers_sha256)

    def seconds(self, cost: CostConfig, spent: Spent) -> float:
        """Seconds of annotation of all that was bought: recorded ones, and the model of `cost` for the others."""
        estimated = Spent(
            clicks=spent.clicks - self.timed_clicks,
            boundary_pixels=spent.boundary_pixels - self.timed_boundary_pixels,
        )
        return annotation_seconds(cost, estimated) + self.timed_s


def count_timed(used: UsedAnswers, answers: Sequence[Answer], boundary_pixels: Sequence[int]) -> UsedAnswers:
    """`used` with further answers and their outlines added, those whose time was recorded."""
    timed = [(answer.seconds, pixels) for answer, pixels in zip(answers, boundary_pixels, strict=True)]
    timed = [(seconds, pixels) for seconds, pixels in timed if not math.isnan(seconds)]
    return UsedAnswers(
        used.num_batches,
        used.answers_sha256,
        used.timed_clicks + len(timed),
        used.timed_boundary_pixels + sum(pixels for _, pixels in timed),
        used.timed_s + sum(seconds for seconds, _ in timed),
    )
