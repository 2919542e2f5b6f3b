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
    t, person = selection.table, selection.person
    mask = selection.mask(without=name)
    rows = np.flatnonzero(mask)
    labels: dict[str, str] = {}
    if name in OF_CONTENTS:
        codes: Codes = getattr(t, name)
        owner, code, names = rows, codes.code[rows], codes.names
    elif name in OF_ITEMS:
        codes = getattr(t, name)
        items = np.flatnonzero(selection.items(without=name) & mask[t.content])
        owner, code, names = t.content[items], codes.code[items], codes.names
    elif name in OF_MATCHES or name == "problem":
        found = t.problem_row if name == "problem" else t.match_row
        codes = {"set": t.match_set, "method": t.match_method, "problem": t.problem}[name]
        chosen = np.flatnonzero(mask[found]) if len(found) else np.zeros(0, np.int64)
        owner, code, names = found[chosen], codes.code[chosen], codes.names
    elif name == "known":
        owner, code, names = rows, t.known[rows], list(KNOWN)
    elif name == "category":
        with desk.log.lock:
            names = ["none", *desk.log.standing.codes]
        labels = {c.code: c.label for c in desk.policy.scheme.categories}
        owner, code = rows, person.category(t, rows)
    elif name == "status":
        owner, code, names = rows, person.status(t, rows), list(STATUSES)
    elif name == "flag":
        bits, names, labels = person.flags(t, rows), list(FLAG_NAMES), FLAGS
        pairs = [np.flatnonzero(bits >> n & 1) for n in range(len(names))]
        owner = np.concatenate([rows[p] for p in pairs])
        code = np.concatenate([np.full(len(p), n) for n, p in enumerate(pairs)])
    else:
        owner, code, names = _tags(desk, selection, mask)
    counts = _counted(owner, code, t.stack if stacked else None, len(names))
    order = np.lexsort([np.arange(len(counts)), -counts])[:MOST_VALUES]
    return [
        api.FacetValue(value=names[i], label=printable(labels.get(names[i], names[i])), count=int(counts[i]))
        for i in order.tolist()
        if counts[i]
    ]


def _tags(desk: Desk, selection: Selection, mask: Any) -> tuple[Array, Array, list[str]]:
    with desk.log.lock:
        has = [(n, tag) for n, tags in desk.log.standing.tags.items() for tag in tags]
    names = sorted({tag for _, tag in has})
    rows = selection.table.row_of(np.array([n for n, _ in has], np.int64))
    code = np.array([names.index(tag) for _, tag in has], np.int64)
    shown = (rows >= 0) & mask[rows] if len(rows) else np.zeros(0, bool)
    return rows[shown], code[shown], names


def _counted(owner: Array, code: Array, stack: Array | None, values: int) -> Array:
    """Count the different contents (or stacks) of each value; rows without a value have code -1."""
    valid = code >= 0
    tile, code = (owner if stack is None else stack[owner])[valid].astype(np.int64), code[valid].astype(np.int64)
    if not len(tile):
        return np.zeros(values, np.int64)
    width = int(tile.max()) + 1
    if values * width <= 1 << 26:
        seen = np.zeros(values * width, bool)
        seen[code * width + tile] = True
        found: Array = seen.reshape(values, width).sum(axis=1)
        return found
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
