"""Leaders: distinct hashes in ascending byte order; one with an earlier leader within the distance follows, any other leads.

Then each follower joins its nearest leader (tie: the smaller hash). Whether a hash leads depends on the hashes before it, and on nothing
outside its connected component of the graph of all pairs within the distance. So the answer is the same in any order of arrival, and
when hashes come or go it can change only in the components that they touch (`updated`).

Nothing here holds all pairs. Hashes are settled in pieces of a million: against the leaders so far, which are far from each other and
therefore few around any hash, then among themselves. Where a piece has too many pairs (a template with a hundred thousand variants) it
is halved: most of the second half follows a leader of the first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from safelight.match import pdq
from safelight.match.pdq import Hashes, Longs
from safelight.match.pdq_search import Bands

PIECE = 1_000_000
"""Hashes that are settled at once."""
MOST_TOUCHED = 0.2
"""Share of the hashes beyond which all are done again: then that is cheaper than to follow the components."""

Bools = NDArray[np.bool_]


class Led(NamedTuple):
    """`lead`: number of the leader of each hash, its own for a leader; `bits`: the distance to it."""

    lead: Longs
    bits: NDArray[np.int16]


def plain_leaders(hashes: Hashes, distance: int) -> Bools:
    """Say which of a few distinct, ascending hashes lead; the definition as it is written, one by one."""
    from safelight.native.hamming_twin import distances

    leads = np.zeros(len(hashes), bool)
    for n, hash_ in enumerate(hashes):
        leads[n] = not (distances(hash_, hashes[leads]) <= distance).any()
    return leads


def leaders(hashes: Hashes, distance: int) -> Bools:
    """Say which of the (n, 32) distinct, ascending hashes lead."""
    leads = np.zeros(len(hashes), bool)
    for start in range(0, len(hashes), PIECE):
        numbers = np.arange(start, min(start + PIECE, len(hashes)))
        _settle(hashes, _unled(hashes, numbers, hashes[leads], distance), leads, distance)
    return leads


def _unled(hashes: Hashes, numbers: Longs, leading: Hashes, distance: int) -> Longs:
    """Return those of `numbers` that have none of `leading` within the distance."""
    led = np.zeros(len(numbers), bool)
    for q, _, _ in pdq.join_batches(hashes[numbers], leading, distance):
        led[q] = True
    return numbers[~led]


def _settle(hashes: Hashes, numbers: Longs, leads: Bools, distance: int) -> None:
    """Decide ascending `numbers` that have no leader before the first of them."""
    from safelight.native import _stacks

    if not len(numbers):
        return
    part = hashes[numbers]
    pairs = pdq.pairs_within(part, part, distance, pdq.MOST_PAIRS, below=0)
    if pairs is None and len(numbers) > 1:
        middle = len(numbers) // 2
        _settle(hashes, numbers[:middle], leads, distance)
        leading = hashes[numbers[:middle][leads[numbers[:middle]]]]
        _settle(hashes, _unled(hashes, numbers[middle:], leading, distance), leads, distance)
        return
    local = np.ones(len(numbers), np.uint8)
    _stacks.decide(b"" if pairs is None else pairs, local)
    leads[numbers] = local.astype(bool)


def nearest(hashes: Hashes, leads: Bools, distance: int) -> Led:
    """Give each follower its nearest leader; a tie goes to the smaller hash."""
    own, members = np.flatnonzero(leads), np.flatnonzero(~leads)
    lead, bits = np.arange(len(hashes), dtype=np.int64), np.zeros(len(hashes), np.int16)
    for start in range(0, len(members), PIECE):
        part = members[start : start + PIECE]
        for q, e, d in pdq.join_batches(hashes[part], hashes[own], distance):
            order = np.argsort(q << 40 | d.astype(np.int64) << 32 | e)
            q, e, d = q[order], e[order], d[order]
            first = np.flatnonzero(np.concatenate([[True], q[1:] != q[:-1]])) if len(q) else np.zeros(0, np.int64)
            lead[part[q[first]]] = own[e[first]]
            bits[part[q[first]]] = d[first]
    return Led(lead, bits)


def led(hashes: Hashes, distance: int) -> Led:
    """Return the leader of each of the (n, 32) distinct, ascending hashes."""
    return nearest(hashes, leaders(hashes, distance), distance)


def reached(hashes: Hashes, seeds: Longs, distance: int, most: int) -> Bools | None:
    """Say which hashes are in a connected component of a seed; None where they are more than `most`."""
    found = np.zeros(len(hashes), bool)
    found[seeds] = True
    search, frontier = Bands.of(hashes), seeds
    while len(frontier):
        if int(found.sum()) > most:
            return None
        fresh = np.zeros(len(hashes), bool)
        for _, e, _ in search.pairs(hashes[frontier], distance):
            fresh[e] = True
        frontier = np.flatnonzero(fresh & ~found)
        found[frontier] = True
    return found


def updated(before: Hashes, said: Led, hashes: Hashes, distance: int) -> Led:
    """Return `led(hashes, distance)` from what was said of the hashes before: only touched components are done again.

    `before` and `hashes` are distinct and ascending; `said` is `led(before, distance)`.
    """
    first, which = pdq.collapse(np.concatenate([before, hashes]))
    old, new = which[: len(before)], which[len(before) :]
    every = np.concatenate([before, hashes])[first]
    was, is_now = np.zeros(len(every), bool), np.zeros(len(every), bool)
    was[old], is_now[new] = True, True
    seeds = np.flatnonzero(was ^ is_now)
    most = max(1000, int(len(every) * MOST_TOUCHED))
    touched = reached(every, seeds, distance, most) if len(seeds) <= most else None
    if touched is None:
        return led(hashes, distance)
    lead, bits = np.arange(len(every), dtype=np.int64), np.zeros(len(every), np.int16)
    lead[old], bits[old] = old[said.lead], said.bits
    again = np.flatnonzero(touched & is_now)
    part = led(every[again], distance)
    lead[again], bits[again] = again[part.lead], part.bits
    place = np.full(len(every), -1, np.int64)
    place[new] = np.arange(len(hashes))
    return Led(place[lead[new]], bits[new])
