"""Lists of names of images: a text file, one name a line, or a Parquet file, one name a row."""

import re
from collections.abc import Iterator
from pathlib import Path

from ripu_ray.errors import DataError, first_line
from ripu_ray.storage.bounded import read_limited, read_parquet

GAP = re.compile(r"[\s,;]+")
"""Between the columns of a line."""
COLUMN = "image"
"""Of a Parquet file that has several columns."""


def read_names(file: Path) -> list[tuple[str, str]]:
    """The names in a list, on this machine or behind a URL.

    Args:
        file: `.parquet`: its only column, or its column `image`; else text in UTF-8. Empty lines and those that begin
            with "# " are passed over.

    Returns:
        Place in the file, such as "line 2", and name, in the order of the file.

    Raises:
        DataError: the file cannot be read, is of another kind, or names nothing.
    """
    try:
        if file.exists() and not file.is_file():
            raise DataError(f"{file}: not a file")
        named = list(_rows(file) if file.suffix.lower() == ".parquet" else _lines(file))
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from None
    if not named:
        raise DataError(f"{file}: names no image")
    return named


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = read_limited(file).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{file}: not a list of file names in UTF-8") from None
    for number, line in enumerate(lines, 1):
        text = line.strip().replace("\\", "/")
        if text and not text.startswith("# "):
            yield f"line {number}", text


def _rows(file: Path) -> Iterator[tuple[str, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = read_limited(file)
    try:
        names = pq.read_schema(pa.BufferReader(content)).names
        column = names[0] if len(names) == 1 else COLUMN
        if column not in names:
            raise DataError(f"{file}: has the columns {', '.join(names)}: expected one of them to be {COLUMN!r}")
        values = read_parquet(content, [column])[column].to_pylist()
    except DataError:
        raise
    except (ValueError, pa.ArrowException) as error:
        raise DataError(f"{file}: not a Parquet file ({first_line(error)})") from None
    for number, value in enumerate(values, 1):
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{file}: row {number}: {column} is {value!r}: expected the name of an image")
        yield f"row {number}", value.strip()
