"""Ask the sets of a library about digests, PDQ hashes or files, without a case: "has anyone seen this?"

Queries come in batches (a million is one), rows come out in the order of the queries. Canaries go along with each call, as in a run;
digests of nothing and of trivial content never match, as there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from safelight.match.canaries import digest_twins
from safelight.match.columns import Bytes2D
from safelight.match.digests import expand, lookup
from safelight.match.entries import WIDTHS
from safelight.match.indexes import MARK_CANARY, MARK_TRIVIAL
from safelight.match.library import Library, OpenSet
from safelight.match.matcher import METHODS, Match, banned, check_digest_canaries
from safelight.match.pdq import QUALITY
from safelight.match.pictures import Similar
from safelight.match.values import DIRT, EMPTY, TRIVIAL

BATCH = 1_000_000
"""Queries that are held at once."""
CHUNK = 1_000_000
"""Queries whose rows are held at once."""
MOST_ROWS = 1_000_000
"""Rows that are held at once; beyond it the queries are taken in halves."""
BY_DIGITS = {32: "md5", 40: "sha1", 64: "sha256"}

Longs = NDArray[np.int64]


class Asked:
    """One batch of queries: `texts` as they came; by method the numbers of the queries and their values (n, width)."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.values: dict[str, tuple[Longs, Bytes2D]] = {}

    def __len__(self) -> int:
        return len(self.texts)


def asked(lines: Iterable[str], pdq: bool = False) -> tuple[Asked, list[int]]:
    """Return a batch of queries from lines of hexadecimal text, and the numbers (from 0) of those that are none.

    64 digits are SHA-256, or PDQ where `pdq` says so. What else stands in a line after a blank is passed over (`md5sum` writes names).
    """
    batch, wrong = Asked(), list[int]()
    groups: dict[str, tuple[list[int], list[str]]] = defaultdict(lambda: ([], []))
    for number, line in enumerate(lines):
        text = line.strip(DIRT)
        batch.texts.append(text)
        value = text.split(None, 1)[0].lstrip("\\") if text else ""
        method = ("pdq" if len(value) == 64 else None) if pdq else BY_DIGITS.get(len(value))
        if method is None:
            wrong.append(number)
        else:
            groups[method][0].append(number)
            groups[method][1].append(value)
    for method, (numbers, values) in groups.items():
        good = [n for n, v in enumerate(values) if v.isascii() and v.isalnum()]
        try:
            raw = bytes.fromhex("".join(values[n] for n in good))
        except ValueError:
            good = [n for n in good if _is_hex(values[n])]
            raw = bytes.fromhex("".join(values[n] for n in good))
        wrong += sorted(set(numbers) - {numbers[n] for n in good}) if len(good) < len(numbers) else []
        kept = np.array([numbers[n] for n in good], np.int64)
        batch.values[method] = kept, np.frombuffer(raw, np.uint8).reshape(-1, WIDTHS[method])
    return batch, sorted(wrong)


def _is_hex(text: str) -> bool:
    return not set(text) - set("0123456789abcdefABCDEF")


def open_sets(library: Library, names: Sequence[str] = ()) -> list[OpenSet]:
    """Open every set that is ready, or those that are named. Raise `SetDamaged` or `Refused` for one that cannot be used."""
    if names:
        return [library.open(name) for name in sorted(set(names))]
    return [library.open(s.name, s.version) for s in library.list() if s.state in ("ready", "damaged")]


def matches(batch: Asked, sets: Sequence[OpenSet], distance: int, canaries: bool = True) -> Iterator[Match[int]]:
    """Yield what a batch hits, by query, set, method and entry. Raise `CanaryLost` where a planted entry is lost."""
    similar = [Similar(s, distance, QUALITY, canaries) if s.pdq is not None and "pdq" in batch.values else None for s in sets]
    waiting = [(start, min(start + CHUNK, len(batch))) for start in range(0, len(batch), CHUNK)][::-1]
    while waiting:
        start, end = waiting.pop()
        parts = [_exact(batch, number, opened, start, end, canaries) for number, opened in enumerate(sets)]
        total = sum(int(count.sum()) for part in parts for *_, count in part)
        if total > MOST_ROWS and end - start > 1:
            middle = (start + end) // 2
            waiting += [(middle, end), (start, middle)]
            continue
        rows = [_rows(sets[number], number, part) for number, part in enumerate(parts)]
        rows += [_similar(batch, s, number, start, end) for number, s in enumerate(similar) if s is not None]
        yield from _found(np.concatenate(rows, axis=1), sets)


