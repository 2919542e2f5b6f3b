"""PDQ hashes made by code that are as hard to search as real ones: correlated bits, near-duplicates with a heavy tail, hot spots.

Seven tenths are mixtures of two of 4,096 matrices of coefficients with common factors, cut at their median (so 128 ones each, as in real
hashes; correlations of bits 0.016 on average and up to 0.2, as measured on photographs). Three tenths are near-duplicates of others, with
few flipped bits mostly, up to 60 at times; of these, one in 150 is of one of five templates. Beyond ten million the set is repeated
under patterns of signs, which keeps all of this.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint8]
BASE = 10_000_000
BLOCK = 100_000


def _mixtures(rng: np.random.Generator, pool: NDArray[np.float32], count: int) -> Hashes:
    found = np.empty((count, 32), np.uint8)
    for start in range(0, count, BLOCK):
        many = min(BLOCK, count - start)
        one, two = rng.integers(0, len(pool), many), rng.integers(0, len(pool), many)
        weight = rng.uniform(0.3, 1.0, (many, 1)).astype(np.float32)
        mixed = pool[one] + weight * pool[two]
        median = np.partition(mixed, 127, axis=1)[:, 127:128]
        found[start : start + many] = np.packbits(mixed > median, axis=1)
    return found


def flipped(rng: np.random.Generator, hashes: Hashes, bits: NDArray[np.int64]) -> Hashes:
    """Return a copy of the (n, 32) hashes with up to `bits` (n) bits flipped in each."""
    found = hashes.copy()
    for step in range(int(bits.max(initial=0))):
        rows = np.flatnonzero(bits > step)
        at = rng.integers(0, 256, len(rows))
        found[rows, at >> 3] ^= (1 << (at & 7)).astype(np.uint8)
    return found


def _tail(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    bits: NDArray[np.int64] = np.minimum(rng.pareto(1.2, count) * 4, 60).astype(np.int64)
    return bits


def listed(count: int, seed: int = 1) -> Hashes:
    """Return (count, 32) hashes in no order; one in ten or so is there more than once."""
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((12, 256), np.float32)
    pool = rng.standard_normal((4096, 256), np.float32)
    pool += 0.12 * rng.standard_normal((4096, 12), np.float32) @ factors
    base = min(count, BASE)
    plain = _mixtures(rng, pool, base - base * 3 // 10)
    source = rng.integers(0, len(plain), base - len(plain))
    source[::150] = rng.integers(0, 5, len(source[::150]))
    every = np.concatenate([plain, flipped(rng, plain[source], _tail(rng, len(source)))])
    patterns = rng.integers(0, 256, ((count + BASE - 1) // BASE, 32), dtype=np.uint8)
    patterns[0] = 0
    found = np.empty((count, 32), np.uint8)
    for n, pattern in enumerate(patterns):
        part = found[n * BASE : (n + 1) * BASE]
        np.bitwise_xor(every[: len(part)], pattern, out=part)
    return found


def blocks_in_order(hashes: Hashes) -> Iterator[Hashes]:
    """Yield the hashes in ascending byte order, each once, in 256 blocks at most."""
    first = hashes[:, 0]
    edges = np.concatenate([[0], np.cumsum(np.bincount(first, minlength=256))])
    order = np.argsort(first, kind="stable").astype(np.uint32)
    for byte in range(256):
        rows = hashes[order[edges[byte] : edges[byte + 1]]]
        words = rows.view(">u8").astype(np.uint64)
        at = np.argsort(words[:, 0], kind="stable")
        head = words[at, 0]
        if bool((head[1:] == head[:-1]).any()):
            at = np.lexsort(words.T[::-1])
        rows = rows[at]
        fresh = np.ones(len(rows), bool)
        fresh[1:] = (rows[1:] != rows[:-1]).any(axis=1)
        if len(rows):
            yield rows[fresh]


def asked(entries: Hashes, count: int, seed: int = 2) -> Hashes:
    """Return (count, 32) queries in random order: half noisy copies of entries, half unrelated."""
    rng = np.random.default_rng(seed)
    near = entries[rng.integers(0, len(entries), count // 2)]
    far = entries[rng.integers(0, len(entries), count - count // 2)] ^ rng.integers(0, 256, 32, dtype=np.uint8)
    found = np.concatenate([flipped(rng, near, _tail(rng, len(near))), far])
    return found[rng.permutation(count)]
