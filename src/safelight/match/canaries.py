"""Canaries: known entries planted into each index at import, whose twins go along with each query (DESIGN.md 7.2).

They are made by code from the identity of the set, so that a run can make their twins without reading them from the index. A digest
canary must be found, and its neighbour (one bit off) must not. A PDQ canary must be found at 0, 1 and the greatest distance, and must
not be found one bit beyond. If one is lost, no answer of that run may be believed: `CanaryLost`. Canaries are never in results.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from safelight.match.entries import WIDTHS

COUNT = 8
"""Canaries in each index, spread evenly over the first three bits of the keys."""

Bytes2D = NDArray[np.uint8]


class CanaryLost(Exception):
    """A planted entry was not found, or one was found that must not be: the index or the look-up is broken."""

    def __init__(self, set_id: str, method: str, what: str) -> None:
        self.set_id, self.method = set_id, method
        super().__init__(
            f"canary lost in hash set {set_id}, method {method}: {what}. No result of this run may be used, 'no match' least of all. "
            "The case is unharmed; run `hashset verify`, and import the set again."
        )


def _stream(seed: str, size: int) -> bytes:
    return hashlib.shake_256(f"safelight canary|{seed}".encode()).digest(size)


def keys(set_id: str, method: str) -> Bytes2D:
    """Return the (COUNT, width) canary keys of an index, ascending."""
    rows = [bytearray(_stream(f"{set_id}|{method}|{n}", WIDTHS[method])) for n in range(COUNT)]
    for n, row in enumerate(rows):
        row[0] = n << 5 | row[0] & 31
    return np.frombuffer(b"".join(rows), np.uint8).reshape(COUNT, WIDTHS[method])


def near(key: NDArray[np.uint8], bits: int, seed: str) -> NDArray[np.uint8]:
    """Return `key` with `bits` different bits flipped, spread over the whole key."""
    order = np.random.Generator(np.random.PCG64(int.from_bytes(_stream(seed, 8), "big"))).permutation(key.size * 8)
    flips = np.zeros(key.size * 8, np.uint8)
    flips[order[:bits]] = 1
    return key ^ np.packbits(flips)


def digest_twins(set_id: str, method: str) -> tuple[Bytes2D, NDArray[np.bool_]]:
    """Return (queries, which of them must be found) for a digest index: each canary and its neighbour one bit off."""
    planted = keys(set_id, method)
    off = np.stack([near(key, 1, f"{set_id}|{method}|{n}|off") for n, key in enumerate(planted)])
    return np.concatenate([planted, off]), np.repeat([True, False], COUNT)


def pdq_twins(set_id: str, distance: int) -> tuple[Bytes2D, NDArray[np.int64], NDArray[np.int64]]:
    """Return (queries, canary number of each, its distance): 0, 1, `distance` and one beyond it, for each canary."""
    planted = keys(set_id, "pdq")
    steps = sorted({0, min(1, distance), distance, distance + 1})
    queries = [near(key, bits, f"{set_id}|pdq|{n}|{bits}") for n, key in enumerate(planted) for bits in steps]
    return np.stack(queries), np.repeat(np.arange(COUNT), len(steps)), np.tile(np.array(steps), COUNT)
