"""Write the entries and indexes of one version of a set while its records stream by; nothing is kept per record in memory."""

from __future__ import annotations

import array
from pathlib import Path
from typing import Any

import numpy as np

from safelight.match import canaries
from safelight.match.conflicts import Conflicts, Opaque
from safelight.match.entries import WIDTHS, Block, Columns, Record, Refused
from safelight.match.indexes import MARK_CANARY, MARK_LOW_QUALITY, MARK_TRIVIAL, ROW_ARRAYS, UNKNOWN_QUALITY, write_index
from safelight.match.pdq_index import PdqIndex, write_pdq
from safelight.match.schemes import is_uncategorised
from safelight.match.spill import Spill
from safelight.match.stated import StatedTable, is_low, table_of_block, table_of_records

BATCH = 32_768
BATCH_BYTES = 16 << 20
"""Text and opaque bytes of a batch, so that long comments do not grow memory."""
MOST_CATEGORIES = 60_000


class SetWriter:
    """Takes records in the order of the source; `finish` writes indexes and row arrays. Row n is the n-th record that was added."""

    def __init__(self, folder: Path, set_id: str) -> None:
        self.folder, self.set_id = folder, set_id
        self.spills: dict[str, Spill] = {}
        self.keys: dict[str, tuple[bytearray, array.array[int]]] = {}
        self.conflict_counter, self.opaque = Conflicts(folder), Opaque(folder)
        self.numbers: dict[tuple[str | None, str | None], int] = {(None, None): 0}
        self.batch: list[Record] = []
        self.batch_bytes = 0
        self.rows = self.low_quality = self.used_pdq = self.duplicates = self.total_rows = 0
        self.conflicts: dict[str, int] = {}
        self.methods: dict[str, int] = {}
        self.stated = StatedTable(folder / "entries.parquet")
        self.arrays = {name: (folder / name).open("wb") for name, _ in ROW_ARRAYS}

    def add(self, record: Record) -> None:
        """Take one record. What a reader answered is checked: widths of digests, lengths, numbers."""
        for method, raw in record.digests:
            if WIDTHS.get(method) != len(raw):
                raise Refused(f"record {record.position}: the reader answered {len(raw)} bytes as {method}")
            keys, rows = self.keys.setdefault(method, (bytearray(), array.array("Q")))
            keys += raw
            rows.append(self.rows)
        if not (record.digests or record.opaque) or record.repeats < 1 or not 0 < record.position < 1 << 62:
            raise Refused(f"record {record.position}: the reader answered a record that cannot be")
        category = (None, None) if record.category is None else (record.scheme, record.category)
        self.conflict_counter.add(record, self._number(category))
        if record.opaque:
            self.opaque.add(record)
        self.batch.append(record)
        self.rows += 1
        self.batch_bytes += sum(map(len, record.extra.values())) + sum(len(raw) for _, raw in record.opaque) + len(record.series or "")
        if len(self.batch) >= BATCH or self.batch_bytes >= BATCH_BYTES:
            self._flush()

    def _number(self, category: tuple[str | None, str | None]) -> int:
        number = self.numbers.setdefault(category, len(self.numbers))
        if number >= MOST_CATEGORIES:
            raise Refused(f"more than {MOST_CATEGORIES} different categories")
        return number

    def add_block(self, block: Block, columns: Columns) -> None:
        """Take the records of a block, whose columns were checked."""
        self._flush()
        numbers = np.zeros(columns.count, np.uint32)
        if columns.codes is not None:
            used, seen = np.unique(columns.codes, return_index=True)
            own = np.zeros(len(block.categories), np.uint32)
            for code in used[np.argsort(seen)].tolist():
                text = block.categories[code]
                own[code] = self._number((None, None) if text is None else (None, text))
            numbers = own[columns.codes]
        self.conflict_counter.add_block(columns, numbers)
        self.stated.add(table_of_block(block, columns))
        unknown = np.full(columns.count, UNKNOWN_QUALITY, np.uint8)
        self._write_arrays(columns.positions, numbers, np.zeros(columns.count, np.uint8), unknown)
        rows = np.arange(self.rows, self.rows + columns.count, dtype=np.uint64)
        for method, digests in columns.digests.items():
            self._spill(method, digests, rows)
        self.rows += columns.count

    def _flush(self) -> None:
        batch, self.batch, self.batch_bytes = self.batch, [], 0
        if batch:
            self.stated.add(table_of_records(batch))
            low = [is_low(r) for r in batch]
            self.low_quality += sum(low)
            numbers = [self.numbers[(None, None) if r.category is None else (r.scheme, r.category)] for r in batch]
            marks = [MARK_TRIVIAL * r.trivial + MARK_LOW_QUALITY * below for r, below in zip(batch, low, strict=True)]
            qualities = [UNKNOWN_QUALITY if r.quality is None else max(0, min(r.quality, 100)) for r in batch]
            self._write_arrays([r.position for r in batch], numbers, marks, qualities)
        for method, (keys, rows) in self.keys.items():
            self._spill(method, np.frombuffer(bytes(keys), np.uint8).reshape(-1, WIDTHS[method]), np.array(rows, np.uint64))
            keys.clear()
            del rows[:]

    def _write_arrays(self, *columns: Any) -> None:
        for (name, dtype), values in zip(ROW_ARRAYS, columns, strict=True):
            self.arrays[name].write(np.asarray(values, dtype).tobytes())

    def _spill(self, method: str, keys: Any, rows: Any) -> None:
        if method not in self.spills:
            self.spills[method] = Spill(self.folder, method, WIDTHS[method] + 8)
        numbers = rows.astype(">u8").view(np.uint8).reshape(-1, 8)
        self.spills[method].add(np.concatenate([keys, numbers], axis=1))

    def _plant(self) -> None:
        """Add the canaries of each index as rows after the last entry."""
        count = canaries.COUNT
        for method in list(self.spills):
            self._spill(method, canaries.keys(self.set_id, method), np.arange(self.total_rows, self.total_rows + count, dtype=np.uint64))
            self._write_arrays([-1] * count, [0] * count, [MARK_CANARY] * count, [UNKNOWN_QUALITY] * count)
            self.total_rows += count

    def finish(self, scheme: str | None) -> tuple[dict[str, int], dict[str, int]]:
        """Write what is left; return (distinct values by method, distinct opaque values by kind), canaries not counted."""
        self._flush()
        self.stated.close()
        self.total_rows = self.rows
        self._plant()
        distinct: dict[str, int] = {}
        for method in [m for m in WIDTHS if m in self.spills]:
            spill = self.spills[method]
            if method == "pdq":
                written = write_pdq(self.folder, spill.blocks(), spill.count, self.total_rows)
            else:
                written = write_index(self.folder, method, spill.blocks(), spill.count, self.total_rows)
            distinct[method] = written - canaries.COUNT
        self.methods = dict(distinct)
        for out in self.arrays.values():
            out.close()
        silent = {number for (own, code), number in self.numbers.items() if is_uncategorised(own or scheme, code)}
        self.duplicates, self.conflicts = self.conflict_counter.count(silent)
        if "pdq" in self.methods:
            self.used_pdq = self._count_used()
        return distinct, self.opaque.count()

    def _count_used(self) -> int:
        """Count distinct PDQ hashes with an entry that is good enough to match with."""
        from safelight.match.indexes import map_array

        index = PdqIndex(self.folder, self.total_rows)
        marks = map_array(self.folder / "marks", "u1")
        used = 0
        step = 1 << 20
        for start in range(0, len(index.keys), step):
            starts = index.starts[start : start + step + 1].astype(np.int64)
            rows = index.take(np.arange(starts[0], starts[-1]))
            good = (marks[rows] & (MARK_LOW_QUALITY | MARK_CANARY)) == 0
            used += int((np.add.reduceat(good.astype(np.int64), starts[:-1] - starts[0]) > 0).sum())
        return used

    def category_list(self, scheme: str | None) -> list[tuple[str, str]]:
        """Return (scheme, code) by number; ("", "") for none."""
        return [("", "") if code is None else (own or scheme or "", code) for own, code in self.numbers]
