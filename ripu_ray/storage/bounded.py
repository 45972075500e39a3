"""Read files from untrusted sources with bounded memory: sizes are checked first."""

import errno
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

TEXT_BYTES = 2**26
"""Limit of small files: 64 MiB. A JSON value takes about ten times the size of its text."""
_VALUES, _BYTES = 2**21, 2**27
"""Values of a column, and bytes, that a Parquet file of any size may hold."""
_VALUES_PER_BYTE, _GROWTH = 8, 64
"""What it may hold besides, for each byte of the file: centres of regions take 2 bytes or more each."""
_BATCH = 2**16


def read_limited(path: Path, max_bytes: int = TEXT_BYTES) -> bytes:
    """The content of a file. Raises OSError with one line as `strerror`: it cannot be read, or is larger."""
    size = path.stat().st_size
    if size > max_bytes:
        raise OSError(errno.EFBIG, f"{size} bytes: expected at most {max_bytes}", str(path))
    return path.read_bytes()


def read_json_value(path: Path) -> Any:
    """The value in a JSON file of at most `TEXT_BYTES`. Raises OSError: as `read_limited`; ValueError: no JSON."""
    try:
        return json.loads(read_limited(path).decode())
    except RecursionError:
        raise ValueError("nested too deep") from None


def read_parquet(content: bytes, columns: list[str] | None = None) -> "pa.Table":
    """The rows of a Parquet file, refused before they fill the memory: a few bytes can stand for billions of rows.

    Args:
        content: of the file.
        columns: to read; None: all.

    Raises:
        ValueError: one line: more content than such a file can have; some exceptions of pyarrow are ValueErrors, too.
        OSError, pyarrow.ArrowException: damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(pa.BufferReader(content))
    # As dictionaries, a text that is repeated is one text until its size is known.
    texts = [field.name for field in schema if _is_text(field.type)]
    file = pq.ParquetFile(pa.BufferReader(content), read_dictionary=texts)
    limit = _BYTES + _GROWTH * len(content)
    for index in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(index)
        values = max((group.column(number).num_values for number in range(group.num_columns)), default=0)
        _check(max(values, group.num_rows), _VALUES + _VALUES_PER_BYTE * len(content), "values", content)
        _check(group.total_byte_size, limit, "bytes", content)
    _check(file.metadata.num_rows, _VALUES + _VALUES_PER_BYTE * len(content), "rows", content)
    batches: list[pa.RecordBatch] = []
    size = 0
    for batch in file.iter_batches(_BATCH, columns=columns):
        size += sum(map(_decoded_bytes, batch.columns))
        _check(size, limit, "bytes", content)
        plain = [column.dictionary_decode() if _is_coded(column) else column for column in batch.columns]
        batches.append(pa.RecordBatch.from_arrays(plain, names=batch.schema.names))
    kept = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    return pa.Table.from_batches(batches) if batches else kept.empty_table()


def _check(found: int, limit: int, what: str, content: bytes) -> None:
    if found > limit:
        raise ValueError(f"{found} {what} in a file of {len(content)} bytes: expected at most {limit}")


def _is_text(kind: "pa.DataType") -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_string(kind) or kinds.is_binary(kind))


def _is_coded(column: "pa.Array") -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_dictionary(column.type))


def _decoded_bytes(column: "pa.Array") -> int:
    """Size of a column without its dictionary."""
    import pyarrow.compute as pc

    if not _is_coded(column) or not _is_text(column.type.value_type):
        return int(column.nbytes)
    return pc.sum(pc.binary_length(column.dictionary).take(column.indices)).as_py() or 0
