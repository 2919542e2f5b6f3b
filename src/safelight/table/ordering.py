"""Orders of all rows, and distinct numbers in order, in bounded memory: what does not fit is parted by value, and part after part is sorted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from safelight.table.file import Array, Scratch

AT_ONCE = 1_000_000
"""Rows that are sorted at once, about 60 bytes each."""
SAMPLE = 1 << 16
LAST = (1 << 64) - 1
Keys = Callable[[Array], Array]


def stable_order(scratch: Scratch, rows: Array, keys: Keys, out: Array, at_once: int = 0) -> None:
    """Write rows into `out` in ascending order of their keys (u64, by rows), equal ones in the order in which they are given.

    `at_once`: rows that are sorted at once, else `AT_ONCE`.
    """
    at_once = at_once or AT_ONCE
    if len(rows) <= at_once:
        out[:] = rows[np.argsort(keys(rows), kind="stable")]
        return
    edges = _edges(keys(rows[:: max(1, len(rows) // SAMPLE)]), -(-len(rows) // (at_once // 2)))
    starts = _part(scratch, rows, keys, edges, out)
    for (start, end), one_key in zip(itertools.pairwise(starts), _single(edges), strict=True):
        if not one_key:
            part = out[start:end]
            out[start:end] = part[np.argsort(keys(part), kind="stable")]
            scratch.worked(end - start)


def _part(scratch: Scratch, values: Array, keys: Keys, edges: Array, out: Array) -> list[int]:
    """Write values into `out` by the range of their keys, within a range in the order in which they are given; return where ranges begin."""
    counts = np.zeros(len(edges), np.int64)
    for part in scratch.pieces(len(values)):
        counts += np.bincount(np.searchsorted(edges, keys(values[part]), "right") - 1, minlength=len(edges))
    starts = np.concatenate([[0], np.cumsum(counts)])
    cursor = starts[:-1].copy()
    for part in scratch.pieces(len(values)):
        piece = values[part]
        own = np.searchsorted(edges, keys(piece), "right") - 1
        order = np.argsort(own, kind="stable")
        used, first, count = np.unique(own[order], return_index=True, return_counts=True)
        out[np.repeat(cursor[used] - first, count) + np.arange(len(order))] = piece[order]
        cursor[used] += count
    return [int(s) for s in starts]


def _edges(sample: Array, count: int) -> Array:
    """Return where ranges of keys begin, with about as many keys in each; a key that is frequent has a range of its own."""
    ordered = np.sort(sample)
    cuts, times = np.unique(ordered[np.linspace(0, len(ordered) - 1, count + 1).astype(np.int64)[1:-1]], return_counts=True)
    edges = {0}
    for cut, often in zip(cuts.tolist(), times.tolist(), strict=True):
        edges |= {cut, cut + 1} if often > 1 and cut < LAST else {cut}
    return np.array(sorted(edges), np.uint64)


def _single(edges: Array) -> list[bool]:
    """Return which ranges hold one key only."""
    return [b - a == 1 for a, b in itertools.pairwise([*edges.tolist(), LAST + 1])]


def distinct(numbers: Array, scratch: Scratch, at_once: int = 0) -> Iterator[Array]:
    """Yield the different ones of some numbers (u64), ascending, in pieces. A range that is one number many times is read whole."""
    at_once = at_once or AT_ONCE
    if len(numbers) <= at_once:
        yield np.unique(numbers)
        return
    edges = _edges(numbers[:: max(1, len(numbers) // SAMPLE)], -(-len(numbers) // (at_once // 2)))
    parted = scratch.array("parted", "<u8", len(numbers))
    starts = _part(scratch, numbers, lambda n: n, edges, parted)
    for start, end in itertools.pairwise(starts):
        yield np.unique(parted[start:end])
