"""The file of one purchase, `purchase.parquet`: its columns, and reading it with its digest checked."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ripu_ray.config import Answer
from ripu_ray.errors import RunFolderError
from ripu_ray.storage.bounded import read_parquet
from ripu_ray.storage.checksums import read_json

SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("row", pa.uint16()),
        ("col", pa.uint16()),
        ("score", pa.float32()),
        ("pixels", pa.uint32()),
        ("void_pixels", pa.uint32()),
        ("boundary_pixels", pa.uint32()),
    ]
)
"""Regions are centred at (row, col), in label pixels; a score is that of the acquisition function."""
NAMED_SCHEMA = SCHEMA.append(pa.field("clicks", pa.uint32())).append(pa.field("classes", pa.list_(pa.uint8())))
"""With answers that are not masks: their price, and the classes that the annotator named, in ascending order."""


def read_purchase(commit: Path) -> pa.Table:
    """The purchase of one round as it was committed.

    Args:
        commit: `purchase.json`; the purchase is beside it.

    Raises:
        RunFolderError: a file is missing, truncated or altered.
    """
    path = commit.with_suffix(".parquet")
    expected = read_json(commit)
    if expected.keys() != {"purchase_sha256", "num_regions"}:
        raise RunFolderError(f"{commit}: not a committed purchase")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror})") from None
    if hashlib.sha256(content).hexdigest() != expected["purchase_sha256"]:
        raise RunFolderError(f"{path}: altered or torn since it was committed (its digest differs)")
    try:
        table = read_parquet(content)
        if table.schema not in (SCHEMA, NAMED_SCHEMA) or any(column.null_count for column in table.columns):
            raise ValueError("other columns, or values that are missing")
        table["image_id"].unique().to_pylist()  # raises for text that is not UTF-8
    except (OSError, ValueError, pa.ArrowException) as error:
        raise RunFolderError(f"{path}: not a purchase ({type(error).__name__}: {error})") from None
    if table.num_rows != expected["num_regions"]:
        raise RunFolderError(f"{commit}: num_regions is {expected['num_regions']}, {path.name} has {table.num_rows}")
    return table


def classes_column(named_NC: NDArray[np.bool_]) -> pa.Array:
    """The column `classes` of (n, C) bool named classes."""
    offsets = np.concatenate([[0], named_NC.sum(axis=1).cumsum()])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(named_NC.nonzero()[1], pa.uint8()))


def named_classes(table: pa.Table, answer: Answer | None, num_classes: int) -> NDArray[np.bool_]:
    """Read the classes that the annotator named.

    Args:
        table: of a purchase.
        answer: what was asked; None: whatever the table contains.
        num_classes: C.

    Returns:
        (n, C) bool; (0, 0) for masks.

    Raises:
        ValueError: other answers than those asked, a class that does not exist or is named twice, more classes than the
            answer has, or an impossible price.
    """
    is_named = "classes" in table.column_names
    if answer and is_named != (answer != "mask"):
        raise ValueError(f"{'classes' if is_named else 'masks'} bought, but oracle.answer is {answer}")
    if not is_named:
        return np.empty((0, 0), np.bool_)
    column, clicks_N = table["classes"].combine_chunks(), table["clicks"].to_numpy()
    ids_M, counts_N = column.flatten().to_numpy(zero_copy_only=False), np.diff(column.offsets.to_numpy())
    most = 1 if answer == "dominant" else num_classes
    # An id that is missing becomes NaN, which is not below C.
    if not (ids_M < num_classes).all() or (counts_N > most).any() or ((clicks_N < 1) | (clicks_N > most)).any():
        raise ValueError(f"an answer, or its price, that does not exist with {num_classes} classes")
    named_NC = np.zeros((table.num_rows, num_classes), np.bool_)
    named_NC[np.repeat(np.arange(table.num_rows), counts_N), ids_M] = True
    if named_NC.sum() != len(ids_M):
        raise ValueError("an answer names a class twice")
    return named_NC
