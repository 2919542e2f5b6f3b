"""All pairs of 256-bit hashes within a distance, exact by construction: brute force for small products, bands for large ones.

Kernels: `native/_hamming.c` (brute force) and `native/_bands.c`; twins: `native/hamming_twin.py`, `native/bands_twin.py`. Which of them
runs, and on how many threads, is only a matter of time: all give the same pairs in the same order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safelight.match.pdq_bands import BRUTE_NS, MOST_RADIUS, best_bands, looked_at, packed, radii, widths

Hashes = NDArray[np.uint8]
Longs = NDArray[np.int64]
Packed = NDArray[np.uint64]
Pairs = tuple[Longs, Longs, NDArray[np.int16]]

DISTANCE = 31
"""Distance up to which two PDQ hashes are the same picture [facebook/ThreatExchange pdq/README.md]."""
QUALITY = 50
"""Least quality of a hash that is used: upstream discards 49 and below."""
BANDS = 16
"""Bands where the way is named and not chosen."""
MOST_PAIRS = 16_000_000
"""Pairs of one piece (128 MiB); beyond it the queries are split."""
SLICE = 1_000_000
"""Most queries of one piece; the kernel takes up to 2**24."""
THREADS = min(2, len(os.sched_getaffinity(0)))


def checked(hashes: Hashes) -> Hashes:
    """Return the hashes as the kernels read them; raise ValueError unless they are (n, 32) uint8."""
    if hashes.ndim != 2 or hashes.shape[1] != 32 or hashes.dtype != np.uint8:
        raise ValueError(f"hashes must be (n, 32) uint8, not {hashes.shape} {hashes.dtype}")
    return np.ascontiguousarray(hashes)


def check_distance(distance: int, most: int = 255) -> None:
    """Raise ValueError for a distance that there is not."""
    if not 0 <= distance <= most:
        raise ValueError(f"distance must be 0..{most}")


def order_of(hashes: Hashes) -> Longs:
    """Return the numbers of the (n, 32) hashes in ascending byte order, equal ones in the order of their numbers."""
    words = np.ascontiguousarray(hashes).view(">u8")
    head = words[:, 0].astype(np.uint64)
    order: Longs = np.argsort(head, kind="stable")
    head = head[order]
    if bool((head[1:] == head[:-1]).any()):
        order = np.lexsort(tuple(words[:, k].astype(np.uint64) for k in (3, 2, 1, 0)))
    return order


def collapse(hashes: Hashes) -> tuple[Longs, Longs]:
    """Return (number of the first of each distinct hash, in ascending byte order; which of these each hash equals)."""
    order = order_of(hashes)
    fresh = np.ones(len(hashes), bool)
    ordered = hashes[order]
    fresh[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    which = np.empty(len(hashes), np.int64)
    which[order] = np.cumsum(fresh) - 1
    return order[fresh], which


def by_value(which: Longs, count: int) -> tuple[Longs, Longs]:
    """Return (starts (count + 1), members): the numbers of all hashes that equal distinct hash v are members[starts[v]:starts[v + 1]]."""
    starts = np.concatenate([[0], np.cumsum(np.bincount(which, minlength=count))])
    return starts, np.argsort(which, kind="stable")


def unpacked(pairs: Packed, first_query: int = 0) -> Pairs:
    """Return (query, entry, distance) of the numbers that the kernel gives."""
    q, e = (pairs >> np.uint64(40)).astype(np.int64), (pairs >> np.uint64(8) & np.uint64(0xFFFFFFFF)).astype(np.int64)
    return q + first_query, e, (pairs & np.uint64(255)).astype(np.int16)


def over_bands(work: Callable[[int], bytes | None], bands: list[int], most: int, threads: int = 0) -> Packed | None:
    """Return the pairs of all bands in order, by `work` on each band; None where there are more than `most`."""
    parts: list[Any] = []
    total = 0
    with ThreadPoolExecutor(threads or THREADS) as pool:
        waiting = [pool.submit(work, band) for band in bands]
        for future in waiting:
            found = future.result()
            total += len(found) // 8 if found is not None else most + 1
            if found is None or total > most:
                for other in waiting:
                    other.cancel()
                return None
            parts.append(np.frombuffer(found, np.uint64))
    every: Packed = np.concatenate(parts) if parts else np.zeros(0, np.uint64)
    every.sort()
    return every


def _by_bands(queries: Hashes, entries: Hashes, count: int, distance: int, base: int, most: int) -> Packed | None:
    from safelight.native import _bands

    plan = packed(widths(count), radii(distance, count))
    bands = looked_at(distance, widths(count))
    return over_bands(lambda b: _bands.join(queries, entries, b"", b"", plan, b, distance, base, 0, 1, most, ""), bands, most)


def by_brute_force(queries: Hashes, entries: Hashes, level: str, distance: int, base: int, most: int) -> Packed | None:
    """Return the sorted pairs by comparing everything; None where there are more than `most`. `level`: "" is the best there is."""
    from safelight.native import _hamming

    found = _hamming.brute(queries, entries, distance, base, most, level)
    if found is None:
        return None
    q, e, d = (np.frombuffer(raw, dtype).astype(np.uint64) for raw, dtype in zip(found, ("u4", "u4", "u1"), strict=True))
    pairs: Packed = q << np.uint64(40) | e << np.uint64(8) | d
    pairs.sort()
    return pairs


def choose_way(queries: int, entries: int, distance: int) -> int:
    """Return the number of bands that are expected to be cheapest; 0 for brute force."""
    from safelight.native import _bands

    product = queries * entries
    if product < 100_000_000 or distance >= (MOST_RADIUS + 1) * 10:
        return 0
    count, cost = best_bands(distance, queries, entries, _bands.level())
    return count if cost < product * BRUTE_NS[_bands.level()] else 0


def split_on_overflow(count: int, first: int, piece: Callable[[int, int, bool], Packed | None]) -> Iterator[Pairs]:
    """Yield the pairs of `count` queries in order, `first` at once at most; where `piece(start, end, alone)` is None, half by half."""
    slices = [(start, min(start + first, count)) for start in range(0, count, first)][::-1]
    while slices:
        start, end = slices.pop()
        found = piece(start, end, end - start == 1)
        if found is None:  # too many pairs for one piece
            middle = (start + end) // 2
            slices += [(middle, end), (start, middle)]
        else:
            yield unpacked(found, start)


def join_batches(queries: Hashes, entries: Hashes, distance: int = DISTANCE, *, way: str = "", below: int = -1) -> Iterator[Pairs]:
    """Yield the pairs of `join` in pieces of bounded size; pieces follow the order of the queries, each sorted by (query, entry).

    `way`: "" chooses, else `brute`, `bands`, `avx512`, `avx2`, `portable`. `below` >= 0: only entries whose number is less than
    `below` + the number of the query.
    """
    queries, entries = checked(queries), checked(entries)
    check_distance(distance)

    def piece(start: int, end: int, alone: bool) -> Packed | None:
        base = below + start if below >= 0 else -1
        most = max(MOST_PAIRS, len(entries)) if alone else MOST_PAIRS
        return pairs_within(queries[start:end], entries, distance, most, way=way, below=base)

    yield from split_on_overflow(len(queries), SLICE, piece)


def pairs_within(queries: Hashes, entries: Hashes, distance: int, most: int, *, way: str = "", below: int = -1) -> Packed | None:
    """Return the pairs of at most 2**24 queries, packed (see `unpacked`) and ascending; None where there are more than `most`."""
    bands = BANDS if way == "bands" else choose_way(len(queries), len(entries), distance) if way == "" else 0
    if bands:
        return _by_bands(queries, entries, bands, distance, below, most)
    return by_brute_force(queries, entries, "" if way in ("", "brute") else way, distance, below, most)


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
