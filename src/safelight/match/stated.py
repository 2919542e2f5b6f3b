"""The table of what a source states, `entries.parquet`: row n of it is row n of the arrays of a version (`indexes.py`)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from safelight.match.entries import WIDTHS, Block, Columns, Record
from safelight.match.pdq import QUALITY

ROWS = 65_536
"""Rows of a row group."""
MOST_BYTES = 16 << 20
"""Bytes that are held; long texts are written before there are so many rows."""
VARIED = ("value", "position", "line")
"""Columns whose values hardly repeat: no dictionary; digests are not compressed either, they cannot be."""


def entries_schema() -> Any:
    """Return the Arrow schema of entries.parquet."""
    import pyarrow as pa

    value = pa.struct([pa.field("method", pa.string()), pa.field("value", pa.binary())])
    return pa.schema(
        [
            pa.field("position", pa.int64()),
            pa.field("line", pa.int64()),
            pa.field("repeats", pa.int64()),
            pa.field("digests", pa.list_(value)),
            pa.field("opaque", pa.list_(value)),
            pa.field("category", pa.string()),
            pa.field("category_stated", pa.bool_()),
            pa.field("scheme", pa.string()),
            pa.field("media_id", pa.string()),
            pa.field("series", pa.string()),
            pa.field("flags", pa.map_(pa.string(), pa.bool_())),
            pa.field("quality", pa.int16()),
            pa.field("scope", pa.string()),
            pa.field("trivial_content", pa.bool_()),
            pa.field("low_quality", pa.bool_()),
            pa.field("rejected", pa.list_(pa.string())),
            pa.field("extra", pa.map_(pa.string(), pa.string())),
        ]
    )


def is_low(record: Record) -> bool:
    return record.quality is not None and record.quality < QUALITY


def _column(name: str, batch: list[Record]) -> list[Any]:
    if name in ("flags", "extra"):
        return [list(getattr(r, name).items()) or None for r in batch]
    if name in ("digests", "opaque"):
        return [[{"method": m, "value": v} for m, v in getattr(r, name)] or None for r in batch]
    if name == "rejected":
        return [r.rejected or None for r in batch]
    if name == "trivial_content":
        return [r.trivial for r in batch]
    if name == "low_quality":
        return [is_low(r) for r in batch]
    return [getattr(r, name) for r in batch]


def table_of_records(batch: list[Record]) -> Any:
    """Return the rows of some records."""
    import pyarrow as pa

    schema = entries_schema()
    return pa.Table.from_arrays([pa.array(_column(field.name, batch), field.type) for field in schema], schema=schema)


def table_of_block(block: Block, columns: Columns) -> Any:
    """Return the rows of a block, the same as those of its records."""
    import pyarrow as pa
    import pyarrow.compute as pc

    schema, count = entries_schema(), columns.count
    stated: dict[str, Any] = {
        "position": pa.array(columns.positions),
        "line": pa.array(columns.lines),
        "repeats": pa.array(columns.repeats),
        "digests": _digests(block, columns, schema.field("digests").type),
        "category_stated": pa.array(np.full(count, columns.codes is not None)),
        "trivial_content": pa.array(np.zeros(count, bool)),
        "low_quality": pa.array(np.zeros(count, bool)),
    }
    if columns.codes is not None:
        stated["category"] = pc.take(pa.array(block.categories, pa.string()), pa.array(columns.codes))
    return pa.Table.from_arrays([stated.get(f.name, pa.nulls(count, f.type)) for f in schema], schema=schema)


def _digests(block: Block, columns: Columns, kind: Any) -> Any:
    """Return the lists of (method, value) of a block: each record has one value of each method."""
    import pyarrow as pa

    count, methods = columns.count, block.methods
    names = np.frombuffer("".join(methods).encode() * count, np.uint8)
    widths = np.tile([WIDTHS[m] for m in methods], count)
    values = pa.BinaryArray.from_buffers(pa.binary(), len(widths), [None, _offsets(widths), pa.py_buffer(block.digests)])
    texts = pa.StringArray.from_buffers(len(widths), _offsets(np.tile([len(m) for m in methods], count)), pa.py_buffer(names))
    pairs = pa.StructArray.from_arrays([texts, values], fields=list(kind.value_type))
    return pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32) * len(methods)), pairs, type=kind)


def _offsets(lengths: Any) -> Any:
    import pyarrow as pa

    return pa.py_buffer(np.concatenate([[0], np.cumsum(lengths)]).astype("<i4"))


class StatedTable:
    """Writes entries.parquet; small tables are put together, so that row groups are large whatever comes."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self.schema = entries_schema()
        empty = io.BytesIO()
        pq.write_table(self.schema.empty_table(), empty)
        leaves = pq.ParquetFile(empty).schema
        names = [leaves.column(n).path for n in range(len(leaves))]
        repeating = [n for n in names if n.split(".")[-1] not in VARIED]
        packed = {n: "none" if n.endswith(".value") and not n.startswith(("extra", "flags")) else "zstd" for n in names}
        self.writer = pq.ParquetWriter(
            path, self.schema, compression=packed, version="2.6", store_schema=False, use_dictionary=repeating, write_statistics=False
        )
        self.held: list[Any] = []
        self.rows = self.bytes = 0

    def add(self, table: Any) -> None:
        """Append the rows of a table."""
        self.held.append(table)
        self.rows += table.num_rows
        self.bytes += table.nbytes
        if self.rows >= ROWS or self.bytes >= MOST_BYTES:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        if self.held:
            held, self.held, self.rows, self.bytes = pa.concat_tables(self.held), [], 0, 0
            self.writer.write_table(held, row_group_size=ROWS)

    def close(self) -> None:
        """Write what is left."""
        self._write()
        self.writer.close()
