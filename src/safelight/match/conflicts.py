"""What assertions of one set contradict or repeat each other, in bounded memory: one fixed-width row a record, sorted, compared.

Nothing is merged or dropped: the entries keep every assertion; this only counts (FORMATS.md T6). The identity of a record is its first
value in the order md5, sha1, sha256, sha512, pdq, opaque. A category that is no verdict (null, "uncategorised") conflicts with none.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from safelight.match.entries import WIDTHS, Columns, Record
from safelight.match.spill import Spill

Bytes2D = NDArray[np.uint8]
_ORDER = {name: rank for rank, name in enumerate(WIDTHS)}
IDENTITY, ALL, SHA1, CATEGORY = slice(0, 16), slice(16, 32), slice(36, 44), slice(32, 36)
WIDTH = 44
_NONE = np.uint64(0xFFFFFFFFFFFFFFFF)


class Fingerprints:
    """Short names (16 bytes) of values of any length, under a key of this import alone, so that no list can be made to collide."""

    def __init__(self) -> None:
        self.key = os.urandom(16)

    def of(self, *parts: bytes) -> bytes:
        """Return the name of some values together; the length of each stands before it."""
        from safelight.native import _rows

        whole = b"".join(part for value in parts for part in (len(value).to_bytes(4, "big"), value))
        return _rows.fingerprints(whole, len(whole), self.key)

    def of_columns(self, *columns: bytes | Bytes2D) -> Bytes2D:
        """Return the same for many rows: a column is (n, width), or bytes that all rows share."""
        from safelight.native import _rows

        count = next(len(c) for c in columns if not isinstance(c, bytes))
        parts = []
        for column in columns:
            size = len(column) if isinstance(column, bytes) else column.shape[1]
            head = size.to_bytes(4, "big") + (column if isinstance(column, bytes) else b"")
            parts.append(np.broadcast_to(np.frombuffer(head, np.uint8), (count, len(head))))
            if not isinstance(column, bytes):
                parts.append(column)
        rows = np.concatenate(parts, axis=1)
        return np.frombuffer(_rows.fingerprints(rows, rows.shape[1], self.key), np.uint8).reshape(-1, 16)


class Conflicts:
    """Collects records; `count` gives the numbers at the end."""

    def __init__(self, folder: Path) -> None:
        self.short = Fingerprints()
        self.spill = Spill(folder, "identity", WIDTH)
        self.media = Spill(folder, "media", 32)
        self.rows = bytearray()
        self.media_rows = bytearray()
        self.repeated = 0

    def add(self, record: Record, category: int) -> None:
        """Add a record whose category has number `category` in the manifest (0: none)."""
        values = record.digests
        if len(values) > 1:
            values = sorted(values, key=lambda d: (_ORDER[d[0]], d[1]))
        sha1 = next((raw for name, raw in values if name == "sha1"), b"")
        first = values[0] if values else record.opaque[0]
        identity = first[1] if first[0] == "md5" else self.short.of(first[0].encode(), first[1])
        every = identity
        if len(values) + len(record.opaque) > 1:
            every = self.short.of(*(part for name, raw in (*values, *record.opaque) for part in (name.encode(), raw)))
        self.rows += identity + every + category.to_bytes(4, "big") + (sha1[:8] if first[0] == "md5" and sha1 else bytes(8))
        self.repeated += record.repeats - 1
        if record.media_id is not None:
            self.media_rows += self.short.of(record.media_id.encode("utf-8", "surrogatepass")) + identity
        if len(self.rows) > 1 << 20:
            self.flush()

    def add_block(self, columns: Columns, categories: NDArray[np.uint32]) -> None:
        """Add the records of a block, the same rows as `add` would make of them. `categories`: numbers in the manifest."""
        values = sorted(columns.digests.items(), key=lambda d: _ORDER[d[0]])
        name, digests = values[0]
        rows = np.zeros((columns.count, WIDTH), np.uint8)
        rows[:, IDENTITY] = digests if name == "md5" else self.short.of_columns(name.encode(), digests)
        rows[:, ALL] = rows[:, IDENTITY]
        if len(values) > 1:
            rows[:, ALL] = self.short.of_columns(*(part for method, own in values for part in (method.encode(), own)))
        rows[:, CATEGORY] = categories.astype(">u4").view(np.uint8).reshape(-1, 4)
        if name == "md5" and "sha1" in columns.digests:
            rows[:, SHA1] = columns.digests["sha1"][:, :8]
        self.repeated += int(columns.repeats.sum()) - columns.count
        self.spill.add(rows)

    def flush(self) -> None:
        self.spill.add(np.frombuffer(bytes(self.rows), np.uint8).reshape(-1, WIDTH))
        self.media.add(np.frombuffer(bytes(self.media_rows), np.uint8).reshape(-1, 32))
        self.rows.clear()
        self.media_rows.clear()

    def count(self, no_verdict: set[int]) -> tuple[int, dict[str, int]]:
        """Return (plain duplicates, conflicts by kind). `no_verdict`: numbers of categories that say nothing."""
        self.flush()
        category, sha1 = _Differing(), _Differing()
        distinct, last = 0, b""
        silent = np.array(sorted(no_verdict | {0}), np.uint32)
        for block in self.spill.blocks():
            what = np.ascontiguousarray(block[:, :36])
            fresh = np.ones(len(what), bool)
            fresh[1:] = (what[1:] != what[:-1]).any(axis=1)
            fresh[0] = what[0].tobytes() != last
            last = what[-1].tobytes()
            distinct += int(fresh.sum())
            codes = np.ascontiguousarray(block[:, CATEGORY]).view(">u4").reshape(-1)
            category.add(block[:, IDENTITY], codes.astype(np.uint64), ~np.isin(codes, silent))
            heads = np.ascontiguousarray(block[:, SHA1]).view(">u8").reshape(-1).astype(np.uint64)
            sha1.add(block[:, IDENTITY], heads, heads != 0)
        media = _Differing()
        for block in self.media.blocks():
            heads = np.ascontiguousarray(block[:, 16:24]).view(">u8").reshape(-1).astype(np.uint64)
            media.add(block[:, :16], heads, np.ones(len(block), bool))
        found = {"category": category.total(), "md5_two_sha1": sha1.total(), "media_id_reused": media.total()}
        return self.spill.count + self.repeated - distinct, {name: number for name, number in found.items() if number}


class _Differing:
    """Counts keys that come with more than one value; keys come sorted, in blocks."""

    def __init__(self) -> None:
        self.number = 0
        self.key = b""
        self.low, self.high = _NONE, np.uint64(0)
        self.some = False

    def add(self, keys: Bytes2D, values: NDArray[np.uint64], valid: NDArray[np.bool_]) -> None:
        keys, values = np.ascontiguousarray(keys[valid]), values[valid]
        if not len(keys):
            return
        starts = np.flatnonzero(np.concatenate([[True], (keys[1:] != keys[:-1]).any(axis=1)]))
        low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
        if self.some and keys[0].tobytes() == self.key:
            low[0], high[0] = min(low[0], self.low), max(high[0], self.high)
        elif self.some:
            self.number += int(self.low != self.high)
        self.number += int((low[:-1] != high[:-1]).sum())
        self.key, self.low, self.high, self.some = keys[-1].tobytes(), low[-1], high[-1], True

    def total(self) -> int:
        return self.number + int(self.some and self.low != self.high)


class Opaque:
    """Counts distinct values that cannot be matched here, by kind."""

    MOST_KINDS = 250

    def __init__(self, folder: Path) -> None:
        self.short = Fingerprints()
        self.spill = Spill(folder, "opaque", 17)
        self.kinds: dict[str, int] = {}
        self.rows = bytearray()

    def add(self, record: Record) -> None:
        for kind, raw in record.opaque:
            known = kind if kind in self.kinds or len(self.kinds) < self.MOST_KINDS else "other"
            number = self.kinds.setdefault(known, len(self.kinds))
            self.rows += bytes([number]) + self.short.of(kind.encode(), raw)
        if len(self.rows) > 1 << 20:
            self.flush()

    def flush(self) -> None:
        self.spill.add(np.frombuffer(bytes(self.rows), np.uint8).reshape(-1, 17))
        self.rows.clear()

    def count(self) -> dict[str, int]:
        self.flush()
        counts = np.zeros(256, np.int64)
        last = b""
        for block in self.spill.blocks():
            fresh = np.ones(len(block), bool)
            fresh[1:] = (block[1:] != block[:-1]).any(axis=1)
            fresh[0] = block[0].tobytes() != last
            last = block[-1].tobytes()
            counts += np.bincount(block[fresh, 0], minlength=256)
        return {kind: int(counts[number]) for kind, number in sorted(self.kinds.items())}
