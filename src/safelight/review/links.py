"""Look-alikes of one content: the links of the second look (`run --features`), as they look from it, with the common part as a rectangle.

One picture of a stack is looked at a second time. A content that has no links of its own therefore shows those of the picture of its
stack that has them, and says so; a rectangle in itself it then has none. Rectangles are shares of the picture as it is shown: turned by
its EXIF orientation, as renditions are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from safelight.access import Gate
from safelight.decisions.numbers import Digests, Longs, digests
from safelight.escape import printable
from safelight.review import api
from safelight.review.views import View
from safelight.table.table import KNOWN, Table

Number = Callable[[Digests], Longs]
"""From SHA-256 to numbers of the log."""
MOST_LINKS = 50
_LINKS = f"""
    select l.*, p.width as wa, p.height as ha, p.orientation as oa, q.width as wb, q.height as hb, q.orientation as ob
    from alike l left join pictures p on p.sha256 = l.a left join pictures q on q.sha256 = l.b
    where (l.a = $s and l.b in (select sha256 from visible)) or (l.b = $s and l.a in (select sha256 from visible))
    order by l.relation = 'frame', l.method desc, l.inliers desc, l.distance, l.a, l.b limit {MOST_LINKS}
"""
_TURNED = {
    2: lambda x, y: (1 - x, y), 3: lambda x, y: (1 - x, 1 - y), 4: lambda x, y: (x, 1 - y), 5: lambda x, y: (y, x),
    6: lambda x, y: (1 - y, x), 7: lambda x, y: (1 - y, 1 - x), 8: lambda x, y: (y, 1 - x),
}  # fmt: skip
"""Where a point of the stored picture, in shares of its sides, is shown: by EXIF orientation."""


def alike(gate: Gate, view: View, row: int, number: Number) -> list[api.AlikeReply]:
    """Return the links of a content, the strongest first."""
    t = view.table
    name = t.names[row].tobytes()
    own = gate.rows(_LINKS, {"s": name})
    through = None
    if not own and (sibling := _sibling(gate, t, row)) is not None:
        own, name = gate.rows(_LINKS, {"s": sibling}), sibling
        through = _label(t, _row(number, t, sibling))
    links = [_link(r, bytes(r["a"]) == name) for r in own]
    rows = [_row(number, t, other) for other, _ in links]
    tiles = view.tiles_of(rows)
    found = []
    for (_, link), other, index in zip(links, rows, tiles, strict=True):
        if other < 0:
            continue
        link.label, link.known, link.index, link.through = _label(t, other), _known(t, other), index, through
        if through is not None:
            link.box = None
        found.append(link)
    return found


def linked(gate: Gate, name: bytes) -> list[bytes]:
    """Return the contents that a content, or the picture of its stack that was looked at, is linked with."""
    ends = "select a as one, b as other from alike union all select b, a from alike"
    mates = "select sha256 from stacks where stack = (select stack from stacks where sha256 = $s)"
    rows = gate.rows(f"select distinct other from ({ends}) where one = $s or one in ({mates})", {"s": name})
    return [bytes(r["other"]) for r in rows]


def shown(box: str | None, width: int | None, height: int | None, orientation: int | None) -> list[float] | None:
    """Return a rectangle `left,top,width,height` in stored pixels as left, top, width and height in shares of the shown picture."""
    if not box or not width or not height:
        return None
    left, top, across, down = (int(v) for v in box.split(","))
    corners = [(left / width, top / height), ((left + across) / width, (top + down) / height)]
    turn = _TURNED.get(orientation or 1)
    if turn is not None:
        corners = [turn(x, y) for x, y in corners]
    xs, ys = sorted(min(max(x, 0.0), 1.0) for x, _ in corners), sorted(min(max(y, 0.0), 1.0) for _, y in corners)
    return [round(v, 4) for v in (xs[0], ys[0], xs[1] - xs[0], ys[1] - ys[0])]


def _sibling(gate: Gate, t: Table, row: int) -> bytes | None:
    """Return the picture of the same stack that was looked at a second time."""
    if int((t.stack == t.stack[row]).sum()) < 2:
        return None
    mates = (
        "select sha256 from stacks where stack = (select stack from stacks where sha256 = $s) and sha256 in (select sha256 from visible)"
    )
    rows = gate.rows(
        f"select m.sha256 from ({mates}) m where m.sha256 in (select a from alike union all select b from alike) order by 1 limit 1",
        {"s": t.names[row].tobytes()},
    )
    return bytes(rows[0]["sha256"]) if rows else None


def _link(r: dict[str, Any], is_a: bool) -> tuple[bytes, api.AlikeReply]:
    own, other = ("a", "b") if is_a else ("b", "a")
    said = {f"{own}-in-{other}": "part of", f"{other}-in-{own}": "contains", "part": "shares a part", "frame": "same frame"}
    if r["method"] == "panel":
        evidence = f"PDQ of a rectangle, distance {r['distance']}"
    else:
        evidence = f"{r['inliers']} of {r['seen']} corners agree, in {r['covered']:.0%} of the common part"
        evidence += "; brought together by the model" if r["method"] == "descriptor" else ""
    link = api.AlikeReply(
        index=None, label="", known=None, relation=said.get(r["relation"], "same picture"), mirrored=bool(r["mirrored"]), method=r["method"],
        inliers=r["inliers"], distance=r["distance"], evidence=evidence, area=r[f"area_{own}"], area_other=r[f"area_{other}"],
        box=shown(r[f"box_{own}"], r[f"w{own}"], r[f"h{own}"], r[f"o{own}"]),
        box_other=shown(r[f"box_{other}"], r[f"w{other}"], r[f"h{other}"], r[f"o{other}"]), through=None,
    )  # fmt: skip
    return bytes(r[other]), link


def _row(number: Number, t: Table, name: bytes) -> int:
    """Return the row of a content in the table; -1 where it has none there."""
    return int(t.row_of(number(digests(name)))[0])


def _known(t: Table, row: int) -> str | None:
    return KNOWN[t.known[row]] if t.known[row] else None


def _label(t: Table, row: int) -> str:
    if row < 0:
        return "another picture of its stack"
    exhibit, path = t.rank_of_item(row)
    return f"{exhibit}: {printable(path or '')}"
