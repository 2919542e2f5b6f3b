"""Candidates: which pictures may share a part, found without comparing each with each.

Locality-sensitive hashing of the descriptors (Indyk and Motwani 1998): each table looks at some of the 256 bits; corners of two pictures
that agree in all of them cast a vote. Votes count where they agree on the turn between the pictures too (weak geometry, Jegou et al. 2008).
The bits of a table come in mirrored pairs, so one table serves the mirrored pictures as well. Everything follows from the descriptors and
their order; nothing is drawn at random. A candidate is no link: `geometry` decides.

A key that many corners share (letters, keys, edges of an app) would give pairs without end: beyond `CLIQUE` corners each is paired only
with the first `LEADERS`, so that work grows with the number of pictures and all of them still hang together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

TABLES = 6
CLIQUE, LEADERS = 24, 6
WORTH = 240
"""What a key is worth, shared by the corners that have it: a rare corner says more than one that half of the case has."""

VOTES = 2 * WORTH
"""Votes of two pictures at one turn that make them candidates: four keys that no third corner has."""

MOST = 32
"""Candidates of one picture, those with the most votes; a pair is kept where it is among those of either."""

PART = 4_000_000
"""Corners whose keys are sorted at once."""

Longs = NDArray[np.int64]


class Corners(NamedTuple):
    """All corners: number of the picture (n,) ascending, its turn (n,) uint8, descriptor (n, 32) uint8 (may be mapped from a file)."""

    picture: NDArray[np.uint32]
    turn: NDArray[np.uint8]
    descriptor: NDArray[np.uint8]


def candidates(corners: Corners) -> tuple[Longs, Longs, NDArray[np.bool_]]:
    """Return (a, b, mirrored) with a < b of the pictures that may share a part, in ascending order."""
    pairs = bit_pairs(len(corners.picture))
    total: tuple[Longs, Longs] = (np.zeros(0, np.int64), np.zeros(0, np.int64))
    for table in range(TABLES if len(corners.picture) else 0):
        for votes in _votes(corners, pairs[table]):
            total = _sum(np.concatenate([total[0], votes[0]]), np.concatenate([total[1], votes[1]]))
    return _chosen(*total)


def bit_pairs(corners: int) -> list[list[int]]:
    """Return for each table the numbers n of the bits 2n and 2n + 1 that it looks at: more bits for more corners, so that keys stay
    rare. The tables deal the 128 pairs out in turns, each time in another order (an affine step modulo 128)."""
    count = min(24, max(18, (int(corners).bit_length() + 21) // 2))
    order = [(n * step + start) % 128 for step, start in ((1, 0), (37, 11), (75, 29), (101, 3), (53, 17)) for n in range(128)]
    return [order[t * count : (t + 1) * count] for t in range(TABLES)]


def _keys(descriptor: NDArray[np.uint8], pairs: list[int], mirrored: bool) -> NDArray[np.uint64]:
    """Return the bits of a table as numbers; of the mirrored picture, where asked."""
    keys = np.zeros(len(descriptor), np.uint64)
    for place, n in enumerate(pairs):
        two: NDArray[Any] = (descriptor[:, n >> 2] >> np.uint8(2 * (n & 3))) & np.uint8(3)
        if mirrored:
            two = (two >> 1) | ((two & 1) << 1)
        keys |= two.astype(np.uint64) << np.uint64(2 * place)
    return keys


def _votes(corners: Corners, pairs: list[int]) -> Iterator[tuple[Longs, Longs]]:
    """Yield (name of pair and turn, votes) of one table, part by part of the keys."""
    count = len(corners.picture)
    parts = 1 + 2 * count // PART
    for part in range(parts):
        keys, who, turn, flipped = [], [], [], []
        for start in range(0, count, PART // 4):
            piece = slice(start, start + PART // 4)
            descriptor = np.asarray(corners.descriptor[piece])
            for mirrored in (False, True):
                found = _keys(descriptor, pairs, mirrored)
                chosen = np.flatnonzero(_spread(found) % np.uint64(parts) == part) if parts > 1 else np.arange(len(found))
                own = corners.turn[piece][chosen]
                keys.append(found[chosen])
                who.append(corners.picture[piece][chosen].astype(np.int64))
                turn.append((32 - own.astype(np.int64)) % 64 if mirrored else own.astype(np.int64))
                flipped.append(np.full(len(chosen), mirrored))
        yield _paired(np.concatenate(keys), np.concatenate(who), np.concatenate(turn), np.concatenate(flipped))


def _spread(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return (keys * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)


def _paired(keys: NDArray[np.uint64], who: Longs, turn: Longs, flipped: NDArray[np.bool_]) -> tuple[Longs, Longs]:
    order = np.argsort(keys, kind="stable")
    keys, who, turn, flipped = keys[order], who[order], turn[order], flipped[order]
    fresh = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.zeros(0, np.int64)
    size = np.diff(np.concatenate([fresh, [len(keys)]]))
    start, within = np.repeat(fresh, size), np.arange(len(keys)) - np.repeat(fresh, size)
    small = np.repeat(size, size) <= CLIQUE
    names, votes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    worth = WORTH // np.minimum(np.repeat(size, size), CLIQUE)

    def vote(earlier: Longs, later: Longs) -> None:
        found, kept = _names(earlier, later, who, turn, flipped)
        names.append(found)
        votes.append(worth[later[kept]])

    for step in range(1, CLIQUE):  # each with each
        later = np.flatnonzero(small & (within >= step))
        if not len(later):
            break
        vote(later - step, later)
    large = np.flatnonzero(~small)
    for leader in range(LEADERS):
        later = large[within[large] > leader]
        vote(start[later] + leader, later)
    return _sum(np.concatenate(names), np.concatenate(votes))


def _names(i: Longs, j: Longs, who: Longs, turn: Longs, flipped: NDArray[np.bool_]) -> tuple[Longs, Longs]:
    """Return the names of the votes of corners i and j (both pictures, whether mirrored, the turn between them in eighths), and which
    of the pairs cast them.

    Only one of the two may be mirrored: of both mirrored the same pair was seen unmirrored.
    """
    kept = np.flatnonzero((who[i] != who[j]) & ~(flipped[i] & flipped[j]))
    i, j = i[kept], j[kept]
    low, high = np.where(who[i] < who[j], i, j), np.where(who[i] < who[j], j, i)
    # a mirrored high against a plain low is the same vote as the plain high against the mirrored low, which is there too
    own = ~flipped[high]
    low, high, kept = low[own], high[own], kept[own]
    eighth = ((turn[high] - turn[low]) % 64) >> 3
    name: Longs = (who[low] << 34) | (who[high] << 4) | (flipped[low].astype(np.int64) << 3) | eighth
    return name, kept


def _sum(names: Longs, votes: Longs) -> tuple[Longs, Longs]:
    """Add up the votes of equal names."""
    found, inverse = np.unique(names, return_inverse=True)
    return found, np.bincount(inverse, weights=votes, minlength=len(found)).astype(np.int64)


def _chosen(names: Longs, votes: Longs) -> tuple[Longs, Longs, NDArray[np.bool_]]:
    """Count each turn with the next (a turn between two eighths falls into both), keep the best of each picture."""
    place = np.searchsorted(names, (names & ~7) | ((names + 1) & 7))
    beside = np.where(
        names[np.minimum(place, len(names) - 1)] == ((names & ~7) | ((names + 1) & 7)), votes[np.minimum(place, len(names) - 1)], 0
    )
    sums = votes + beside
    kept = np.flatnonzero(sums >= VOTES)
    pair = names[kept] >> 3
    order = np.lexsort((-sums[kept], pair))
    first = np.flatnonzero(np.concatenate([[True], pair[order][1:] != pair[order][:-1]])) if len(order) else np.zeros(0, np.int64)
    pair, sums = pair[order][first], sums[kept][order][first]
    a, b = pair >> 31, (pair >> 1) & ((1 << 30) - 1)
    good = _among_best(a, sums) | _among_best(b, sums)
    return a[good], b[good], (pair[good] & 1).astype(bool)


def _among_best(picture: Longs, votes: Longs) -> NDArray[np.bool_]:
    """Say which pairs are among the `MOST` with the most votes of this picture."""
    order = np.lexsort((np.arange(len(picture)), -votes, picture))
    sorted_ = picture[order]
    fresh = np.flatnonzero(np.concatenate([[True], sorted_[1:] != sorted_[:-1]])) if len(order) else np.zeros(0, np.int64)
    rank = np.arange(len(order)) - np.repeat(fresh, np.diff(np.concatenate([fresh, [len(order)]])))
    good = np.zeros(len(order), bool)
    good[order[rank < MOST]] = True
    return good
