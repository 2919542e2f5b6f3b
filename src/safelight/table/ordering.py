"""Orders of all rows, and distinct numbers in order, in bounded memory: what does not fit is parted by value, and part after part is sorted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from safelight.table.file import Array, pieces

AT_ONCE = 4_000_000
"""Rows that are sorted at once, about 30 bytes each."""
SAMPLE = 1 << 16
Keys = Callable[[Array], Array]


def stable_order(rows: Array, keys: Keys, out: Array, at_once: int = 0) -> None:
    """Write rows into `out` in ascending order of their keys (u64, by rows), equal ones in the order in which they are given.

    `at_once`: rows that are sorted at once, else `AT_ONCE`.
    """
    at_once = at_once or AT_ONCE
    if len(rows) <= at_once:
        out[:] = rows[np.argsort(keys(rows), kind="stable")]
        return
    at = 0
    for low, high in _parts(keys(rows[:: max(1, len(rows) // SAMPLE)]), -(-len(rows) // (at_once // 2))):
        for chosen in _within(rows, keys, low, high, at_once):
            ordered = chosen if high - low == 1 else chosen[np.argsort(keys(chosen), kind="stable")]
            out[at : at + len(ordered)] = ordered
            at += len(ordered)
    assert at == len(rows)


def _within(rows: Array, keys: Keys, low: int, high: int, at_once: int) -> Iterator[Array]:
    """Yield the rows with keys from `low` to below `high`: all at once, or piece by piece where all have the same key."""
    found = []
    for part in pieces(len(rows), at_once):
        key = keys(rows[part])
        inside = key >= np.uint64(low)
        if high < 1 << 64:
            inside &= key < np.uint64(high)
        if high - low == 1:
            yield rows[part][inside]
        else:
            found.append(rows[part][inside])
    if found:
        yield np.concatenate(found)


def _parts(sample: Array, count: int) -> list[tuple[int, int]]:
    """Return ranges that cover all numbers of 64 bits, with about as many keys in each; a key that is frequent has one of its own."""
    ordered = np.sort(sample)
    cuts, times = np.unique(ordered[np.linspace(0, len(ordered) - 1, count + 1).astype(np.int64)[1:-1]], return_counts=True)
    edges = {0, 1 << 64}
    for cut, often in zip(cuts.tolist(), times.tolist(), strict=True):
        edges |= {cut, cut + 1} if often > 1 else {cut}
    listed = sorted(edges)
    return list(itertools.pairwise(listed))


def distinct(numbers: Array, at_once: int = 0) -> Iterator[Array]:
    """Yield the different ones of some numbers (u64), ascending, in pieces."""
    at_once = at_once or AT_ONCE
    if len(numbers) <= at_once:
        yield np.unique(numbers)
        return
    for low, high in _parts(numbers[:: max(1, len(numbers) // SAMPLE)], -(-len(numbers) // (at_once // 2))):
        found = list(_within(numbers, lambda n: n, low, high, at_once))
        yield np.unique(np.concatenate([np.unique(f) for f in found])) if found else np.zeros(0, np.uint64)
