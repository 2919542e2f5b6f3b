"""What a view shows: the filter of the API, its words, and the contents that it selects.

All members are AND, lists are OR within. Conditions on places (exhibit, state, path, text) must hold for one and the same
place of a content. A filter without `kind` means pictures and films; `kind: ["any"]` means all kinds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safelight.errors import Usage
from safelight.match.pdq import QUALITY, join_batches
from safelight.review.people import Person
from safelight.table.table import KNOWN, NO_TIME, Array, Codes, Mask, Table
from safelight.table.texts import among

LOOKED_AT = ("image", "video")
STATUSES = ("undecided", "proposed", "indicative", "final", "disputed")


class Box(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the map in degrees; `west` > `east` goes over the 180th meridian."""

    south: float
    west: float
    north: float
    east: float


class Similar(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pictures within a PDQ distance of one content of another view."""

    view: str
    index: int
    distance: int = 31


class Same(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shares something with one content of another view: `folder`, `camera`, `stack` or `content`.

    `alike`: what the second look links with it (`run --features`).
    """

    view: str
    index: int
    what: str = "folder"


class Filter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a view shows; everything is optional."""

    kind: list[str] = msgspec.field(default_factory=list)
    media_type: list[str] = msgspec.field(default_factory=list)
    state: list[str] = msgspec.field(default_factory=list)
    exhibit: list[str] = msgspec.field(default_factory=list)
    known: list[str] = msgspec.field(default_factory=list)
    set: list[str] = msgspec.field(default_factory=list)
    method: list[str] = msgspec.field(default_factory=list)
    category: list[str] = msgspec.field(default_factory=list)
    mine: bool | None = None
    status: list[str] = msgspec.field(default_factory=list)
    flag: list[str] = msgspec.field(default_factory=list)
    tag: list[str] = msgspec.field(default_factory=list)
    path: str = ""
    text: str = ""
    min_size: int | None = None
    max_size: int | None = None
    since: str = ""
    until: str = ""
    camera: list[str] = msgspec.field(default_factory=list)
    serial: list[str] = msgspec.field(default_factory=list)
    place: Box | None = None
    problem: list[str] = msgspec.field(default_factory=list)
    new_members: bool = False
    queue: str = "all"
    similar_to: Similar | None = None
    same: Same | None = None


OF_FACTS = (
    "kind",
    "media_type",
    "known",
    "set",
    "method",
    "min_size",
    "max_size",
    "since",
    "until",
    "camera",
    "serial",
    "place",
    "problem",
)
"""Conditions on facts of contents alone: their masks are kept with the table."""
OF_PLACES = ("exhibit", "state", "path", "text")
"""Conditions on places; they must hold for one and the same place."""
Lookup = Callable[[str, int], int]
"""From a view and an index to the number of its first content."""
Links = Callable[[bytes], Array]
"""From the SHA-256 of a content to the numbers of those that the second look links with it."""


class Selection:
    """The masks of one filter over one table for one person. Each condition is worked out once."""

    def __init__(self, table: Table, person: Person, wanted: Filter, lookup: Lookup, links: Links) -> None:
        self.table, self.person, self.filter, self._lookup, self._links = table, person, wanted, lookup, links
        self._whole: dict[str, Mask] = {}
        self._apart: dict[tuple[int, bool, bool], tuple[Array, Array]] = {}
        self.masks = {name: mask for name, mask in self._all() if mask is not None}

    def mask(self, without: str = "") -> Mask:
        """Return the contents that fit all conditions, or all but one. Not to be changed."""
        without = without if without in self.masks or without in self._item_masks() else ""
        if without not in self._whole:
            found = np.ones(self.table.rows, bool)
            for name, mask in self.masks.items():
                if name != without:
                    found &= mask
            places = self._places(without)
            if places is not None:
                found &= places
            self._whole[without] = found
        return self._whole[without]

    def apart(self, without: str, stacked: bool, places: bool) -> tuple[Array, Array]:
        """Return the rows of the contents that fit all conditions, or all but one: those that stand alone, and the others.

        `stacked`: what is in a stack with others is no longer alone; `places`: nor is what has several places.
        """
        mask = self.mask(without)
        asked = (id(mask), stacked, places)
        if asked not in self._apart:
            others = mask & self.table.in_stack if stacked else np.zeros(self.table.rows, bool)
            if places:
                others |= mask & self.table.repeated
            self._apart[asked] = (np.flatnonzero(mask & ~others).astype(np.int32), np.flatnonzero(others).astype(np.int32))
        return self._apart[asked]

    def items(self, without: str = "") -> Mask:
        """Return the places that fit all conditions on places, or all but one."""
        found = np.ones(self.table.items, bool)
        for name, mask in self._item_masks().items():
            if name != without:
                found &= mask
        return found

    def _places(self, without: str) -> Mask | None:
        """Return the contents with a place that fits all of them; None where there are none of them."""
        named = sorted(self._item_masks().keys() - {without})
        if not named:
            return None
        said = tuple((name, _said(getattr(self.filter, name))) for name in named)
        return self.table.masks.get(said, lambda: self.table.any_of(self.items(without)))

    def _item_masks(self) -> dict[str, Mask]:
        if not hasattr(self, "_items"):
            wanted = {name: getattr(self.filter, name) for name in OF_PLACES if getattr(self.filter, name)}
            self._items = {k: self._kept(k, v, self._of_items) for k, v in wanted.items()}
        return self._items

    def _kept(self, name: str, value: Any, work: Callable[[str], Mask]) -> Mask:
        """Return the mask of a condition on facts alone, as it is kept with the table or newly made."""
        return self.table.masks.get((name, _said(value)), lambda: work(name))

    def _of_items(self, name: str) -> Mask:
        t, f = self.table, self.filter
        match name:
            case "exhibit":
                return t.exhibit.among(f.exhibit)
            case "state":
                return t.state.among(f.state)
            case "path":
                return _glob(t, f.path)
        found: Mask = pc.match_substring(t.path, f.text, ignore_case=True).to_numpy(zero_copy_only=False)
        return found

    def _of_facts(self, name: str) -> Mask:
        """Return the mask of a condition that looks at facts of contents only."""
        t, f = self.table, self.filter
        match name:
            case "kind":
                return t.kind.among(f.kind or list(LOOKED_AT))
            case "known":
                return among(t.known, [KNOWN.index(k) for k in _checked(f.known, KNOWN, "known")])
            case "media_type" | "camera" | "serial":
                codes: Codes = getattr(t, name)
                return codes.among(getattr(f, name))
            case "set":
                return self._rows(t.match_row, t.match_set, f.set)
            case "method":
                return self._rows(t.match_row, t.match_method, f.method)
            case "problem":
                return self._rows(t.problem_row, t.problem, f.problem)
            case "min_size" | "max_size":
                return t.size >= f.min_size if name == "min_size" else t.size <= f.max_size
            case "since":
                return t.when >= day(f.since, "since")
            case "until":
                found: Mask = (t.when < day(f.until, "until", 1)) & (t.when != NO_TIME)
                return found
        assert f.place is not None
        return _inside(t, f.place)

    def _all(self) -> Any:
        t, f, p = self.table, self.filter, self.person
        for name in OF_FACTS:
            value = getattr(f, name)
            if (name == "kind" and "any" not in value) or (name != "kind" and value not in (None, "", [])):
                yield name, self._kept(name, value, self._of_facts)
        yield "category", self._category()
        yield "mine", None if f.mine is None else (p.mine(t) > 0) == f.mine
        yield "status", self._status()
        yield "flag", (p.flags(t) & p.flag_bits(f.flag)) > 0 if f.flag else None
        yield "tag", p.tagged(t, f.tag) if f.tag else None
        yield "new_members", p.new_members(t) if f.new_members else None
        yield "queue", self._queue()
        yield "similar_to", self._similar() if f.similar_to else None
        yield "same", self._same() if f.same else None

    def _rows(self, rows: Array, codes: Codes, names: list[str]) -> Mask:
        found = np.zeros(self.table.rows, bool)
        found[rows[codes.among(names)]] = True
        return found

    def _category(self) -> Mask | None:
        wanted = self.filter.category
        if not wanted:
            return None
        shown, numbers = self.person.category(self.table), self.person.category_numbers(wanted)
        return among(shown, numbers)

    def _status(self) -> Mask | None:
        wanted = _checked(self.filter.status, STATUSES, "status")
        if not wanted:
            return None
        return among(self.person.status(self.table), [STATUSES.index(s) for s in wanted])

    def _queue(self) -> Mask | None:
        (queue,) = _checked([self.filter.queue], ("all", "disputes", "proposals"), "queue")
        if queue == "all":
            return None
        found: Mask = self.person.status(self.table) == STATUSES.index("disputed" if queue == "disputes" else "proposed")
        return found

    def _row(self, view: str, index: int) -> int:
        row = int(self.table.row_of(np.array([self._lookup(view, index)]))[0])
        if row < 0:
            raise Usage("the picture that this view relates to is no longer within the scope of the case.")
        return row

    def _similar(self) -> Mask:
        wanted = self.filter.similar_to
        assert wanted is not None
        if not 0 <= wanted.distance <= 64:
            raise Usage("distance: 0 to 64 bits")
        t, row = self.table, self._row(wanted.view, wanted.index)
        found = np.zeros(t.rows, bool)
        found[row] = True
        if t.quality[row] >= QUALITY:
            for near in self.distances(row, wanted.distance):
                found[near[0]] = True
        return found

    def distances(self, row: int, distance: int) -> Any:
        """Yield (rows, bits) of the pictures within a distance of one."""
        t = self.table
        good = np.flatnonzero(t.quality >= QUALITY)
        for _, e, d in join_batches(t.pdq[row : row + 1], t.pdq[good], distance):
            yield good[e], d

    def _same(self) -> Mask:
        same = self.filter.same
        assert same is not None
        t, row = self.table, self._row(same.view, same.index)
        (what,) = _checked([same.what], ("folder", "camera", "stack", "content", "alike"), "same.what")
        if what == "folder":
            return t.any_of(np.isin(t.folder, t.folder[t.items_of(row)]))
        found: Mask = np.arange(t.rows) == row
        if what == "camera" and t.device[row] >= 0:
            found = t.device == t.device[row]
        elif what == "stack":
            found = t.stack == t.stack[row]
        elif what == "alike":
            others = t.row_of(self._links(t.names[row].tobytes()))
            found[others[others >= 0]] = True
        return found


def _checked(given: list[str], known: tuple[str, ...], name: str) -> list[str]:
    if wrong := [g for g in given if g not in known]:
        raise Usage(f"{name}: {wrong[0]!r} is none of {', '.join(known)}")
    return given


def _said(value: Any) -> bytes:
    """Return a condition as something that can be compared."""
    return msgspec.json.encode(value)


def _glob(table: Table, pattern: str) -> Mask:
    """Return the places whose path fits a glob, with or without a slash at the beginning; `*` goes over slashes, as in `find`."""
    if len(pattern) > 1_000:
        raise Usage("path: up to 1,000 characters")
    body = "".join(_GLOB.get(c) or re.escape(c) for c in pattern.removeprefix("/"))
    found: Mask = pc.match_substring_regex(table.path, f"(?s)^{body}$").to_numpy(zero_copy_only=False)
    return found


def warm() -> None:
    """Let Arrow load its kernels, which takes it 0.2 s of CPU, before somebody waits for a filter on paths."""
    pc.match_substring_regex(pa.array(["a"], pa.large_string()), "a")


_GLOB = {"*": ".*", "?": "."}


def _inside(t: Table, box: Box) -> Mask:
    between = (t.lon >= box.west) & (t.lon <= box.east) if box.west <= box.east else (t.lon >= box.west) | (t.lon <= box.east)
    return (t.lat >= box.south) & (t.lat <= box.north) & between


def day(text: str, name: str, later: int = 0) -> int:
    """Return the beginning of an ISO day (so many days later) in ns since 1970, as UTC."""
    try:
        at = datetime.combine(date.fromisoformat(text) + timedelta(days=later), datetime.min.time(), UTC)
    except (ValueError, OverflowError):
        raise Usage(f"{name}: a day as YYYY-MM-DD, not {text!r}") from None
    return int(at.timestamp()) * 1_000_000_000


def words(f: Filter) -> str:
    """Return a filter in words, for people and the ledger."""
    said = []
    for name, value in msgspec.to_builtins(f).items():
        if name == "queue" and value == "all":
            continue
        if isinstance(value, list):
            said.append(f"{name.replace('_', ' ')}: {' or '.join(map(str, value))}")
        elif isinstance(value, dict):
            said.append(f"{name.replace('_', ' ')}: " + ", ".join(f"{k} {v}" for k, v in value.items() if k not in ("view",)))
        else:
            said.append(f"{name.replace('_', ' ')}: {value}")
    if not f.kind:
        said.insert(0, "pictures and films")
    return "; ".join(said)
