"""Views: immutable ordered lists of contents, kept as two arrays, and the snapshot of facts they were made from.

`members` are rows of the table, a tile's one behind the other; tile i has `members[starts[i]:starts[i + 1]]`, the first of them is
shown. 8 bytes a content. The oldest views are forgotten beyond a bound; the page makes one again from its address.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np

from safelight.errors import Usage
from safelight.review import order as orders
from safelight.review.filters import Filter, Selection
from safelight.review.order import Ranking
from safelight.table.table import NO_TIME, Array, Table

MOST_VIEWS = 200
MOST_BYTES = 1 << 29
MOST_TABLES = 3
"""Older tables and all their views are forgotten: each holds the memory of the whole case."""
MOST_SECTIONS = 400
RUNS = ("first", "time", "size", "camera", "similar")
"""Orders in which each label has one run of tiles."""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A label over a range of tiles."""

    label: str
    first: int
    count: int


class View(msgspec.Struct, frozen=True, kw_only=True):
    """One view; see the module."""

    name: str
    ranking: Ranking
    filter: Filter
    order: str
    stacked: bool
    position: int
    members: Array
    starts: Array
    sections: list[Section]

    @property
    def table(self) -> Table:
        return self.ranking.table

    @property
    def count(self) -> int:
        return len(self.starts) - 1

    def heads(self, first: int, n: int) -> Array:
        """Return the rows of the contents that stand for the tiles first, first + 1, …; fewer at the end."""
        found: Array = self.members[self.starts[first : min(first + n, self.count)]]
        return found

    def head(self, index: int) -> int:
        """Return the row of the content that stands for a tile; raise `Usage` where there is no such tile."""
        if not 0 <= index < self.count:
            raise Usage(f"this view has {self.count:,} tiles; there is no number {index:,}")
        return int(self.members[self.starts[index]])

    def tiles_of(self, rows: Any) -> list[int | None]:
        """Return the tile of each of some contents; None for one that is in none, and for row -1."""
        wanted = np.zeros(self.table.rows, bool)
        wanted[[r for r in map(int, rows) if r >= 0]] = True
        at = np.flatnonzero(wanted[self.members])
        tiles = dict(zip(self.members[at].tolist(), (np.searchsorted(self.starts, at, side="right") - 1).tolist(), strict=True))
        return [tiles.get(int(r)) for r in rows]

    def tile(self, index: int) -> Array:
        """Return the rows of all contents of a tile."""
        self.head(index)
        found: Array = self.members[self.starts[index] : self.starts[index + 1]]
        return found


def make(ranking: Ranking, selection: Selection, order: str, stacked: bool, position: int) -> View:
    """Make a view of what a filter selects."""
    if order not in orders.ORDERS and order != "similar":
        raise Usage(f"order: {order!r} is none of {', '.join(orders.ORDERS)}")
    mask = selection.mask()
    similar = selection.filter.similar_to
    if similar is not None and order in ("first", "similar"):
        order = "similar"
        rows = _by_distance(selection, np.flatnonzero(mask))
    else:
        order = "first" if order == "similar" else order
        every = ranking.sorted(order)
        rows = every[mask[every]]
    members, starts = _tiles(ranking.table, rows) if stacked else (rows, np.arange(len(rows) + 1))
    heads = members[starts[:-1]]
    return View(
        name=secrets.token_urlsafe(9), ranking=ranking, filter=selection.filter, order=order, stacked=stacked, position=position,
        members=members.astype(np.uint32), starts=starts.astype(np.uint32), sections=list(_sections(order, ranking, heads)),
    )  # fmt: skip


def _by_distance(selection: Selection, rows: Array) -> Array:
    wanted = selection.filter.similar_to
    assert wanted is not None
    t = selection.table
    bits = np.full(t.rows, 1000, np.int16)
    centre = selection._row(wanted.view, wanted.index)
    for near, d in selection.distances(centre, wanted.distance):
        bits[near] = np.minimum(bits[near], d)
    bits[centre] = -1
    found: Array = rows[np.lexsort([t.first[rows], bits[rows]])]
    return found


def _tiles(table: Table, rows: Array) -> tuple[Array, Array]:
    """Bring the members of each stack together, at the place of its first one. Most contents are alone: only the others are sorted."""
    several = np.flatnonzero(table.in_stack[rows])
    stacks = table.stack[rows[several]]
    lead_of = np.empty(table.stacks, np.int32)
    lead_of[stacks[::-1]] = several[::-1]  # the last writer wins: the first place of each stack
    lead = lead_of[stacks]
    follows = lead != several
    followers, lead = several[follows], lead[follows]
    head = np.ones(len(rows), bool)
    head[followers] = False
    tile = (np.cumsum(head, dtype=np.int32) - 1)[lead]
    order = np.argsort(tile, kind="stable")
    followers, tile = followers[order], tile[order]
    heads = np.flatnonzero(head)
    starts = np.arange(len(heads) + 1, dtype=np.int64)
    own, first, count = np.unique(tile, return_index=True, return_counts=True)
    more = np.zeros(len(heads) + 1, np.int64)
    more[own + 1] = count
    starts += np.cumsum(more)
    members = np.empty(len(rows), rows.dtype)
    members[starts[:-1]] = rows[heads]
    members[starts[tile] + 1 + np.arange(len(tile)) - np.repeat(first, count)] = rows[followers]
    return members, starts


