"""Stacks: pictures that look the same, with one representative each; never a chain.

Identical hashes are one. Distinct hashes are taken in ascending byte order: one within 31 bits of a representative is a member, any
other becomes a representative; then each member joins its nearest representative (`leaders.py`). So every member is within 31 bits of
its representative, two members within 62, and the result does not depend on the order of input. Connected components themselves would
chain: diameter 182 was measured on frames of a slow pan. Hashes of quality below 50 are noise and are never stacked.

The representative is what the stack hangs on; what people see first is the member of rank 1: the one with the most pixels, then of the
highest PDQ quality (which measures the gradients of the picture, so its sharpness), then of the smallest SHA-256.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from safelight.match.columns import Bytes2D, fixed, strings
from safelight.match.pdq import DISTANCE, QUALITY, collapse, order_of
from safelight.stack.leaders import Led, led, updated

Longs = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Stacked(NamedTuple):
    """One row of `records.STACKS`, in the order of its columns."""

    sha256: bytes
    stack: bytes
    distance: int
    size: int
    rank: int
    pdq: bytes | None


class Pictures(NamedTuple):
    """Pictures ascending by `names` (n, 32): `hashes` (n, 32), `good` (may be stacked by PDQ), `pixels`, `quality` (-1: none)."""

    names: Bytes2D
    hashes: Bytes2D
    good: Bools
    pixels: Longs
    quality: NDArray[np.int16]


class Stacks(NamedTuple):
    """All pictures ascending by name: number of the representative of each, distance to it, size of its stack, rank within."""

    pictures: Pictures
    stack: Longs
    distance: NDArray[np.int16]
    size: Longs
    rank: Longs


class Before(NamedTuple):
    """What was stacked before, by distinct hash: `hashes` (n, 32) ascending and what was `said` of them."""

    hashes: Bytes2D
    said: Led


def _numbers(batch: Any, name: str, missing: int) -> Longs:
    if name not in batch.schema.names:
        return np.full(batch.num_rows, missing, np.int64)
    column = batch.column(name).fill_null(missing)
    found: Longs = np.asarray(column.to_numpy(zero_copy_only=False) if hasattr(column, "offset") else column.to_numpy()).astype(np.int64)
    return found


def read_pictures(batches: Iterable[Any], quality_gate: int = QUALITY) -> Pictures:
    """Read Arrow record batches (or tables) with sha256, pdq, pdq_quality and, for the ranks, width and height; in any order.

    Raise ValueError where a content is given twice. Memory: about 200 bytes a picture.
    """
    empty = np.zeros((0, 32), np.uint8)
    parts: list[tuple[Any, ...]] = [(empty, empty, np.zeros(0, bool), np.zeros(0, np.int64), np.zeros(0, np.int16))]
    for batch in batches:
        hashes, valid = fixed(batch.column("pdq"), 32)
        quality = np.clip(_numbers(batch, "pdq_quality", -1), -1, 100)
        pixels = _numbers(batch, "width", 0) * _numbers(batch, "height", 0)
        # copies: a view would keep the whole batch in memory
        parts.append(
            (
                fixed(batch.column("sha256"), 32)[0].copy(),
                hashes.copy(),
                valid & (quality >= quality_gate),
                pixels,
                quality.astype(np.int16),
            )
        )
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    del parts
    order = order_of(columns[0])
    for n, column in enumerate(columns):
        columns[n] = column[order]
    pictures = Pictures(*columns)
    if bool((pictures.names[1:] == pictures.names[:-1]).all(axis=1).any()):
        raise ValueError("each content may be given once only")
    return pictures


def stack_pictures(pictures: Pictures, distance: int = DISTANCE, before: Before | None = None) -> Stacks:
    """Stack the pictures. `before`: an earlier result at the same distance; what it did not touch stays, and the result is the same."""
    count = len(pictures.names)
    stack, bits = np.arange(count, dtype=np.int64), np.zeros(count, np.int16)
    chosen = np.flatnonzero(pictures.good)
    if len(chosen):
        # names ascend, so the first picture of each distinct hash is the one with the smallest sha256
        first, which = collapse(pictures.hashes[chosen])
        distinct = pictures.hashes[chosen[first]]
        found = updated(before.hashes, before.said, distinct, distance) if before else led(distinct, distance)
        stack[chosen] = chosen[first[found.lead]][which]
        bits[chosen] = found.bits[which]
    size = np.bincount(stack, minlength=count)[stack]
    return Stacks(pictures, stack, bits, size, _ranks(pictures, stack))


def _ranks(pictures: Pictures, stack: Longs) -> Longs:
    """Return the place of each picture in its stack: most pixels, highest quality, smallest name first."""
    order = np.lexsort((-pictures.quality, -pictures.pixels, stack))
    ordered = stack[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(order) else np.zeros(0, np.int64)
    rank = np.empty(len(stack), np.int64)
    rank[order] = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order)))) + 1
    return rank


def before_of(column: Callable[[str], Any]) -> Before:
    """Return what rows of `records.STACKS` say of each distinct hash. Raise ValueError where they disagree.

    `column` gives a whole Arrow column; each is asked for once and not held, so that of ten million rows no two are in memory as Arrow.
    """
    names = fixed(column("sha256"), 32)[0].copy()
    hashes, good = fixed(column("pdq"), 32)
    hashes = hashes.copy()
    stacks = fixed(column("stack"), 32)[0].copy()
    chosen = np.flatnonzero(good)
    sorted_names = strings(names)
    if bool((sorted_names[1:] <= sorted_names[:-1]).any()):
        raise ValueError("the stacks are not in order")
    leader = np.arange(len(names), dtype=np.int64)
    others = np.flatnonzero((stacks != names).any(axis=1))
    leader[others] = np.minimum(np.searchsorted(sorted_names, strings(stacks[others])), max(0, len(names) - 1))
    if not np.array_equal(names[leader[others]], stacks[others]):
        raise ValueError("the stacks name a picture that is not there")
    del stacks, sorted_names
    leader = leader[chosen]
    one, value = collapse(hashes[chosen])
    number = np.full(len(names), -1, np.int64)
    number[chosen] = value
    lead = number[leader[one]]
    bits = np.asarray(column("distance").to_numpy())[chosen[one]].astype(np.int16)
    if bool((lead < 0).any()) or bool((lead[lead] != lead).any()) or not np.array_equal(number[leader], lead[value]):
        raise ValueError("the stacks do not agree with the hashes of their pictures")
    return Before(hashes[chosen[one]], Led(lead, bits))


def stack_batches(stacks: Stacks, size: int = 65_536) -> Iterator[Any]:
    """Yield Arrow record batches of `records.schema("stacks")`, ascending by sha256."""
    import pyarrow as pa

    from safelight import records

    schema, pictures = records.schema("stacks"), stacks.pictures

    def wide(rows: Bytes2D, valid: Bools | None = None) -> Any:
        mask = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())
        return pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(rows), [mask, pa.py_buffer(np.ascontiguousarray(rows))])

    for start in range(0, len(pictures.names), size):
        part = slice(start, start + size)
        columns = {
            "sha256": wide(pictures.names[part]),
            "stack": wide(pictures.names[stacks.stack[part]]),
            "distance": pa.array(stacks.distance[part]),
            "size": pa.array(stacks.size[part]),
            "rank": pa.array(stacks.rank[part]),
            "pdq": wide(pictures.hashes[part], pictures.good[part]),
        }
        yield pa.RecordBatch.from_arrays([columns[f.name].cast(f.type) for f in schema], schema=schema)


def stacks(pictures: Iterable[Any], *, distance: int = DISTANCE, quality_gate: int = QUALITY) -> list[Stacked]:
    """Stack some pictures (see `read_pictures`) and return one row each, ascending by sha256; for large numbers see `stack_batches`.

    A picture without hash or of quality below `quality_gate` is its own stack.
    """
    found = stack_pictures(read_pictures(pictures, quality_gate), distance)
    return [Stacked(*row.values()) for batch in stack_batches(found) for row in batch.to_pylist()]
