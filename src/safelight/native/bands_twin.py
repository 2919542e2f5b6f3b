"""The plain twins of `_bands.c`: the order of a band, the pairs that a band gives, and the search by all bands; by NumPy, slow on purpose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from safelight.native.hamming_twin import join as all_pairs

Hashes = NDArray[np.uint8]
Table = NDArray[np.int64]


def band_bits(hashes: Hashes, widths: Sequence[int], band: int) -> NDArray[np.uint8]:
    """Return the (n, width) bits of a band of (n, 32) hashes; bit 0 is the first bit of the first byte."""
    start = sum(widths[:band])
    bits: NDArray[np.uint8] = np.unpackbits(hashes, axis=1)[:, start : start + widths[band]]
    return bits


def keys(hashes: Hashes, widths: Sequence[int], band: int) -> NDArray[np.int64]:
    """Return the key of each hash in a band."""
    bits = band_bits(hashes, widths, band).astype(np.int64)
    found: NDArray[np.int64] = bits @ (1 << np.arange(widths[band], dtype=np.int64)[::-1])
    return found


def order(hashes: Hashes, widths: Sequence[int], band: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return (first place of each of the 2**width keys and the end, numbers of the hashes in ascending order of key and number)."""
    key = keys(hashes, widths, band)
    starts = np.concatenate([[0], np.cumsum(np.bincount(key, minlength=1 << widths[band]))])
    return starts.astype(np.uint32), np.argsort(key, kind="stable").astype(np.uint32)


def join(queries: Hashes, entries: Hashes, widths: Sequence[int], radii: Sequence[int], band: int, distance: int) -> Table:
    """Return the rows (query, entry, distance) that `band` gives: within its radius, and within that of no band before it."""
    q, e, d = all_pairs(queries, entries, distance)
    near = [
        (band_bits(queries, widths, b)[q] != band_bits(entries, widths, b)[e]).sum(axis=1) <= radius
        for b, radius in enumerate(radii[: band + 1])
    ]
    keep = near[band] & ~np.any([*near[:-1], np.zeros(len(q), bool)], axis=0)
    found: Table = np.stack([q, e, d.astype(np.int64)], axis=1)[keep]
    return found


def query(queries: Hashes, entries: Hashes, widths: Sequence[int], radii: Sequence[int], distance: int) -> Table:
    """Return the rows (query, entry, distance) of all bands together, sorted: with sum(radius + 1) > distance these are all pairs."""
    bands = [join(queries, entries, widths, radii, b, distance) for b, radius in enumerate(radii) if radius >= 0]
    rows = np.concatenate([np.zeros((0, 3), np.int64), *bands])
    found: Table = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    return found
