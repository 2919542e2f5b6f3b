"""Match the contents and pictures of a case with one opened hash set: digests by equality, PDQ within a distance.

Rows come in one total order, (sha256, set, version, method, entry, transform), so that the same case and set give the same bytes.
Batches are worked off one by one. Digests of nothing and of trivial content never match. Canaries go through the same calls as the
contents; a lost one raises `CanaryLost` and no further row is given.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from safelight.match.canaries import CanaryLost, digest_twins
from safelight.match.columns import Ascending, Bools, Bytes2D, fixed, strings
from safelight.match.digests import expand, lookup
from safelight.match.entries import WIDTHS
from safelight.match.indexes import MARK_CANARY, MARK_TRIVIAL
from safelight.match.library import OpenSet
from safelight.match.pdq import DISTANCE, QUALITY
from safelight.match.values import EMPTY, TRIVIAL

METHODS = ("md5", "sha1", "sha256")
MOST_ROWS = 1_000_000
"""Matches that are held at once; more contents wait."""

Longs = NDArray[np.int64]


Of = TypeVar("Of")


class Match(NamedTuple, Generic[Of]):
    """What hits one entry of a set: of a content, by its SHA-256, a row of `records.MATCHES` in the order of its columns; of a query of a
    look-up, by its number in the batch."""

    of: Of
    set: str
    version: str
    as_: str
    method: str
    distance: int
    transform: str
    form: str
    entry: int
    category: str | None
    box: str | None = None


def _order(match: Match[bytes]) -> tuple[bytes, str, int, str]:
    return match.of, match.method, match.entry, match.transform


def match_case_contents(
    contents: Iterable[Any],
    pictures: Iterable[Any] | None,
    opened: OpenSet,
    *,
    distance: int = DISTANCE,
    quality_gate: int = QUALITY,
    trivial: bool = False,
    canaries: bool = True,
) -> Iterator[Match[bytes]]:
    """Yield the matches of a case with one set, sorted.

    `contents`: Arrow record batches (or tables) with sha256, sha1, md5; `pictures`: the same with the columns of
    `pictures.PICTURE_COLUMNS` (forms may be left out); both in ascending sha256, else ValueError. `distance` 0..64 bits. PDQ hashes below
    `quality_gate` (0..100) take part on neither side; entries without a quality do. `trivial`: match digests of trivial content too.
    One row per (content, entry, method). Raise `CanaryLost` where a planted entry is lost.
    """
    if not 0 <= distance <= 64:
        raise ValueError("distance must be 0..64")
    if any(method in opened.indexes for method in METHODS):
        exact = exact_matches(contents, opened, trivial=trivial, canaries=canaries)
    else:
        exact = iter(())
    if pictures is None or opened.pdq is None:
        yield from exact
        return
    from safelight.match.pictures import picture_matches

    similar = picture_matches(pictures, opened, distance, quality_gate, canaries)
    yield from heapq.merge(exact, similar, key=_order)


def match_batches(matches: Iterable[Match[bytes]], size: int = 65_536) -> Iterator[Any]:
    """Yield matches as Arrow record batches of `records.schema("matches")`."""
    import pyarrow as pa

    from safelight import records

    schema = records.schema("matches")
    held: list[Match[bytes]] = []

    def batch() -> Any:
        return pa.RecordBatch.from_arrays(
            [pa.array(c, f.type) for c, f in zip(zip(*held, strict=True), schema, strict=True)], schema=schema
        )

    for match in matches:
        held.append(match)
        if len(held) == size:
            yield batch()
            held.clear()
    if held:
        yield batch()


def check_digest_canaries(opened: OpenSet, method: str, first: Longs, count: Longs) -> None:
    """Compare what the look-up found for the twins with what it must find; raise `CanaryLost`."""
    _, wanted = digest_twins(opened.set_id, method)
    if bool(((count > 0) != wanted).any()):
        lost = int((wanted & (count == 0)).sum())
        raise CanaryLost(opened.set_id, method, f"{lost} of {int(wanted.sum())} planted digests not found" if lost else "a false one found")
    rows = opened.indexes[method].take(first[wanted])
    if not bool((opened.marks[rows] & MARK_CANARY).all()):
        raise CanaryLost(opened.set_id, method, "a planted digest leads to an entry that is none")


def banned(keys: Bytes2D, digests: frozenset[bytes]) -> Bools:
    """Say which (n, width) keys are among some digests."""
    listed = [d for d in digests if len(d) == keys.shape[1]]
    return np.isin(strings(keys), np.array(listed, f"S{keys.shape[1]}"))


def _look_up(batch: Any, method: str, opened: OpenSet, trivial: bool, canaries: bool) -> tuple[Longs, Longs]:
    """Return (first place, number) in the index of a method for each content of a batch."""
    index = opened.indexes[method]
    keys, valid = fixed(batch.column(method), WIDTHS[method])
    twins = digest_twins(opened.set_id, method)[0] if canaries else keys[:0]
    first, count = lookup(index.keys, index.table, index.bits, np.concatenate([keys, twins]))
    if canaries:
        check_digest_canaries(opened, method, first[len(keys) :], count[len(keys) :])
    first, count = first[: len(keys)], count[: len(keys)]
    count[~valid | banned(keys, EMPTY if trivial else EMPTY | TRIVIAL)] = 0
    return first, count


def _cuts(totals: Longs) -> Iterator[tuple[int, int]]:
    """Yield runs of contents with at most `MOST_ROWS` matches each (or of one content)."""
    start, held = 0, 0
    for at in np.flatnonzero(totals):
        number = int(totals[at])
        if held and held + number > MOST_ROWS:
            yield start, int(at)
            start, held = int(at), 0
        held += number
    if held:
        yield start, len(totals)


def exact_matches(contents: Iterable[Any], opened: OpenSet, *, trivial: bool = False, canaries: bool = True) -> Iterator[Match[bytes]]:
    """Yield the matches by md5, sha1 and sha256, sorted; see `match_case_contents`."""
    methods = [m for m in METHODS if m in opened.indexes]
    order = Ascending("contents")
    for batch in contents:
        names, _ = fixed(batch.column("sha256"), 32)
        order.check(names)
        if len(names):
            found = {method: _look_up(batch, method, opened, trivial, canaries) for method in methods}
            totals = np.sum([count for _, count in found.values()], axis=0)
            for start, end in _cuts(totals):
                yield from _rows(opened, names[start:end], {m: (f[start:end], c[start:end]) for m, (f, c) in found.items()}, trivial)


def _rows(opened: OpenSet, names: Bytes2D, found: dict[str, tuple[Longs, Longs]], trivial: bool) -> Iterator[Match[bytes]]:
    parts = []
    for rank, (method, (first, count)) in enumerate(found.items()):
        content, places = expand(first, count)
        rows = opened.indexes[method].take(places)
        dropped = MARK_CANARY if trivial else MARK_CANARY | MARK_TRIVIAL
        keep = (opened.marks[rows] & dropped) == 0
        parts.append(np.stack([content[keep], np.full(int(keep.sum()), rank), rows[keep]]))
    content, ranks, rows = np.concatenate(parts, axis=1)
    entries = opened.positions[rows]
    texts, methods = opened.category_texts, list(found)
    for at in np.lexsort((entries, ranks, content)):
        row = int(rows[at])
        category = texts[int(opened.categories[row])]
        name, method = names[content[at]].tobytes(), methods[int(ranks[at])]
        yield Match(name, opened.name, opened.version, opened.as_, method, 0, "identity", "full", int(entries[at]), category)
