"""Counts beside the filters: facets, time line, map, and the page of problems. All within the scope of the gate, from the review table."""

from __future__ import annotations

from typing import Any

import numpy as np

from safelight.access import Gate
from safelight.decisions.policy import FLAGS
from safelight.decisions.standing import FLAG_NAMES
from safelight.errors import Usage
from safelight.escape import printable
from safelight.review import api
from safelight.review.desk import Desk
from safelight.review.filters import STATUSES, Selection
from safelight.review.people import Person
from safelight.table.table import KNOWN, NO_TIME, Array, Codes

MOST_VALUES = 200
MOST_BINS = 1_000
MOST_CELLS = 360

OF_CONTENTS = ("kind", "media_type", "camera", "serial")
OF_ITEMS = ("exhibit", "state")
OF_MATCHES = ("set", "method")
FACETS = (*OF_CONTENTS, *OF_ITEMS, *OF_MATCHES, "known", "category", "status", "flag", "tag", "problem")


def facets(desk: Desk, person: Person, request: api.FacetsRequest) -> dict[str, list[api.FacetValue]]:
    """Return for each facet its values with the tiles there would be, were that value chosen; the largest first."""
    if unknown := [f for f in request.facets if f not in FACETS]:
        raise Usage(f"facets: {unknown[0]!r} is none of {', '.join(FACETS)}")
    selection = desk.select(person, request.filter)
    return {name: _facet(desk, selection, name, request.stacked) for name in dict.fromkeys(request.facets)}


def _facet(desk: Desk, selection: Selection, name: str, stacked: bool) -> list[api.FacetValue]:
    labels: dict[str, str] = {}
    if name == "category":
        labels = {c.code: c.label for c in desk.policy.scheme.categories}
    elif name == "flag":
        labels = FLAGS
    names, counts = _of_contents(desk, selection, name, stacked) or _of_pairs(desk, selection, name, stacked)
    order = np.lexsort([np.arange(len(counts)), -counts])[:MOST_VALUES]
    return [
        api.FacetValue(value=names[i], label=printable(labels.get(names[i], names[i])), count=int(counts[i]))
        for i in order.tolist()
        if counts[i]
    ]


def _of_contents(desk: Desk, selection: Selection, name: str, stacked: bool) -> tuple[list[str], Array] | None:
    """Count a facet of which each content (or place) has one value; None for another facet.

    What stands alone is counted as it comes. Only members of stacks, and contents with several places, are compared.
    """
    t, person = selection.table, selection.person
    if name in (*OF_CONTENTS, *OF_ITEMS):
        codes: Codes = getattr(t, name)
        names = codes.names
    elif name in ("known", "category", "status"):
        with desk.log.lock:
            names = {"known": list(KNOWN), "category": ["none", *desk.log.standing.codes], "status": list(STATUSES)}[name]
    else:
        return None

    def code_of(rows: Array) -> Array:
        if name == "known":
            return t.known[rows]
        if name in ("category", "status"):
            return person.category(t, rows) if name == "category" else person.status(t, rows)
        found: Array = codes.code[t.first[rows] if name in OF_ITEMS else rows]
        return found

    alone, others = selection.apart(name, stacked, places=name in OF_ITEMS)
    counts = np.bincount(code_of(alone).astype(np.int64) + 1, minlength=len(names) + 1)[1:]
    code = code_of(others)
    if name in OF_ITEMS and len(others):
        wanted = np.zeros(t.rows, bool)
        wanted[others] = True
        items = np.flatnonzero(selection.items(without=name) & wanted[t.content])
        others, code = t.content[items], codes.code[items]
    return names, counts + _different(t.stack[others] if stacked else others, code, len(names))


def _of_pairs(desk: Desk, selection: Selection, name: str, stacked: bool) -> tuple[list[str], Array]:
    """Count a facet of which a content can have several values or none: sets, methods, problems, flags, tags."""
    t, mask = selection.table, selection.mask(without=name)
    if name in OF_MATCHES or name == "problem":
        found = t.problem_row if name == "problem" else t.match_row
        codes = {"set": t.match_set, "method": t.match_method, "problem": t.problem}[name]
        chosen = np.flatnonzero(mask[found]) if len(found) else np.zeros(0, np.int64)
        owner, code, names = found[chosen], codes.code[chosen], codes.names
    elif name == "flag":
        rows = np.flatnonzero(mask & (selection.person.flags(t) > 0))
        bits, names = selection.person.flags(t, rows), list(FLAG_NAMES)
        pairs = [np.flatnonzero(bits >> n & 1) for n in range(len(names))]
        owner = np.concatenate([rows[p] for p in pairs])
        code = np.concatenate([np.full(len(p), n) for n, p in enumerate(pairs)])
    else:
        owner, code, names = _tags(desk, selection, mask)
    return names, _different(t.stack[owner] if stacked else owner, code, len(names))


