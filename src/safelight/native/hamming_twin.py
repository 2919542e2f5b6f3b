"""The plain twin of `_hamming.c`: all pairs within a Hamming distance, by NumPy, obviously right and slow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def distances(query: NDArray[np.uint8], entries: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Return the bits in which `query` (32 bytes) differs from each of the (m, 32) entries."""
    bits: NDArray[np.int16] = np.bitwise_count(np.bitwise_xor(entries, query)).sum(axis=1, dtype=np.int16)
    return bits


def join(
    queries: NDArray[np.uint8], entries: NDArray[np.uint8], distance: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int16]]:
    """Return all pairs (query index, entry index, distance) within `distance`, sorted by query and entry."""
    found: list[tuple[int, int, int]] = []
    for q, query in enumerate(queries):
        bits = distances(query, entries)
        found += [(q, int(e), int(bits[e])) for e in np.flatnonzero(bits <= distance)]
    table = np.array(found, np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2].astype(np.int16)
