"""A window of a view, in columns: what the grid draws, and what a screen reader says, of each tile."""

from __future__ import annotations

from typing import Any

import numpy as np

from safelight.decisions.standing import FLAG_NAMES
from safelight.escape import printable
from safelight.review.api import RowsReply
from safelight.review.filters import STATUSES
from safelight.review.order import reason
from safelight.review.people import Person
from safelight.review.views import View
from safelight.table.table import KNOWN, Array, Table

MOST_ROWS = 512
LEVELS = ("small", "drawing", "protected")


def window(view: View, person: Person, first: int, n: int) -> RowsReply:
    """Return the tiles first … first + n - 1; fewer at the end."""
    t, rows = view.table, view.heads(first, n)
    sizes = np.diff(view.starts[first : first + len(rows) + 1].astype(np.int64)).tolist()
    kinds = [t.kind.name(r) or "other" for r in rows]
    known = [KNOWN[k] if k else None for k in t.known[rows].tolist()]
    level = [level_of(t, r) for r in rows]
    category, mine, status = standing(person, t, rows)
    items = t.first[rows]
    state, exhibit = [t.state.name(i) or "" for i in items], [t.exhibit.name(i) or "" for i in items]
    place = [printable(t.path[int(i)].as_py() or "") for i in items]
    flags = [[f for bit, f in enumerate(FLAG_NAMES) if bits >> bit & 1] for bits in person.flags(t, rows).tolist()]
    return RowsReply(
        from_=first, n=len(rows), kind=kinds, stack_size=sizes, width=t.width[rows].tolist(), height=t.height[rows].tolist(), state=state,
        known=known, category=category, proposed=proposals(person, t, rows), mine=mine, status=status, flags=flags, exhibit=exhibit, place=place,
        places=t.places[rows].tolist(), reason=[printable(reason(view.order, view.ranking, int(r))) for r in rows],
        new_member=person.new_members(t, rows).tolist(), level=level, missing=[missing(k, v) for k, v in zip(kinds, level, strict=True)],
        label=[
            label(first + i, view.count, k, s, sizes[i], c, w, e, p)
            for i, (k, s, c, w, e, p) in enumerate(zip(kinds, state, category, known, exhibit, place, strict=True))
        ],
    )  # fmt: skip


def standing(person: Person, t: Table, rows: Array) -> tuple[list[str | None], list[str | None], list[str]]:
    """Return category, own category and status of these contents, as far as the person may see them."""
    log = person.log
    with log.lock:
        category = [log.standing.code(c) for c in person.category(t, rows).tolist()]
        mine = [log.standing.code(c) for c in person.mine(t, rows).tolist()]
        status = [STATUSES[s] for s in person.status(t, rows).tolist()]
    return category, mine, status


def proposals(person: Person, t: Table, rows: Array) -> list[str | None]:
    """Return the category that a matched set proposes for each content."""
    return [person.log.standing.code(p) for p in person.proposed(t, rows).tolist()]


def level_of(t: Table, row: Any) -> str:
    """Return the highest rendition that there is of a content."""
    return next((name for name in LEVELS if t.renditions[name].size[row] > 0), "none")


def missing(kind: str, level: str) -> str | None:
    """Return why there is no picture; None where there is one."""
    if level != "none":
        return None
    if kind == "video":
        return "no picture of films is made yet"
    return "the picture could not be decoded, or was not read yet" if kind == "image" else f"a {kind} has no picture"


def label(
    index: int, count: int, kind: str, state: str, size: int, category: str | None, known: str | None, exhibit: str, place: str
) -> str:
    """Return the accessible name of a tile."""
    parts = [f"{kind} {index + 1:,} of {count:,}"]
    parts += [f"stack of {size:,}"] if size > 1 else []
    parts += [f"category {category}"] if category else ["not decided"]
    parts += [f"known {known}"] if known else []
    return ", ".join([*parts, state, f"{exhibit}: {place}"])