def _tags(desk: Desk, selection: Selection, mask: Any) -> tuple[Array, Array, list[str]]:
    with desk.log.lock:
        has = [(n, tag) for n, tags in desk.log.standing.tags.items() for tag in tags]
    names = sorted({tag for _, tag in has})
    rows = selection.table.row_of(np.array([n for n, _ in has], np.int64))
    code = np.array([names.index(tag) for _, tag in has], np.int64)
    shown = (rows >= 0) & mask[rows] if len(rows) else np.zeros(0, bool)
    return rows[shown], code[shown], names


def _different(tile: Array, code: Array, values: int) -> Array:
    """Count the different contents (or stacks) of each value; a code of -1 is no value."""
    valid = code >= 0
    tile, code = tile[valid].astype(np.int64), code[valid].astype(np.int64)
    if not len(tile):
        return np.zeros(values, np.int64)
    width = int(tile.max()) + 1
    if values * width <= 1 << 24:
        seen = np.zeros(values * width, bool)
        seen[code * width + tile] = True
        return np.array([np.count_nonzero(s) for s in seen.reshape(values, width)])
    pairs = np.unique(code * width + tile)
    return np.bincount(pairs // width, minlength=values)


def timeline(desk: Desk, person: Person, request: api.TimelineRequest) -> api.TimelineReply:
    """Return how many contents there are over time, in bins of whole days, months or years."""
    if not 1 <= request.bins <= MOST_BINS:
        raise Usage(f"bins: 1 to {MOST_BINS:,}")
    selection = desk.select(person, request.filter)
    when = selection.table.when[selection.mask()]
    known = when[when != NO_TIME].astype("datetime64[ns]")
    without = int(len(when) - len(known))
    if not len(known):
        return api.TimelineReply(from_=None, to=None, unit="D", bins=[], without_time=without)
    first, last = known.min(), known.max()
    unit = (
        "D"
        if (last - first) / np.timedelta64(1, "D") < request.bins
        else "M"
        if (last - first) / np.timedelta64(30, "D") < request.bins
        else "Y"
    )
    at, count = np.unique(known.astype(f"datetime64[{unit}]"), return_counts=True)
    return api.TimelineReply(
        from_=str(first.astype("datetime64[D]")), to=str(last.astype("datetime64[D]")), unit={"D": "day", "M": "month", "Y": "year"}[unit],
        bins=[api.Bin(at=str(a), count=int(c)) for a, c in zip(at, count, strict=True)], without_time=without,
    )  # fmt: skip


def places(desk: Desk, person: Person, request: api.PlacesRequest) -> api.PlacesReply:
    """Return how many contents lie in each cell of a grid over the map; only cells that hold any."""
    if not 1 <= request.cells <= MOST_CELLS:
        raise Usage(f"cells: 1 to {MOST_CELLS} along a parallel")
    selection = desk.select(person, request.filter)
    t, mask = selection.table, selection.mask()
    lat, lon = t.lat[mask], t.lon[mask]
    good = np.isfinite(lat) & np.isfinite(lon) & (np.abs(lat) <= 90) & (np.abs(lon) <= 180)
    box = request.filter.place
    south, west, north, east = (box.south, box.west, box.north, box.east) if box and box.west < box.east else (-90.0, -180.0, 90.0, 180.0)
    side = (east - west) / request.cells
    column = np.floor((lon[good] - west) / side).astype(np.int64).clip(0, request.cells - 1)
    row = np.floor((lat[good] - south) / side).astype(np.int64)
    cell, count = np.unique(row * request.cells + column, return_counts=True)
    cells = []
    for k, c in zip(cell.tolist(), count.tolist(), strict=True):
        y, x = south + (k // request.cells) * side, west + (k % request.cells) * side
        cells.append(api.Cell(south=y, west=x, north=min(y + side, north), east=x + side, count=c))
    return api.PlacesReply(cells=cells, without_place=int((~good).sum()))


def problems(desk: Desk, person: Person, kind: str, first: int, n: int) -> api.ProblemsReply:
    """Return a page of the problems within the scope, and how many there are of each kind."""
    desk.consult(person, "problems", kind=kind)
    kinds, rows = desk.ask(lambda gate: _problems(gate, kind, first, n))
    total = kinds.get(kind, 0) if kind else sum(kinds.values())
    return api.ProblemsReply(
        total=total,
        kinds=kinds,
        rows=[
            api.ProblemRow(
                exhibit=r["exhibit"], place=printable(r["path"] or r["origin"] or ""), step=r["step"], kind=r["kind"],
                reason=printable(r["reason"] or ""), complete=bool(r["complete"]),
            )
            for r in rows
        ],
    )  # fmt: skip


def _problems(gate: Gate, kind: str, first: int, n: int) -> tuple[dict[str, int], list[dict[str, Any]]]:
    within = "problems" if not gate.scoped else "(select * from problems where item_id is null or item_id in (select item_id from visible))"
    kinds = {r["kind"]: r["n"] for r in gate.rows(f"select kind, count(*) n from {within} group by 1 order by 2 desc, 1")}
    rows = gate.rows(
        f"select q.*, v.path from {within} q left join visible v using (item_id) {'where q.kind = $kind' if kind else ''} "
        f"order by q.exhibit, q.source, q.ordinal, q.member, q.number limit {int(n)} offset {int(first)}",
        {"kind": kind} if kind else None,
    )
    return kinds, rows
