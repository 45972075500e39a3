"""The file of one purchase, `purchase.parquet`: its columns, and reading it with its digest checked."""

import hashlib
from pathlib import Path

import pyarrow as pa

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
        if not table.schema.equals(SCHEMA) or any(column.null_count for column in table.columns):
            raise ValueError("other columns, or values that are missing")
        table["image_id"].unique().to_pylist()  # raises for text that is not UTF-8
    except (OSError, ValueError, pa.ArrowException) as error:
        raise RunFolderError(f"{path}: not a purchase ({type(error).__name__}: {error})") from None
    if table.num_rows != expected["num_regions"]:
        raise RunFolderError(f"{commit}: num_regions is {expected['num_regions']}, {path.name} has {table.num_rows}")
    return table
