"""All pairs of 256-bit hashes within a distance, exact by construction: brute force for small products, bands for large ones.

Kernels: `native/_hamming.c`; twin: `native/hamming_twin.py`. Which of the two runs is only a matter of time: both give all pairs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint8]
Longs = NDArray[np.int64]
Pairs = tuple[Longs, Longs, NDArray[np.int16]]

DISTANCE = 31
"""Distance up to which two PDQ hashes are the same picture [facebook/ThreatExchange pdq/README.md]."""
QUALITY = 50
"""Least quality of a hash that is used: upstream discards 49 and below."""
BANDS = 16
MOST_BANDED = 47
"""Greatest distance the bands serve: two errors in one of 16 bands. Beyond it everything is compared."""
MOST_PAIRS = 4_000_000
"""Pairs of one call of the kernel; beyond it the queries are split."""
SLICE = 250_000
"""Most queries of one call of the kernel."""

# Rough costs in ns, measured with bench/match.py; they choose the way, never the answer.
_BRUTE_NS = {"avx512": 0.35, "avx2": 0.9, "portable": 3.0}
_PARTITION_NS = 400.0
_CANDIDATE_NS = 2.5


def _masks(radius: int) -> list[int]:
    ones = [1 << i for i in range(16)]
    masks = [0] + (ones if radius >= 1 else [])
    return masks + ([a | b for i, a in enumerate(ones) for b in ones[i + 1 :]] if radius >= 2 else [])


def candidates(queries: Hashes, entries: Hashes, radius: int) -> int:
    """Return how many full comparisons the bands would make."""
    total = 0
    for band in range(BANDS):
        q = np.bincount(queries[:, 2 * band].astype(np.int64) << 8 | queries[:, 2 * band + 1], minlength=65536)
        e = np.bincount(entries[:, 2 * band].astype(np.int64) << 8 | entries[:, 2 * band + 1], minlength=65536)
        keys = np.flatnonzero(q)
        total += sum(int(q[keys] @ e[keys ^ mask]) for mask in _masks(radius))
    return total


def is_banded(queries: Hashes, entries: Hashes, distance: int) -> bool:
    """Say whether the bands are expected to be cheaper than comparing everything."""
    from safelight.native import _hamming

    product = len(queries) * len(entries)
    if distance > MOST_BANDED or product < 300_000_000:
        return False
    brute = product * _BRUTE_NS[_hamming.level()]
    fixed = len(entries) * _PARTITION_NS
    return fixed < brute and fixed + candidates(queries, entries, distance // BANDS) * _CANDIDATE_NS < brute


def _checked(hashes: Hashes) -> Hashes:
    if hashes.ndim != 2 or hashes.shape[1] != 32 or hashes.dtype != np.uint8:
        raise ValueError(f"hashes must be (n, 32) uint8, not {hashes.shape} {hashes.dtype}")
    return np.ascontiguousarray(hashes)


def join_batches(queries: Hashes, entries: Hashes, distance: int = DISTANCE, *, way: str = "", below: int = -1) -> Iterator[Pairs]:
    """Yield the pairs of `join` in pieces of bounded size; pieces follow the order of the queries, each sorted by (query, entry).

    `way`: "" chooses, else `brute`, `bands`, `avx512`, `avx2`, `portable`. `below` >= 0: only entries whose number is less than
    `below` + the number of the query.
    """
    from safelight.native import _hamming

    queries, entries = _checked(queries), _checked(entries)
    if not 0 <= distance <= 255:
        raise ValueError("distance must be 0..255")
    slices = [(start, min(start + SLICE, len(queries))) for start in range(0, len(queries), SLICE)][::-1]
    while slices:
        start, end = slices.pop()
        part = queries[start:end]
        base = below + start if below >= 0 else -1
        banded = way == "bands" or (way == "" and is_banded(part, entries, distance))
        most = max(MOST_PAIRS, len(entries)) if end - start == 1 else MOST_PAIRS
        if banded:
            found = _hamming.bands(part, entries, distance, base, most)
        else:
            found = _hamming.brute(part, entries, distance, base, most, "" if way in ("", "brute", "bands") else way)
        if found is None:  # too many pairs for one piece
            middle = (start + end) // 2
            slices += [(middle, end), (start, middle)]
            continue
        q = np.frombuffer(found[0], np.uint32).astype(np.int64) + start
        e = np.frombuffer(found[1], np.uint32).astype(np.int64)
        order = np.lexsort((e, q))
        yield q[order], e[order], np.frombuffer(found[2], np.uint8).astype(np.int16)[order]


def _gather(pieces: Iterator[Pairs]) -> Pairs:
    parts = list(pieces)
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int16)
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), np.concatenate([p[2] for p in parts])


def join(queries: Hashes, entries: Hashes, distance: int = DISTANCE, *, way: str = "") -> Pairs:
    """Return all pairs (query index, entry index, distance) within `distance` bits, sorted by query and entry.

    `queries` (n, 32) and `entries` (m, 32) uint8. Every pair is found, whatever the data; use `join_batches` where there may be many.
    """
    return _gather(join_batches(queries, entries, distance, way=way))


def self_join(hashes: Hashes, distance: int = DISTANCE, *, way: str = "") -> Pairs:
    """Return all pairs (i, j, distance) with j < i among (n, 32) hashes, sorted by i and j."""
    return _gather(join_batches(hashes, hashes, distance, way=way, below=0))
