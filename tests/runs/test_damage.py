"""Truncated, altered and invented files of a run: each is detected, named in one line, and not used."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ripu_ray.config import Config, load_config
from ripu_ray.errors import InputError, RunFolderError
from ripu_ray.reporting.results import collect
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.storage.checksums import read_json, write_json
from ripu_ray.storage.files import digest
from tests.conftest import TINY
from tests.running import execute_trial, ignore, run_all

Harm = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunFolder]:
    """One finished run, not to be changed."""
    config = load_config(None, (*TINY, "cluster.scorers=0", "training.warmup_steps=1", "training.round_steps=1"))
    yield run_all(tmp_path_factory.mktemp("runs") / "finished", config)


@pytest.fixture
def copy(finished: RunFolder, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    return Path(shutil.copytree(finished.path, tmp_path / "copy"))


def _read_everything(folder: Path) -> None:
    """As a resumed sweep does: the folder, the results of every stage, and every trial, which finds nothing to do.

    And as a report does: the confusion counts.
    """
    run = RunFolder(folder)
    collect(run)
    for trial_id in run.trials:
        execute_trial(run, trial_id, ignore)
        run.trial(trial_id).stage(1).confusion()


def _flip(position: float, bit: int = 0) -> Harm:
    def harm(content: bytes) -> bytes:
        altered = bytearray(content)
        altered[int(position * (len(content) - 1))] ^= 1 << bit
        return bytes(altered)

    return harm


def _tear(share: float) -> Harm:
    return lambda content: content[: int(share * (len(content) - 1))]


KINDS = {
    "config.yaml": "config.yaml",
    "environment.json": "environment.json",
    "purchase.parquet": "trials/*/round_00/purchase.parquet",
    "purchase.json": "trials/*/round_01/purchase.json",
    "weights.pt": "trials/*/round_01/weights.pt",
    "record.json": "trials/*/round_00/record.json",
    "seconds.json": "trials/*/round_01/seconds.json",
    "confusion.json": "trials/*/round_01/confusion.json",
    "warm-up's weights.pt": "warmups/*/weights.pt",
    "warm-up's record.json": "warmups/*/record.json",
    "warm-up's seconds.json": "warmups/*/seconds.json",
}
HARMS: dict[str, Harm] = {
    "first byte flipped": _flip(0),
    "early byte flipped": _flip(0.1, 4),
    "middle byte flipped": _flip(0.5),
    "last byte flipped": _flip(1, 6),
    "half": _tear(0.5),
    "last byte lost": _tear(1),
    "empty": _tear(0),
    "zeros": lambda content: bytes(len(content)),
    "other text": lambda _: b"hello\n",
    "not UTF-8": lambda content: content + b"\xff\xfe",
    "nested": lambda _: b"[" * 100_000,
}


def test_the_copy_itself_is_believed(copy: Path) -> None:
    _read_everything(copy)


@pytest.mark.parametrize("kind", KINDS)
def test_a_torn_or_altered_file_of_every_kind_is_named(copy: Path, kind: str) -> None:
    (path,) = copy.glob(KINDS[kind])
    before = path.read_bytes()
    for name, harm in HARMS.items():
        path.write_bytes(harm(before))
        with pytest.raises(InputError) as caught:
            _read_everything(copy)
        assert path.name in str(caught.value) or path.with_suffix(".parquet").name in str(caught.value), name
        assert "\n" not in str(caught.value)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=path.name):
        _read_everything(copy)
    path.rmdir()
    path.write_bytes(before)
    _read_everything(copy)


@pytest.mark.slow
def test_every_single_byte_of_the_small_files_is_guarded(copy: Path) -> None:
    for kind in ("record.json", "seconds.json", "environment.json"):
        (path,) = copy.glob(KINDS[kind])
        before, tree = path.read_bytes(), read_json(path)
        for position in range(len(before)):
            for bit in (0, 2, 5, 7):
                path.write_bytes(before[:position] + bytes([before[position] ^ 1 << bit]) + before[position + 1 :])
                # An older file has no checksum; what then differs is an unknown key.
                with suppress(RunFolderError):
                    assert read_json(path).keys() != tree.keys(), position
        path.write_bytes(before)


def test_pipes_and_rings_of_links_are_not_waited_for(copy: Path) -> None:
    for name in ("config.yaml", "environment.json", "trials/region/round_00/record.json"):
        path = copy / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes() if path.exists() else None
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        with pytest.raises(RunFolderError, match=path.name):
            RunFolder(copy)
        path.unlink()
        path.symlink_to(path)
        with pytest.raises(RunFolderError, match=path.name):
            RunFolder(copy)
        path.unlink()
        if content is not None:
            path.write_bytes(content)
    RunFolder(copy)


@pytest.mark.parametrize("name", ["x" * 61, "a\nb", "..", "a\x1b[31m"])
def test_a_run_has_a_printable_name(tmp_path: Path, tiny: Config, name: str) -> None:
    with pytest.raises(RunFolderError, match="expected a name of at most 60 printable characters"):
        RunFolder.create(tmp_path / name, tiny)


Alter = Callable[[dict[str, list[Any]]], None]


def _far(table: dict[str, list[Any]]) -> None:
    table["row"][0] = 32


def _beside(table: dict[str, list[Any]]) -> None:
    table["row"][1], table["col"][1] = table["row"][0], table["col"][0]


def _close(table: dict[str, list[Any]]) -> None:
    table["row"][0], table["col"][0], table["pixels"][0] = 10, 10, 9
    table["row"][1], table["col"][1], table["pixels"][1] = 12, 8, 9


def _free(table: dict[str, list[Any]]) -> None:
    table["pixels"][0] = 1


def _void(table: dict[str, list[Any]]) -> None:
    table["void_pixels"][0] = 10


def _nan(table: dict[str, list[Any]]) -> None:
    table["score"][0] = float("nan")


def _stranger(table: dict[str, list[Any]]) -> None:
    table["image_id"][0] = "target/train/99999"


def _upside_down(table: dict[str, list[Any]]) -> None:
    for values in table.values():
        values.reverse()


def _more(table: dict[str, list[Any]]) -> None:
    """A whole image, window by window."""
    keep = [image_id != table["image_id"][0] for image_id in table["image_id"]]
    centres = [(row, col) for row in range(1, 31, 3) for col in range(1, 47, 3)]
    news: dict[str, Any] = {"image_id": table["image_id"][0], "score": 1.0, "pixels": 9, "void_pixels": 0}
    for name, values in table.items():
        kept = [value for value, stays in zip(values, keep, strict=True) if stays]
        index = {"row": 0, "col": 1}.get(name)
        table[name] = [news.get(name, 0) if index is None else centre[index] for centre in centres] + kept


FORGERIES: dict[str, tuple[Alter, str]] = {
    "outside": (_far, "a centre outside the image"),
    "twice": (_beside, "too close to each other"),
    "overlapping": (_close, "too close to each other"),
    "cheap": (_free, "a number of pixels that differs from the window's"),
    "void": (_void, "more void pixels than pixels"),
    "nan": (_nan, "a score that is not a finite number"),
    "stranger": (_stranger, "'target/train/99999' is not in the pool"),
    "order": (_upside_down, "out of the pool's order"),
    "budget": (_more, "more than the budget"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_made_up_purchase_with_a_fitting_digest_is_refused(copy: Path, forgery: str) -> None:
    alter, says = FORGERIES[forgery]
    (path,) = copy.glob("trials/*/round_00/purchase.parquet")
    table = pq.read_table(path)
    columns = table.to_pydict()
    alter(columns)
    pq.write_table(pa.Table.from_pydict(columns, table.schema), path)
    write_json(path.with_suffix(".json"), {"purchase_sha256": digest(path), "num_regions": len(columns["row"])})
    with pytest.raises(RunFolderError, match=says) as caught:
        _read_everything(copy)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "columns",
    [
        {"image_id": pa.array(["target/train/00000"])},
        {"row": pa.array([1], pa.int64()), "col": pa.array([1], pa.int64())},
        {"image_id": pa.array([None], pa.string()), "row": pa.array([None], pa.uint16())},
    ],
)
def test_other_columns_are_refused(copy: Path, columns: dict[str, Any]) -> None:
    (path,) = copy.glob("trials/*/round_00/purchase.parquet")
    pq.write_table(pa.table(columns), path)
    write_json(path.with_suffix(".json"), {"purchase_sha256": digest(path), "num_regions": 1})
    with pytest.raises(RunFolderError, match=r"purchase\.parquet: not a purchase \(ValueError: other columns"):
        _read_everything(copy)


def test_a_plausible_purchase_of_another_run_is_not_the_record_s(copy: Path) -> None:
    (path,) = copy.glob("trials/*/round_01/purchase.parquet")
    table = pq.read_table(path)
    kept = table.slice(0, table.num_rows - 1)
    pq.write_table(kept, path)
    labelled = sum(kept["pixels"].to_pylist()) - sum(kept["void_pixels"].to_pylist())
    write_json(path.with_name("classes.json"), {"class_pixels": [labelled]})
    write_json(path.with_suffix(".json"), {"purchase_sha256": digest(path), "num_regions": table.num_rows - 1})
    with pytest.raises(RunFolderError, match=r"record\.json: does not belong to the purchase in purchase\.parquet"):
        _read_everything(copy)


@pytest.mark.parametrize(
    "tree", [{}, {"class_pixels": [1]}, {"class_pixels": [-1]}, {"class_pixels": "7"}, None], ids=str
)
def test_class_counts_that_do_not_fit_the_purchase_are_refused(copy: Path, tree: dict[str, Any] | None) -> None:
    (path,) = copy.glob("trials/*/round_01/classes.json")
    if tree is None:
        path.unlink()
    else:
        write_json(path, tree)
    with pytest.raises(RunFolderError, match=r"round_01/classes\.json: "):
        _read_everything(copy)


def test_rounds_that_lost_what_lies_before_them_are_not_built_upon(copy: Path) -> None:
    (record,) = copy.glob("trials/*/round_00/record.json")
    content = record.read_bytes()
    record.unlink()
    with pytest.raises(RunFolderError, match=r"round_01/purchase\.json: bought, but round 0 before it"):
        _read_everything(copy)
    record.write_bytes(content)
    (purchase,) = copy.glob("trials/*/round_01/purchase.json")
    purchase.unlink()
    with pytest.raises(RunFolderError, match=r"round_01/purchase\.json: missing, but the round's record is there"):
        _read_everything(copy)
    shutil.rmtree(record.parent)
    purchase.touch()
    with pytest.raises(RunFolderError, match=r"round_01/purchase\.json: bought, but round 0 before it"):
        _read_everything(copy)
    assert not record.parent.exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"round": 1}, "the record of round 1, not of 0"),
        ({"miou": 1.5}, "a number is out of its range"),
        ({"miou": "0.5"}, "miou: Input should be a valid number"),
        ({"clicks": -1}, "a number is out of its range"),
        ({"step": 1.5}, "step"),
        ({"iou": []}, "iou"),
        ({"extra": 1}, "unknown keys"),
        ({"weights_sha256": "0" * 64}, "missing, torn or altered"),
        ({"spent_pixels": 10**6}, "does not belong to the purchase"),
    ],
)
def test_a_made_up_record_with_a_fitting_checksum_is_refused(copy: Path, changes: dict[str, Any], says: str) -> None:
    (path,) = copy.glob("trials/*/round_00/record.json")
    write_json(path, {**read_json(path), **changes})
    with pytest.raises(RunFolderError, match=says):
        _read_everything(copy)


@pytest.mark.parametrize("harm", ["other shape", "missing", "not tensors", "optimiser", "no keys"])
def test_made_up_weights_with_a_fitting_digest_are_refused(copy: Path, harm: str) -> None:
    (record,) = copy.glob("trials/*/round_00/record.json")
    weights = record.with_name("weights.pt")
    payload = torch.load(weights, weights_only=True)
    name = next(iter(payload["network"]))
    if harm == "other shape":
        payload["network"][name] = torch.zeros(3)
    if harm == "missing":
        del payload["network"][name]
    if harm == "not tensors":
        payload["network"] = [1, 2]
    if harm == "optimiser":
        payload["optimiser"] = {"state": {}, "param_groups": []}
    torch.save({"step": 1} if harm == "no keys" else payload, weights)
    write_json(record, {**read_json(record), "weights_sha256": digest(weights)})
    for path in copy.glob("trials/*/round_01"):
        shutil.rmtree(path)
    with pytest.raises(InputError, match=r"weights\.pt: ") as caught:
        _read_everything(copy)
    assert "\n" not in str(caught.value)


def test_overlaps_are_found_as_by_comparing_every_pair() -> None:
    from ripu_ray.runs.validate import _find_overlap

    rng = np.random.default_rng(0)
    found = 0
    for _ in range(300):
        reach = int(rng.integers(0, 6))
        centres_3N = np.stack([rng.integers(0, 3, 12), rng.integers(0, 40, 12), rng.integers(0, 40, 12)]).astype(
            np.int64
        )
        apart = np.abs(centres_3N[1:, :, None] - centres_3N[1:, None]).max(axis=0)
        same = centres_3N[0][:, None] == centres_3N[0][None]
        close = (apart <= reach) & same & ~np.eye(12, dtype=bool)
        position = _find_overlap(centres_3N, reach)
        assert (position is not None) == close.any()
        assert position is None or close[centres_3N[0] == position].any()
        found += position is not None
    assert 30 < found < 270
