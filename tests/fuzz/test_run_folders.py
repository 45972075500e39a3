"""Ledgers and run folders with random changes."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripu_ray.config import Budget, StrategyConfig, load_config
from ripu_ray.core.geometry import cover
from ripu_ray.reporting.results import collect
from ripu_ray.runs.ledger import Ledger
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.runs.validate import PurchaseCheck
from ripu_ray.storage.checksums import write_json
from ripu_ray.storage.files import digest
from tests.conftest import TINY
from tests.fuzz.cases import attempt, fuzzed, harms, scalars, trees
from tests.running import run_all

POOL = ("b", "a", "c")
SIZES = ((20, 30), (9, 9), (300, 8))
STRATEGY = StrategyConfig(budget=Budget.parse("20"), rounds=2)


def _rounds() -> list[pa.Table]:
    """Two purchases of windows of 3x3 that do not touch."""
    tables = []
    for column in (1, 5):
        rows: list[tuple[Any, ...]] = [
            (name, row, column, 1.0, 9 if 0 < row < size[0] - 1 else 6, 1, 0)
            for name, size in zip(POOL, SIZES, strict=True)
            for row in range(0, min(size[0], 15), 5)
        ]
        rows = [row for row in rows if row[0] != "a" or (row[1] == 0 and column == 1)]
        types = (pa.string(), pa.uint16(), pa.uint16(), pa.float32(), pa.uint32(), pa.uint32(), pa.uint32())
        names = ("image_id", "row", "col", "score", "pixels", "void_pixels", "boundary_pixels")
        columns = zip(*rows, strict=True)
        tables.append(pa.table({n: pa.array(c, t) for n, c, t in zip(names, columns, types, strict=True)}))
    return tables


def _write(folder: Path, tables: list[pa.Table]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for index, table in enumerate(tables):
        path = folder / f"round_{index:02d}" / "purchase.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(table, path)
        counts = {name: sum(table[name].to_pylist()) for name in table.column_names if name.endswith("pixels")}
        labelled = counts.get("pixels", 0) - counts.get("void_pixels", 0)
        write_json(path.with_name("classes.json"), {"class_pixels": [labelled, 0]})
        write_json(path.with_suffix(".json"), {"purchase_sha256": digest(path), "num_regions": table.num_rows})


def _open(folder: Path) -> Ledger | None:
    return attempt(lambda: Ledger(folder, POOL, 9, PurchaseCheck(SIZES, STRATEGY)), str(folder))


def _check(ledger: Ledger | None) -> None:
    """What is believed could have been bought: windows in the image, apart, within the budget, and counted right."""
    if ledger is None:
        return
    total = 0
    for image_id, size in zip(POOL, SIZES, strict=True):
        centres = ledger.centres(image_id)
        assert all(0 <= row < size[0] and 0 <= col < size[1] for row, col in centres.tolist())
        windows = sum(int(cover(size, centre[None], 1).sum()) for centre in centres)
        assert windows == int(cover(size, centres, 1).sum()) <= STRATEGY.budget.pixels(size[0] * size[1])
        total += windows
    assert ledger.spent.pixels == total
    assert ledger.spent.void_pixels <= total


def test_the_ledger_itself_is_believed(tmp_path: Path) -> None:
    _write(tmp_path / "ledger", _rounds())
    ledger = _open(tmp_path / "ledger")
    assert ledger
    assert (ledger.num_rounds, ledger.spent.clicks) == (2, 13)
    _check(ledger)


@fuzzed
@given(st.integers(0, 1), st.booleans(), harms(), st.booleans())
def test_any_bytes_of_a_ledger(
    tmp_path_factory: pytest.TempPathFactory, index: int, table: bool, harm: Callable[[bytes], bytes], fitting: bool
) -> None:
    folder = tmp_path_factory.getbasetemp() / "ledger_bytes"
    _write(folder, _rounds())
    path = folder / f"round_{index:02d}" / ("purchase.parquet" if table else "purchase.json")
    path.write_bytes(harm(path.read_bytes()))
    if table and fitting:
        rows = _rounds()[index].num_rows
        write_json(path.with_suffix(".json"), {"purchase_sha256": digest(path), "num_regions": rows})
    _check(_open(folder))


cells = st.one_of(st.integers(0, 40), st.sampled_from([299, 300, 65535, 2**31, 2**32 - 1]))


@fuzzed
@given(
    st.integers(0, 1),
    st.sampled_from(["row", "col", "pixels", "void_pixels", "image_id", "score"]),
    st.lists(st.tuples(st.integers(0, 6), cells), min_size=1, max_size=3),
    st.sampled_from(["cells", "twice", "reversed", "dropped", "renamed", "retyped"]),
)
def test_any_rows_with_a_fitting_digest(
    tmp_path_factory: pytest.TempPathFactory, index: int, name: str, changes: list[tuple[int, int]], kind: str
) -> None:
    tables = _rounds()
    columns = tables[index].to_pydict()
    if kind == "cells":
        for row, value in changes:
            place = row % len(columns[name])
            cell: Any = value if name != "image_id" else (*POOL, "x")[value % 4]
            columns[name][place] = (
                float("nan") if name == "score" else min(cell, 65535) if name in ("row", "col") else cell
            )
    if kind == "twice":
        columns = {key: sorted(values * 2) if key == "image_id" else values * 2 for key, values in columns.items()}
    if kind == "reversed":
        columns = {key: values[::-1] for key, values in columns.items()}
    table = pa.Table.from_pydict(columns, tables[index].schema)
    if kind == "dropped":
        table = table.drop_columns([name])
    if kind == "renamed":
        table = table.rename_columns([f"{key}x" if key == name else key for key in table.column_names])
    if kind == "retyped" and name != "image_id":
        place = table.column_names.index(name)
        table = table.set_column(place, name, table[name].cast(pa.float64()))
    tables[index] = table
    folder = tmp_path_factory.getbasetemp() / "ledger_rows"
    _write(folder, tables)
    _check(_open(folder))


@fuzzed
@given(st.dictionaries(st.sampled_from(["purchase_sha256", "num_regions", "seal", "x"]), scalars | trees, max_size=4))
def test_any_commit(tmp_path_factory: pytest.TempPathFactory, tree: dict[str, Any]) -> None:
    folder = tmp_path_factory.getbasetemp() / "ledger_commit"
    _write(folder, _rounds())
    (folder / "round_01" / "purchase.json").write_bytes(json.dumps(tree).encode(errors="surrogatepass"))
    _check(_open(folder))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, pd.DataFrame]]:
    """A finished run and its results."""
    quick = ("cluster.scorers=0", "training.warmup_steps=1", "training.round_steps=1")
    run = run_all(tmp_path_factory.mktemp("runs") / "finished", load_config(None, (*TINY, *quick)))
    yield run.path, collect(run)


PLACES = (
    "config.yaml",
    "environment.json",
    "trials",
    "warmups",
    "trials/*",
    "warmups/*",
    "warmups/*/record.json",
    "warmups/*/seconds.json",
    "warmups/*/confusion.json",
    "trials/*/round_00",
    *(
        f"trials/*/round_0{index}/{name}"
        for index in (0, 1)
        for name in (
            *("record.json", "seconds.json", "confusion.json", "weights.pt", "purchase.parquet", "purchase.json"),
        )
    ),
)


def _rows(results: pd.DataFrame) -> set[str]:
    """Each row as text, without what it has not; columns come in the order in which they were first met."""
    rows = ({str(key): value for key, value in row.items() if value == value} for row in results.to_dict("records"))
    return {str(sorted(row.items())) for row in rows}


DEEDS = ("delete", "folder", "file", "link out", "link to itself", "dangling link", "pipe", "harm", "swap", "long name")


def _do(path: Path, deed: str, other: Path, harm: Callable[[bytes], bytes]) -> None:
    content = path.read_bytes() if path.is_file() else b""
    if deed == "harm":
        if path.is_file():
            path.write_bytes(harm(content))
        return
    if deed == "swap":
        if path.is_file() and other.is_file():
            theirs = other.read_bytes()
            other.write_bytes(content)
            path.write_bytes(theirs)
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif deed != "long name":
        path.unlink()
    if deed == "folder":
        path.mkdir()
    elif deed == "file":
        path.write_bytes(harm(b"file"))
    elif deed == "link out":
        path.symlink_to("/etc/passwd")
    elif deed == "link to itself":
        path.symlink_to(path)
    elif deed == "dangling link":
        path.symlink_to(path.with_name("nothing"))
    elif deed == "pipe":
        os.mkfifo(path)


@fuzzed
@given(
    st.lists(
        st.tuples(st.sampled_from(PLACES), st.sampled_from(DEEDS), st.sampled_from(PLACES), harms()),
        min_size=1,
        max_size=2,
    )
)
def test_any_run_folder(
    tmp_path_factory: pytest.TempPathFactory, finished: tuple[Path, pd.DataFrame], deeds: list[tuple[Any, ...]]
) -> None:
    """Of what is still read, every row is one that was there, as it was."""
    original, results = finished
    folder = tmp_path_factory.getbasetemp() / "spoilt"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(original, folder)
    for place, deed, other, harm in deeds:
        paths = [next(folder.glob(pattern), None) for pattern in (place, other)]
        if paths[0] and paths[1]:
            _do(paths[0], deed, paths[1], harm)

    def read() -> pd.DataFrame:
        run = RunFolder(folder)
        for trial_id in run.trials:
            run.is_finished(trial_id)
            run.trial(trial_id).stage(0).confusion()
            Ledger(run.trial(trial_id).path, [f"target/train/{i:05d}" for i in range(5)], 9)
        return collect(run)

    found = attempt(read)
    if found is not None and len(found):
        assert _rows(found) <= _rows(results)


@fuzzed
@given(st.text(max_size=300) | st.sampled_from(["..", ".", "", "/etc", "a/b", "\0", "\udcff", "x" * 300]))
def test_any_name_of_a_trial(finished: tuple[Path, pd.DataFrame], name: str) -> None:
    run = RunFolder(finished[0])
    folder = attempt(lambda: run.trial(name))
    if folder is not None:
        assert folder.path.parent == run.path / "trials"
        assert not folder.stage(0).is_committed()


def test_columns_that_are_not_ours_do_not_travel(tmp_path: Path) -> None:
    """A table with a further column is not a purchase of ours."""
    tables = _rounds()
    tables[1] = tables[1].append_column("x", pa.array(np.zeros(tables[1].num_rows)))
    _write(tmp_path / "ledger", tables)
    assert _open(tmp_path / "ledger") is None
