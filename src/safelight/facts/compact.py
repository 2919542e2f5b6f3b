"""Compact the shards of an exhibit into few files: one million rows in 2,000 files cost 37 times the query of 20 files.

Items and problems keep their order; contents and pictures are one row each, in ascending order of SHA-256. The result follows
from the shards alone.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from safelight.case import Case
from safelight.durable import sweep
from safelight.facts.layout import DESCRIPTOR, Layout
from safelight.facts.making import making
from safelight.facts.sorting import distinct_in_order
from safelight.facts.writer import TableWriter

ROWS_PER_FILE = 1_000_000
ORDERED = {"features": ("problems",), DESCRIPTOR: ("problems",)}
DISTINCT = {"features": ("features", "panels"), DESCRIPTOR: ("vectors",)}
"""Tables by what was extracted; else items and problems keep their order, contents and pictures are one row each."""

KEYS = {"panels": ("sha256", "number")}
"""What names a row of a distinct table, other than the SHA-256 alone."""


def compact(case: Case, exhibit: str, only: str) -> dict[str, list[Any]]:
    """Write the tables of an exhibit from its shards and return rows and digests by file name. The shards stay."""
    layout, kind = Layout(case.folder), DESCRIPTOR if only.startswith(DESCRIPTOR) else only
    sweep(layout.extracted(exhibit, only))  # what a worker that was killed on the way left: another has made that shard
    shards = sorted((layout.extracted(exhibit, only) / "shards").iterdir())
    files: dict[str, list[Any]] = {}
    with making(case, layout.tables(exhibit, only)) as made:
        folder = made.folder
        for table in ORDERED.get(kind, ("items", "problems")):
            parts = _Parts(folder, table)
            for shard in shards:
                parts.add(pq.ParquetFile(shard / f"{table}.parquet").read())
            files |= parts.close()
        for table in DISTINCT.get(kind, ("contents", "pictures")):
            parts = _Parts(folder, table)
            for rows in distinct_in_order((s / f"{table}.parquet" for s in shards), KEYS.get(table, ("sha256",)), folder / "sorting"):
                parts.add(rows)
            files |= parts.close()
        made.files = files
    return files


def drop_shards(layout: Layout, exhibit: str, only: str) -> None:
    """Remove the shards, once their tables stand in the ledger."""
    shutil.rmtree(layout.extracted(exhibit, only) / "shards", ignore_errors=True)


class _Parts:
    """Files `TABLE-0000.parquet` of at most `ROWS_PER_FILE` rows."""

    def __init__(self, folder: Path, table: str) -> None:
        self.folder, self.table = folder, table
        self._writer: TableWriter | None = None
        self._number = self._rows = 0
        self._files: dict[str, list[Any]] = {}

    def add(self, table: pa.Table) -> None:
        while table.num_rows:
            if self._writer is None:
                self._writer = TableWriter(self.folder / f"{self.table}-{self._number:04d}.parquet", self.table)
            room = ROWS_PER_FILE - self._rows
            self._writer.add_table(table.slice(0, room))
            self._rows += min(room, table.num_rows)
            table = table.slice(room)
            if self._rows >= ROWS_PER_FILE:
                self._end()

    def _end(self) -> None:
        if self._writer is not None:
            written = self._writer.close()
            self._files[self._writer.path.name] = [written.rows, written.sha256, written.logical]
            self._writer, self._rows, self._number = None, 0, self._number + 1

    def close(self) -> dict[str, list[Any]]:
        if self._writer is None and not self._files:
            self._writer = TableWriter(self.folder / f"{self.table}-0000.parquet", self.table)
        self._end()
        return self._files