def _exact(batch: Asked, number: int, opened: OpenSet, start: int, end: int, canaries: bool) -> list[tuple[str, Longs, Longs, Longs]]:
    """Return (method, query, first place, places) of the queries start to end in one set."""
    found = []
    for method in METHODS:
        if method not in opened.indexes or method not in batch.values:
            continue
        numbers, values = batch.values[method]
        low, high = np.searchsorted(numbers, [start, end])
        keys, index = values[low:high], opened.indexes[method]

        twins = digest_twins(opened.set_id, method)[0] if canaries else keys[:0]
        first, count = lookup(index.keys, index.table, index.bits, np.concatenate([keys, twins]))
        if canaries:
            check_digest_canaries(opened, method, first[len(keys) :], count[len(keys) :])
        first, count = first[: len(keys)], count[: len(keys)]
        count[banned(keys, EMPTY | TRIVIAL)] = 0
        found.append((method, numbers[low:high], first, count))
    return found


def _rows(opened: OpenSet, number: int, part: list[tuple[str, Longs, Longs, Longs]]) -> Longs:
    """Return (query, set, method, entry row, distance) as columns of an array."""
    columns = [np.zeros((5, 0), np.int64)]
    for method, numbers, first, count in part:
        query, places = expand(first, count)
        rows = opened.indexes[method].take(places)
        keep = (opened.marks[rows] & (MARK_CANARY | MARK_TRIVIAL)) == 0
        rows, query = rows[keep], numbers[query[keep]]
        same = np.ones(len(rows), np.int64)
        columns.append(np.stack([query, same * number, same * METHODS.index(method), rows, same * 0]))
    return np.concatenate(columns, axis=1)


def _similar(batch: Asked, similar: Similar, number: int, start: int, end: int) -> Longs:
    numbers, values = batch.values["pdq"]
    low, high = np.searchsorted(numbers, [start, end])
    columns = [np.zeros((5, 0), np.int64)]
    for query, entry, bits in similar.pairs(values[low:high]):
        pair, places = expand(*similar.index.places_of(entry))
        rows = similar.index.take(places)
        keep = similar.usable(rows)
        pair, rows = pair[keep], rows[keep]
        same = np.ones(len(rows), np.int64)
        columns.append(np.stack([numbers[low:high][query[pair]], same * number, same * len(METHODS), rows, bits[pair].astype(np.int64)]))
    return np.concatenate(columns, axis=1)


def _found(columns: Longs, sets: Sequence[OpenSet]) -> Iterator[Match[int]]:
    names = [*METHODS, "pdq"]
    texts = [s.category_texts for s in sets]
    order = np.lexsort((columns[3], columns[2], columns[1], columns[0]))
    for query, number, method, row, bits in columns[:, order].T.tolist():
        opened = sets[number]
        category = texts[number][int(opened.categories[row])]
        entry = int(opened.positions[row])
        yield Match(query, opened.name, opened.version, opened.as_, names[method], bits, "identity", "full", entry, category)


class Hashed(NamedTuple):
    """Files that were hashed: for each its name; Arrow tables of contents and pictures; (name, reason) of what could not be read."""

    names: dict[bytes, list[int]]
    contents: Any
    pictures: Any
    problems: list[tuple[str, str]]


def file_matches(hashed: Hashed, sets: Sequence[OpenSet], distance: int) -> Iterator[Match[int]]:
    """Yield what files hit, as a run would find it: each form of a picture in all its turns. By file, set, method and entry."""
    from safelight.match.matcher import match_case_contents

    rows = [
        Match(number, *match[1:])
        for opened in sets
        for match in match_case_contents([hashed.contents], [hashed.pictures], opened, distance=distance)
        for number in hashed.names[match.of]
    ]
    yield from sorted(rows, key=lambda r: r[:3] + (r.method, r.entry))
