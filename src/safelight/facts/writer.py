"""Write facts as Parquet with pinned bytes: the same rows give the same file, wherever and however often they are written.

Four rules (measured, docs/decisions/0003-pinned-parquet.md): rows in a total order, `combine_chunks` before writing, explicit
writer constants, no time, host or path in the metadata. Another pyarrow may give other bytes, so each file also has a logical
digest of its rows that does not depend on the library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from safelight.durable import digest_file
from safelight.records import schema

ROW_GROUP = 65_536
ROW_GROUPS = {"pictures": 8_192, "features": 2_048, "vectors": 8_192}
"""Rows of a group in tables whose rows take kilobytes: a group is held in memory several times while it is written."""
_DICTIONARY = {"exhibit", "state", "type", "time_basis", "reader", "note", "media_type", "kind", "typed_by", "step", "mode", "decoder"}
_DICTIONARY |= {"set", "version", "as", "method", "transform", "form", "category", "exif_make", "exif_model", "problem"}


class Written(msgspec.Struct, frozen=True):
    """A finished table file: rows, SHA-256 of its bytes, and the logical digest of its rows."""

    rows: int
    sha256: str
    logical: str


class TableWriter:
    """One Parquet file of one table; rows arrive in order as tuples in column order, or as Arrow tables."""

    def __init__(self, path: Path, table: str) -> None:
        self.path, self.rows = path, 0
        self._table, self._schema = table, schema(table)
        self._group = ROW_GROUPS.get(table, ROW_GROUP)
        self._pending: list[Sequence[Any]] = []
        self._tables: list[pa.Table] = []
        self._buffered = 0
        self._logical = LogicalDigest()
        self._writer: pq.ParquetWriter | None = None

    def _open(self) -> pq.ParquetWriter:
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self.path,
                self._schema,
                version="2.6",
                compression="zstd",
                compression_level=3,
                use_dictionary=[n for n in self._schema.names if n in _DICTIONARY] or False,
                data_page_size=1 << 20,
                store_schema=False,
                write_page_index=True,
                write_statistics=True,
            )
        return self._writer

    def add(self, row: Sequence[Any]) -> None:
        """Append one row."""
        self._pending.append(row)
        if len(self._pending) >= self._group:
            self._fold()

    def add_table(self, table: pa.Table) -> None:
        """Append the rows of an Arrow table of the same schema."""
        self._fold()
        self._tables.append(table if table.schema.equals(self._schema) else table.cast(self._schema))
        self._buffered += table.num_rows
        self._flush(False)

    def _fold(self) -> None:
        if self._pending:
            columns = zip(*self._pending, strict=True)
            arrays = [pa.array(c, f.type) for c, f in zip(columns, self._schema, strict=True)]
            self._tables.append(pa.Table.from_arrays(arrays, schema=self._schema))
            self._buffered += len(self._pending)
            self._pending = []
        self._flush(False)

    def _flush(self, final: bool) -> None:
        while self._buffered >= self._group or (final and self._buffered):
            whole = pa.concat_tables(self._tables)
            group = whole.slice(0, self._group).combine_chunks()
            self._open().write_table(group, row_group_size=self._group)
            self._logical.update(group)
            self.rows += group.num_rows
            rest = whole.slice(group.num_rows)
            self._tables = [rest] if rest.num_rows else []
            self._buffered = rest.num_rows

    def close(self) -> Written:
        """Write what is left and return what the file is."""
        self._fold()
        self._flush(True)
        if self.rows == 0 and self._table in _EMPTY:
            data, written = _EMPTY[self._table]
            self.path.write_bytes(data)
            return written
        self._open().close()
        written = Written(self.rows, digest_file(self.path), self._logical.hexdigest())
        if self.rows == 0:
            _EMPTY[self._table] = self.path.read_bytes(), written
        return written


_EMPTY: dict[str, tuple[bytes, Written]] = {}
"""Files without rows by table: most shards have no problems and many no pictures, and all such files are the same."""


class LogicalDigest:
    """SHA-256 over rows, independent of the library that stored them.

    Rows are taken in the groups of the file (`ROW_GROUPS`, the last may be shorter); per column of a group: which values are present (one bit each,
    little-endian), then the values: numbers as little-endian bytes with 0 for null, text and bytes as their lengths (int64) and
    their concatenation, lists as their lengths and then the digest input of their items.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, group: pa.Table) -> None:
        """Add one group (all groups but the last are full)."""
        self._hash.update(f"{group.num_rows}\n".encode())
        for name, column in zip(group.column_names, group.columns, strict=True):
            self._hash.update(f"{name}\n".encode())
            for part in _flat(column.combine_chunks()):
                self._hash.update(part)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def _flat(array: Any) -> Iterable[bytes]:
    """Yield the bytes that stand for an Arrow array in a logical digest."""
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    yield np.packbits(array.is_valid().to_numpy(zero_copy_only=False), bitorder="little").tobytes()
    kind = array.type
    if pa.types.is_map(kind):
        array = array.cast(pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())])))
        yield pc.fill_null(pc.list_value_length(array), 0).cast(pa.int64()).to_numpy().astype("<i8").tobytes()
        items = pc.list_flatten(array)
        yield from _flat(pc.struct_field(items, 0))
        yield from _flat(pc.struct_field(items, 1))
    elif pa.types.is_list(kind):
        yield pc.fill_null(pc.list_value_length(array), 0).cast(pa.int64()).to_numpy().astype("<i8").tobytes()
        yield from _flat(pc.list_flatten(array))
    elif pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind):
        values = array.cast(pa.binary()) if not pa.types.is_binary(kind) else array
        lengths = pc.fill_null(pc.binary_length(values), 0).cast(pa.int64()).to_numpy().astype("<i8")
        yield lengths.tobytes()
        yield _joined(values.drop_null())
    elif pa.types.is_boolean(kind):
        yield np.packbits(pc.fill_null(array, False).to_numpy(zero_copy_only=False), bitorder="little").tobytes()
    else:
        yield pc.fill_null(array, 0).to_numpy(zero_copy_only=False).astype(f"<{'f8' if pa.types.is_floating(kind) else 'i8'}").tobytes()


def _joined(values: Any) -> bytes:
    """Return the bytes of a binary array without nulls, one behind the other, as they lie in its buffer."""
    _, offsets, data = values.buffers()
    if not len(values) or data is None:
        return b""
    ends = np.frombuffer(offsets, "<i4")
    return bytes(memoryview(data)[ends[values.offset] : ends[values.offset + len(values)]])


def logical_digest(path: Path) -> str:
    """Return the logical digest of a table file."""
    digest, file = LogicalDigest(), pq.ParquetFile(path)
    for index in range(file.num_row_groups):
        digest.update(file.read_row_group(index))
    return digest.hexdigest()
