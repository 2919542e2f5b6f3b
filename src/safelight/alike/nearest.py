"""Candidates by the vectors of a descriptor model: the pairs with the largest inner products, exactly, block by block.

Vectors are half floats of length 1, so each product of two numbers is a multiple of 2^-48 and any sum of them fits into a double: the
inner product is exact, in whatever order a library adds. A fast product in single precision only tells which pairs need it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from safelight.alike.index import Longs

MOST = 8
"""Candidates of one picture, those with the largest products; a pair is kept where it is among those of either."""

BLOCK = 2_048
"""Pictures of a block: two blocks and their products are held at once."""

PRUNE = 2_000_000
"""Pairs after which those are dropped that are no longer among the best."""

SLACK = 2e-3
"""What a product in single precision may be below the exact one."""

DENSE = 32
"""From one pair in so many on that a block has above the threshold, all of its products are taken exactly at once."""

ONE = 1 << 48
"""What an inner product of 1 is in whole numbers."""

Vectors = NDArray[np.float16]


def nearest(vectors: Vectors, known: NDArray[np.bool_], threshold: float) -> tuple[Longs, Longs]:
    """Return (a, b), a < b, ascending, of the pictures whose vectors (n, d; those that are `known`) have a product of at least the
    threshold. Memory grows with the pictures, not with the pairs; time with the pairs."""
    rows = np.flatnonzero(known)
    empty = np.zeros(0, np.int64)
    kept: tuple[Longs, Longs, Longs] = (empty, empty, empty)
    least = int(np.ceil(threshold * ONE))
    for start in range(0, len(rows), BLOCK):
        one = rows[start : start + BLOCK]
        left = vectors[one]
        for other in range(start, len(rows), BLOCK):
            two = rows[other : other + BLOCK]
            i, j, product = _above(left, vectors[two], least, start == other)
            kept = tuple(np.concatenate([k, f]) for k, f in zip(kept, (one[i], two[j], product), strict=True))  # type: ignore[assignment]
            if len(kept[0]) > PRUNE:
                kept = _best(*kept)
    a, b, _ = _best(*kept)
    return a, b


def _above(left: Vectors, right: Vectors, least: int, same: bool) -> tuple[Longs, Longs, Longs]:
    """Return (row of left, row of right, product in 2^-48) of the pairs with at least this product; of a block with itself, each once."""
    near = left.astype(np.float32) @ right.astype(np.float32).T >= np.float32(least / ONE - SLACK)
    if same:
        near = np.triu(near, 1)
    i, j = np.nonzero(near)
    if len(i) * DENSE > near.size:
        exact = (left.astype(np.float64) @ right.astype(np.float64).T)[i, j]
    else:
        exact = np.zeros(len(i))
        for part in range(0, len(i), BLOCK):
            p = slice(part, part + BLOCK)
            exact[p] = np.einsum("nd,nd->n", left[i[p]].astype(np.float64), right[j[p]].astype(np.float64))
    product = (exact * ONE).astype(np.int64)
    good = product >= least
    return i[good], j[good], product[good]


def _best(a: Longs, b: Longs, product: Longs) -> tuple[Longs, Longs, Longs]:
    """Keep the pairs that are among the best of either, in ascending order; of equal products the first pairs are the best."""
    order = np.lexsort((b, a))
    a, b, product = a[order], b[order], product[order]
    picture, pair = np.concatenate([a, b]), np.tile(np.arange(len(a)), 2)
    ranked = np.lexsort((pair, -product[pair], picture))
    own = picture[ranked]
    first = np.flatnonzero(np.concatenate([[True], own[1:] != own[:-1]])) if len(own) else np.zeros(0, np.int64)
    place = np.arange(len(own)) - np.repeat(first, np.diff(np.concatenate([first, [len(own)]])))
    good = np.zeros(len(a), bool)
    good[pair[ranked[place < MOST]]] = True
    return a[good], b[good], product[good]