def _sections(order: str, ranking: Ranking, heads: Array) -> Iterator[Section]:
    """Yield the sections: runs of tiles with the same label, at most `MOST_SECTIONS`."""
    if not len(heads):
        return
    label, codes = _labels(order, ranking, heads)
    starts = _few_starts(codes, len(heads)) if order in RUNS else None
    if starts is None:
        code = codes(slice(None))
        starts = np.flatnonzero(np.concatenate([[True], code[1:] != code[:-1]]))
    if len(starts) > MOST_SECTIONS:
        starts = starts[np.linspace(0, len(starts) - 1, MOST_SECTIONS).astype(np.int64)]
    ends = np.append(starts[1:], len(heads))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        yield Section(label=label(start), first=start, count=end - start)


def _few_starts(codes: Callable[[Any], Array], count: int) -> Array | None:
    """Return where runs of equal codes begin, by bisection: each code has one run. None where they are more than `MOST_SECTIONS`."""
    starts, at = list[int](), 0
    while at < count:
        starts.append(at)
        if len(starts) > MOST_SECTIONS:
            return None
        own = codes(slice(at, at + 1))[0]
        low, high = at, count  # the code stands at `low`, and no longer at `high`
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if codes(slice(middle, middle + 1))[0] == own else (low, middle)
        at = high
    return np.array(starts)


def _labels(order: str, ranking: Ranking, heads: Array) -> tuple[Callable[[int], str], Callable[[Any], Array]]:
    """Return the label of a tile, and codes that are equal where labels are, for some of the tiles."""
    t = ranking.table
    match order:
        case "first":

            def steps(some: Any) -> Array:
                found: Array = ranking.classes(heads[some]).astype(np.int64) * 4 + 3 - ranking.near[heads[some]]
                return found

            def first(i: int) -> str:
                near = orders.NEAR_WORDS[int(ranking.near[heads[i]])]
                return orders.CLASS_WORDS[int(ranking.classes(heads[i]))] + (f", {near}" if near else "")

            return first, steps
        case "time":

            def months(some: Any) -> Array:
                when = t.when[heads[some]]
                return (
                    np.where(when == NO_TIME, np.datetime64("NaT"), when.astype("datetime64[ns]")).astype("datetime64[M]").astype(np.int64)
                )

            def month(i: int) -> str:
                found = np.datetime64(int(months(slice(i, i + 1))[0]), "M")
                return "no time" if np.isnat(found) else str(found)

            return month, months
        case "size":

            def powers(some: Any) -> Array:
                found: Array = np.floor(np.log10(np.maximum(t.size[heads[some]], 1))).astype(np.int64)
                return found

            return (lambda i: f"from {10 ** int(powers(slice(i, i + 1))[0]):,} bytes"), powers
        case "camera":
            return (lambda i: t.camera.name(int(heads[i])) or "no camera"), lambda some: t.camera.code[heads[some]]
        case "similar":
            return (lambda _: "by PDQ distance"), lambda some: np.zeros(len(heads[some]), np.int64)

    def folders(some: Any) -> Array:
        found: Array = t.folder[t.first[heads[some]]]
        return found

    return (lambda i: ": ".join(t.folder_names[int(folders(slice(i, i + 1))[0])])), folders


class Views:
    """The views that are kept, the last used last."""

    def __init__(self) -> None:
        self._views: OrderedDict[str, View] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, view: View) -> None:
        with self._lock:
            self._views[view.name] = view
            tables: list[int] = []
            for v in reversed(self._views.values()):
                if id(v.table) not in tables:
                    tables.append(id(v.table))
            for name in [n for n, v in self._views.items() if id(v.table) in tables[MOST_TABLES:]]:
                del self._views[name]
            held = sum(v.members.nbytes + v.starts.nbytes for v in self._views.values())
            while len(self._views) > MOST_VIEWS or (held > MOST_BYTES and len(self._views) > 1):
                _, gone = self._views.popitem(last=False)
                held -= gone.members.nbytes + gone.starts.nbytes

    def get(self, name: str) -> View | None:
        with self._lock:
            view = self._views.get(name)
            if view is not None:
                self._views.move_to_end(name)
            return view
