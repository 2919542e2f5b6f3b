"""Match pictures by PDQ: all eight turns and flips of each form of a picture, and of the panels in it, against the distinct hashes of a set.

One row per (content, entry): the least distance; on a tie the first form in the order of `records.FORMS`, then the first
transform in the order of `records.TRANSFORMS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safelight.match.canaries import COUNT, CanaryLost, keys, pdq_twins
from safelight.match.columns import Ascending, Bytes2D, fixed
from safelight.match.digests import expand, plain_lookup
from safelight.match.indexes import MARK_CANARY, UNKNOWN_QUALITY
from safelight.match.library import OpenSet
from safelight.match.matcher import Match
from safelight.match.pdq import Pairs, by_value, collapse
from safelight.records import FORMS, TRANSFORMS

MOST_PICTURES = 32_000
"""Pictures at once: with all their forms and turns about a million queries, which is what a large set is searched best with."""
MOST_PAIRS = 8_000_000
"""Pairs of (picture, entry) that are held at once; beyond it the pictures are taken in halves."""

Longs = NDArray[np.int64]

HASH_COLUMNS = ("pdq", *(f"pdq_{form}" for form in FORMS[1:]))
"""The column of each form; its quality and its turns stand in COLUMN_quality and COLUMN_transforms."""
PICTURE_COLUMNS = ("sha256", *(f"{column}{part}" for column in HASH_COLUMNS for part in ("", "_quality", "_transforms")))


MOST_PANELS = 16
FORM_NUMBERS = len(FORMS) + MOST_PANELS
"""Numbers of forms: those of `records.FORMS`, then one for each panel of a picture; all of them are the form `panel`."""


class Queries:
    """The hashes of some pictures: `hashes` (n, 32), `picture` number, `slot` of the transform, number of the `form`.

    Where the batch has `panel_transforms` (eight hashes a panel) and `panel_boxes`, panels are queries too; `boxes` are their places.
    """

    def __init__(self, batch: Any, gate: int) -> None:
        self.names, _ = fixed(batch.column("sha256"), 32)
        parts: list[tuple[Bytes2D, Longs, Longs, int]] = []
        for form, column in enumerate(HASH_COLUMNS):
            if column not in batch.schema.names:
                continue
            hashes, valid = fixed(batch.column(column), 32)
            good = valid & (self._numbers(batch, f"{column}_quality") >= gate)
            chosen = np.flatnonzero(good)
            parts.append((hashes[chosen], chosen, np.zeros(len(chosen), np.int64), form))
            parts.append((*self._transforms(batch, f"{column}_transforms", good), form))
        self.boxes: list[list[str] | None] = []
        if "panel_transforms" in batch.schema.names:
            parts += self._panels(batch)
            self.boxes = batch.column("panel_boxes").to_pylist()
        self.hashes = np.concatenate([p[0] for p in parts])
        self.picture = np.concatenate([p[1] for p in parts])
        self.slot = np.concatenate([p[2] for p in parts])
        self.form = np.concatenate([np.full(len(p[0]), p[3], np.int64) for p in parts])

    def form_and_box(self, picture: int, form: int) -> tuple[str, str | None]:
        """Return the name of a form, and the rectangle of a panel."""
        if form < len(FORMS):
            return FORMS[form], None
        own = self.boxes[picture] or []
        number = form - len(FORMS)
        return "panel", own[number] if number < len(own) else None

    def _panels(self, batch: Any) -> Iterator[tuple[Bytes2D, Longs, Longs, int]]:
        everything = np.ones(batch.num_rows, bool)
        hashes, picture, slot = self._transforms(batch, "panel_transforms", everything, MOST_PANELS * len(TRANSFORMS))
        for number in range(MOST_PANELS):
            own = slot // len(TRANSFORMS) == number
            yield hashes[own], picture[own], slot[own] % len(TRANSFORMS), len(FORMS) + number

    @staticmethod
    def _numbers(batch: Any, name: str) -> Longs:
        """Return an integer column; null is -1, so it passes no gate."""
        numbers: Longs = np.array([-1 if v is None else v for v in batch.column(name).to_pylist()], np.int64)
        return numbers

    @staticmethod
    def _transforms(batch: Any, name: str, good: NDArray[np.bool_], most: int = len(TRANSFORMS)) -> tuple[Bytes2D, Longs, Longs]:
        import pyarrow as pa

        if name not in batch.schema.names:
            return np.zeros((0, 32), np.uint8), np.zeros(0, np.int64), np.zeros(0, np.int64)
        column = batch.column(name)
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        lengths = np.array(column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False), np.int64)
        hashes, valid = fixed(column.flatten(), 32)
        picture = np.repeat(np.arange(len(column), dtype=np.int64), lengths)
        slot = np.arange(len(hashes), dtype=np.int64) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        keep = valid & good[picture] & (slot < most)
        return hashes[keep], picture[keep], slot[keep]

    def between(self, start: int, end: int) -> Longs:
        """Return the numbers of the hashes of pictures start to end."""
        return np.flatnonzero((self.picture >= start) & (self.picture < end))


class Similar:
    """Queries one opened set by PDQ; checks the canaries in each call."""

    def __init__(self, opened: OpenSet, distance: int, gate: int, canaries: bool) -> None:
        self.opened, self.distance = opened, distance
        if opened.pdq is None:
            raise ValueError(f"{opened.set_id} has no PDQ hashes")
        self.index = opened.pdq
        self.gate = gate
        self.twins, self.twin_canary, self.twin_distance = pdq_twins(opened.set_id, distance)
        if not canaries:
            self.twins, self.twin_canary, self.twin_distance = self.twins[:0], self.twin_canary[:0], self.twin_distance[:0]
        places, counts = plain_lookup(self.index.keys, keys(opened.set_id, "pdq"))
        if canaries and not bool((counts == 1).all()):
            raise CanaryLost(opened.set_id, "pdq", f"{int((counts == 0).sum())} of {COUNT} planted hashes are not in the index")
        self.canary_key = places

    def usable(self, rows: Longs) -> NDArray[np.bool_]:
        """Say which rows may match: good enough or of no stated quality, and no canary."""
        quality, marks = self.opened.qualities[rows], self.opened.marks[rows]
        found: NDArray[np.bool_] = ((quality == UNKNOWN_QUALITY) | (quality >= self.gate)) & (marks & MARK_CANARY == 0)
        return found

    def check(self, seen: NDArray[np.bool_]) -> None:
        """Raise `CanaryLost` unless exactly the twins within the distance were found."""
        wanted = self.twin_distance <= self.distance
        if bool((seen != wanted).any()):
            lost = sorted({int(d) for d in self.twin_distance[wanted & ~seen]})
            what = f"near-duplicates at distance {lost} not found" if lost else f"one at distance {self.distance + 1} found"
            raise CanaryLost(self.opened.set_id, "pdq", what)

    def pairs(self, hashes: Bytes2D) -> Iterator[Pairs]:
        """Yield the pairs of `hashes` with distinct keys of the index, canaries checked and taken out."""
        count = len(hashes)
        seen = np.zeros(len(self.twins), bool)
        for q, e, d in self.index.pairs(np.concatenate([hashes, self.twins]), self.distance):
            twin = q >= count
            t = q[twin] - count
            hit = (e[twin] == self.canary_key[self.twin_canary[t]]) & (d[twin] == self.twin_distance[t])
            seen[t[hit]] = True
            yield q[~twin], e[~twin], d[~twin]
        self.check(seen)

    def matches(self, queries: Queries, start: int, end: int) -> Iterator[Match[bytes]]:
        """Yield the rows of pictures start to end; where there are too many pairs, half by half."""
        waiting = [(start, end)]
        while waiting:
            start, end = waiting.pop()
            best = self._best(queries, queries.between(start, end), whole=end - start <= 1)
            if best is None:
                middle = (start + end) // 2
                waiting += [(middle, end), (start, middle)]
            else:
                yield from self._rows(queries, *best)

    def _best(self, queries: Queries, numbers: Longs, whole: bool) -> tuple[Longs, Longs, Longs] | None:
        """Return (picture, row, cost) with the least cost of each pair; None where there are too many and `whole` is not asked."""
        one, which = collapse(queries.hashes[numbers])
        starts, by_hash = by_value(which, len(one))
        number_of = np.diff(starts)
        best = np.zeros((3, 0), np.int64)
        for q, e, d in self.pairs(queries.hashes[numbers[one]]):
            first, many = self.index.places_of(e)
            if not whole and int((number_of[q] * many).sum()) + best.shape[1] > MOST_PAIRS:
                return None
            pair, place = expand(first, many)
            rows = self.index.take(place)
            keep = self.usable(rows)
            pair, rows = pair[keep], rows[keep]
            again, user = expand(starts[q[pair]], number_of[q[pair]])
            query = numbers[by_hash[user]]
            cost = (d[pair[again]].astype(np.int64) * FORM_NUMBERS + queries.form[query]) * len(TRANSFORMS) + queries.slot[query]
            best = _least(np.concatenate([best, np.stack([queries.picture[query], rows[again], cost])], axis=1))
        return best[0], best[1], best[2]

    def _rows(self, queries: Queries, picture: Longs, rows: Longs, cost: Longs) -> Iterator[Match[bytes]]:
        opened, texts = self.opened, self.opened.category_texts
        entries = opened.positions[rows]
        for at in np.lexsort((entries, picture)):
            rest, slot = divmod(int(cost[at]), len(TRANSFORMS))
            bits, number = divmod(rest, FORM_NUMBERS)
            form, box = queries.form_and_box(int(picture[at]), number)
            name = queries.names[picture[at]].tobytes()
            category = texts[int(opened.categories[rows[at]])]
            found = (opened.name, opened.version, opened.as_, "pdq", bits, TRANSFORMS[slot], form, int(entries[at]), category, box)
            yield Match(name, *found)


def _least(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Keep, of the columns (picture, row, cost), the one of least cost for each picture and row."""
    rows = rows[:, np.lexsort((rows[2], rows[1], rows[0]))]
    fresh = np.ones(rows.shape[1], bool)
    fresh[1:] = (rows[0, 1:] != rows[0, :-1]) | (rows[1, 1:] != rows[1, :-1])
    least: NDArray[np.int64] = rows[:, fresh]
    return least


def picture_matches(pictures: Iterable[Any], opened: OpenSet, distance: int, gate: int, canaries: bool) -> Iterator[Match[bytes]]:
    """Yield the matches by PDQ, sorted; see `matcher.match_case_contents`."""
    order, similar = Ascending("pictures"), Similar(opened, distance, gate, canaries)
    for batch in pictures:
        for at in range(0, batch.num_rows, MOST_PICTURES):
            queries = Queries(batch.slice(at, MOST_PICTURES), gate)
            order.check(queries.names)
            yield from similar.matches(queries, 0, len(queries.names))
