"""Purchases are written once and read back unchanged; a partial ledger is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ripu_ray.core.budget import Spent
from ripu_ray.errors import RunFolderError
from ripu_ray.runs.ledger import Ledger
from ripu_ray.runs.selections import Selection

POOL = ("b", "a", "c")


def selection(image_id: str, *centres: tuple[int, int]) -> Selection:
    number = len(centres)
    return Selection(
        image_id,
        np.array(centres, np.uint16).reshape(-1, 2),
        np.linspace(1, 0.5, number, dtype=np.float32),
        np.full(number, 6, np.uint32),
        np.arange(number, dtype=np.uint32),
        np.full(number, 3, np.uint32),
        np.array([[6 * number - number * (number - 1) // 2, 0]], np.int64),
    )


def test_rounds_add_up_and_are_read_back(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, POOL, purchase_pixels=9)
    ledger.commit(0, [selection("a", (1, 2), (3, 4)), selection("c"), selection("b", (65535, 0))])
    ledger.commit(1, [selection("a", (9, 9)), selection("b"), selection("c")])
    for read in (ledger, Ledger(tmp_path, POOL, purchase_pixels=9)):
        assert read.num_rounds == 2
        assert read.centres("a").tolist() == [[1, 2], [3, 4], [9, 9]]
        assert read.centres("b").tolist() == [[65535, 0]]
        assert read.centres("c").shape == (0, 2)
        assert read.spent == Spent(pixels=24, void_pixels=1, clipped_pixels=12, clicks=4, boundary_pixels=12)
        assert list(read.annotated()) == list(POOL)


def test_the_file_is_a_plain_table_in_the_order_of_the_pool(tmp_path: Path) -> None:
    Ledger(tmp_path, POOL, 9).commit(0, [selection("c", (5, 6)), selection("a", (1, 2), (3, 4)), selection("b")])
    table = pq.read_table(tmp_path / "round_00" / "purchase.parquet").to_pydict()
    assert table["image_id"] == ["a", "a", "c"]
    assert list(zip(table["row"], table["col"], strict=True)) == [(1, 2), (3, 4), (5, 6)]
    assert table["score"] == [1.0, 0.5, 1.0]


def test_the_order_of_the_answers_does_not_change_a_byte(tmp_path: Path) -> None:
    answers = [selection("a", (1, 2)), selection("b", (3, 4)), selection("c")]
    Ledger(tmp_path / "x", POOL, 9).commit(0, answers)
    Ledger(tmp_path / "y", POOL, 9).commit(0, reversed(answers))
    for name in ("purchase.parquet", "purchase.json"):
        assert (tmp_path / "x/round_00" / name).read_bytes() == (tmp_path / "y/round_00" / name).read_bytes()


def test_a_round_must_follow_and_cover_the_pool(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, POOL, 9)
    with pytest.raises(ValueError, match="round 1 cannot follow 0 rounds"):
        ledger.commit(1, [selection(image_id) for image_id in POOL])
    with pytest.raises(ValueError, match="does not cover the pool"):
        ledger.commit(0, [selection("a")])
    assert Ledger(tmp_path, POOL, 9).num_rounds == 0


def test_a_round_that_buys_nothing_is_a_round(tmp_path: Path) -> None:
    Ledger(tmp_path, POOL, 9).commit(0, [selection(image_id) for image_id in POOL])
    read = Ledger(tmp_path, POOL, 9)
    assert (read.num_rounds, read.spent) == (1, Spent())


def test_an_uncommitted_purchase_is_not_bought(tmp_path: Path) -> None:
    Ledger(tmp_path, POOL, 9).commit(0, [selection(image_id, (1, 1)) for image_id in POOL])
    (tmp_path / "round_00" / "purchase.json").unlink()
    assert Ledger(tmp_path, POOL, 9).spent == Spent()


def _flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("purchase.parquet", _flip_a_byte),
        ("purchase.parquet", _tear),
        ("purchase.parquet", Path.unlink),
        ("purchase.json", _flip_a_byte),
        ("purchase.json", _tear),
    ],
)
def test_damage_is_found_and_named(tmp_path: Path, name: str, harm: Callable[[Path], None]) -> None:
    Ledger(tmp_path, POOL, 9).commit(0, [selection(image_id, (1, 1)) for image_id in POOL])
    harm(tmp_path / "round_00" / name)
    with pytest.raises(RunFolderError, match="round_00/purchase") as caught:
        Ledger(tmp_path, POOL, 9)
    assert "\n" not in str(caught.value)


def test_images_outside_the_pool_are_refused(tmp_path: Path) -> None:
    Ledger(tmp_path, POOL, 9).commit(0, [selection(image_id, (1, 1)) for image_id in POOL])
    with pytest.raises(RunFolderError, match="image 'c' is not in the pool"):
        Ledger(tmp_path, ("a", "b"), 9)


def test_a_ledger_whose_commit_is_not_json_is_refused(tmp_path: Path) -> None:
    Ledger(tmp_path, POOL, 9).commit(0, [selection(image_id, (1, 1)) for image_id in POOL])
    (tmp_path / "round_00" / "purchase.json").write_text(json.dumps([1]))
    with pytest.raises(RunFolderError, match="expected keys and values, found list"):
        Ledger(tmp_path, POOL, 9)


def test_class_counts_add_up_and_belong_to_the_classes_of_the_data(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, POOL, 9)
    for round_index, number in enumerate((2, 1)):
        centres = [(10 * round_index + index, 5) for index in range(number)]
        ledger.commit(round_index, [selection("a", *centres), selection("b"), selection("c")])
    for read in (ledger, Ledger(tmp_path, POOL, 9)):
        assert read.class_pixels(2).tolist() == [11 + 6, 0]
        with pytest.raises(RunFolderError, match=r"round_00/classes\.json: counts of 2 classes, the data has 3"):
            read.class_pixels(3)
