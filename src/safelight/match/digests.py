"""Exact look-up of digests: sorted fixed-width keys, row numbers beside them, a table of prefix starts; all mapped, never loaded.

Up to 2**32 keys and more: starts are 64 bits. Full digests are compared. The kernel is `native/_digestset.c`, its plain twin
`plain_lookup` below; bench/digests.py measures it beside LMDB, DuckDB and SQLite.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes2D = NDArray[np.uint8]
Longs = NDArray[np.int64]

MOST_BITS = 28
"""Prefix bits of the largest tables: 2 GiB, from 2**32 keys on."""


def bits_for(count: int) -> int:
    """Return the prefix bits of a table for `count` keys: 8 to 16 keys a prefix, so half a byte to one byte a key."""
    return max(0, min(MOST_BITS, count.bit_length() - 4))


def prefixes(keys: Bytes2D, bits: int) -> Longs:
    """Return the first `bits` bits of each key as a number."""
    head = np.ascontiguousarray(keys[:, :4]).view(">u4").reshape(-1).astype(np.int64)
    return head >> (32 - bits) if bits else np.zeros(len(keys), np.int64)


def prefix_table(keys: Bytes2D, bits: int) -> NDArray[np.uint64]:
    """Return the 2**bits + 1 starts of the prefixes in sorted keys."""
    counts = np.bincount(prefixes(keys, bits), minlength=1 << bits) if len(keys) else np.zeros(1 << bits, np.int64)
    return np.concatenate([np.zeros(1, np.uint64), np.cumsum(counts).astype(np.uint64)])


def _as_strings(keys: Bytes2D) -> NDArray[Any]:
    return np.ascontiguousarray(keys).view(f"S{keys.shape[1]}").reshape(-1)


def plain_lookup(keys: Bytes2D, queries: Bytes2D) -> tuple[Longs, Longs]:
    """Find each query in the sorted keys: (first row, number of rows). The obvious twin of the kernel."""
    if not len(queries):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    sorted_keys, wanted = _as_strings(keys), _as_strings(queries)
    first = np.searchsorted(sorted_keys, wanted, "left")
    return first.astype(np.int64), (np.searchsorted(sorted_keys, wanted, "right") - first).astype(np.int64)


def lookup(keys: Bytes2D, table: NDArray[np.uint64], bits: int, queries: Bytes2D) -> tuple[Longs, Longs]:
    """Find each (n, width) query in the sorted (m, width) keys: (first row, number of rows), 0 rows where it is not there.

    Each answer is checked against the neighbouring keys. Raise ValueError where the table contradicts the keys.
    """
    from safelight.native import _digestset

    if not len(queries) or not len(keys):
        return np.zeros(len(queries), np.int64), np.zeros(len(queries), np.int64)
    first, count = np.empty(len(queries), np.int64), np.empty(len(queries), np.int64)  # NumPy asks for large pages; bytes would not
    _digestset.lookup(
        np.ascontiguousarray(keys), keys.shape[1], np.ascontiguousarray(table), bits, np.ascontiguousarray(queries), first, count
    )
    return first, count


def expand(first: Longs, count: Longs) -> tuple[Longs, Longs]:
    """Turn (first row, rows) per query into pairs (query index, row), all duplicates, in ascending order of query and row."""
    queries = np.repeat(np.arange(len(count), dtype=np.int64), count)
    starts = np.repeat(first - (np.cumsum(count) - count), count)
    return queries, starts + np.arange(len(queries), dtype=np.int64)
