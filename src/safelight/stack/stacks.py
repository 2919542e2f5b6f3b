"""Stacks: pictures that look the same, with one representative each; never a chain.

Identical hashes are one. Distinct hashes are taken in ascending byte order: one within 31 bits of a representative is a member, any
other becomes a representative; then each member joins its nearest representative (tie: the smaller hash). So every member is within
31 bits of its representative, two members within 62, and the result does not depend on the order of input. It depends on nothing
outside the connected component of the 31-bit graph either. Connected components themselves would chain: diameter 182 was measured
(research/media-matching.md 6). Hashes of quality below 50 are noise and are never stacked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from safelight.match.columns import Bytes2D, fixed, strings
from safelight.match.pdq import DISTANCE, QUALITY, join_batches

Longs = NDArray[np.int64]


class Stacked(NamedTuple):
    """One row of `records.STACKS`, in the order of its columns."""

    sha256: bytes
    stack: bytes
    distance: int
    size: int


def representatives(hashes: Bytes2D, distance: int) -> NDArray[np.bool_]:
    """Say which of the (n, 32) distinct, ascending hashes are representatives. Pairs are worked off in pieces of bounded size."""
    leads = np.ones(len(hashes), bool)
    for later, earlier, _ in join_batches(hashes, hashes, distance, below=0):
        if not len(later):
            continue
        starts = np.flatnonzero(np.concatenate([[True], later[1:] != later[:-1]]))
        ends = [*starts[1:], len(later)]
        for start, end in zip(starts, ends, strict=True):
            leads[later[start]] = not leads[earlier[start:end]].any()  # all earlier ones are decided: pieces come in order
    return leads


def nearest(hashes: Bytes2D, leads: NDArray[np.bool_], distance: int) -> tuple[Longs, Longs]:
    """Return (number of the nearest representative, its distance) for each hash; a representative is its own."""
    own = np.flatnonzero(leads)
    lead, bits = np.arange(len(hashes), dtype=np.int64), np.zeros(len(hashes), np.int64)
    members = np.flatnonzero(~leads)
    for q, e, d in join_batches(hashes[members], hashes[own], distance):
        order = np.lexsort((e, d, q))
        q, e, d = q[order], e[order], d[order]
        first = np.flatnonzero(np.concatenate([[True], q[1:] != q[:-1]])) if len(q) else np.zeros(0, np.int64)
        lead[members[q[first]]] = own[e[first]]
        bits[members[q[first]]] = d[first]
    return lead, bits


def stack_arrays(names: Bytes2D, hashes: Bytes2D, good: NDArray[np.bool_], distance: int = DISTANCE) -> list[Stacked]:
    """Return the rows of all pictures, ascending by sha256. `names` (n, 32) distinct, `hashes` (n, 32), `good`: may be stacked."""
    order = np.argsort(strings(names), kind="stable")
    names, hashes, good = names[order], hashes[order], good[order]
    stack, bits = np.arange(len(names), dtype=np.int64), np.zeros(len(names), np.int64)
    chosen = np.flatnonzero(good)
    if len(chosen):
        # names ascend, so the first picture of each distinct hash is the one with the smallest sha256
        _, first, inverse = np.unique(strings(hashes[chosen]), return_index=True, return_inverse=True)
        distinct = hashes[chosen[first]]
        leads = representatives(distinct, distance)
        lead, apart = nearest(distinct, leads, distance)
        stack[chosen] = chosen[first[lead[inverse]]]
        bits[chosen] = apart[inverse]
    sizes = np.bincount(stack, minlength=len(names))
    raw = [name.tobytes() for name in names]
    return [Stacked(raw[n], raw[s], int(b), int(sizes[s])) for n, (s, b) in enumerate(zip(stack, bits, strict=True))]


def stacks(pictures: Iterable[Any], *, distance: int = DISTANCE, quality_gate: int = QUALITY) -> list[Stacked]:
    """Stack the pictures of a case: Arrow record batches (or tables) with sha256, pdq, pdq_quality, in any order, each content once.

    Return one row per picture, ascending by sha256. A picture without hash or of quality below `quality_gate` is its own stack.
    Memory: about 200 bytes a picture.
    """
    names, hashes, good = [np.zeros((0, 32), np.uint8)], [np.zeros((0, 32), np.uint8)], [np.zeros(0, bool)]
    for batch in pictures:
        names.append(fixed(batch.column("sha256"), 32)[0])
        raw, valid = fixed(batch.column("pdq"), 32)
        quality = np.array([-1 if q is None else q for q in batch.column("pdq_quality").to_pylist()], np.int64)
        hashes.append(raw)
        good.append(valid & (quality >= quality_gate))
    every = np.concatenate(names)
    if len(np.unique(strings(every))) != len(every):
        raise ValueError("each content may be given once only")
    return stack_arrays(every, np.concatenate(hashes), np.concatenate(good), distance)


def stack_batches(rows: Iterable[Stacked], size: int = 65_536) -> Iterator[Any]:
    """Yield rows as Arrow record batches of `records.schema("stacks")`."""
    import pyarrow as pa

    from safelight import records

    schema = records.schema("stacks")
    held = list(rows)
    for start in range(0, len(held), size):
        columns = zip(*held[start : start + size], strict=True)
        yield pa.RecordBatch.from_arrays([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
