"""One item: all that is known of a content, and why. Read from the facts as they are, within the scope of the gate."""

from __future__ import annotations

from typing import Any

import numpy as np

from safelight.access import Gate
from safelight.decisions.events import LEVELS, Event
from safelight.decisions.standing import Said
from safelight.escape import printable
from safelight.review import api
from safelight.review.desk import Desk
from safelight.review.order import reason
from safelight.review.people import Person
from safelight.review.rows import label, proposals, standing
from safelight.review.times import instant
from safelight.review.views import View
from safelight.table.table import KNOWN, Table

MOST_PLACES = 200
MOST_MATCHES = 200
MOST_MEMBERS = 200
STACK_RULE = "within the PDQ distance of the representative; the nearest one where there are several"


def item(desk: Desk, person: Person, view: View, index: int) -> api.ItemReply:
    """Return the item that stands for a tile; writes the look to the ledger first."""
    t, row = view.table, view.head(index)
    name = t.names[row].tobytes()
    desk.consult(person, "review item", content=name.hex())
    return desk.ask(lambda gate: _reply(desk, person, view, index, row, name, gate))


def _reply(desk: Desk, person: Person, view: View, index: int, row: int, name: bytes, gate: Gate) -> api.ItemReply:
    t, key = view.table, {"s": name}
    facts = (
        gate.rows("select c.*, p.* exclude (sha256) from contents c left join pictures p using (sha256) where c.sha256 = $s", key) or [{}]
    )[0]
    places = gate.rows(f"select * from visible where sha256 = $s order by exhibit, source, ordinal, member limit {MOST_PLACES}", key)
    category, mine, status = standing(person, t, np.array([row]))
    first = t.first[row]
    log = desk.log
    with log.lock:
        given = int(log.standing.given[t.number[row]])
        levels, ms = desk.exposure.seen(person.user, t.number[row : row + 1])
    voted = mine[0] is not None or person.is_supervisor or status[0] == "final" or desk.policy.votes == 1
    return api.ItemReply(
        label=label(
            index, view.count, t.kind.name(row) or "other", t.state.name(first) or "", len(view.tile(index)), category[0],
            KNOWN[t.known[row]] if t.known[row] else None, t.exhibit.name(first) or "", printable(t.path[int(first)].as_py() or ""),
        ),
        kind=t.kind.name(row) or "other",
        media_type=t.media_type.name(row),
        size=int(t.size[row]),
        width=int(t.width[row]) or None,
        height=int(t.height[row]) or None,
        frames=facts.get("frames"),
        digests=api.Digests(
            md5=_hex(facts.get("md5")), sha1=_hex(facts.get("sha1")), sha256=name.hex(), pdq=_hex(facts.get("pdq")),
            pdq_quality=facts.get("pdq_quality"),
        ),
        exif=_exif(facts),
        places=[_place(p) for p in places],
        places_total=int(t.places[row]),
        matches=_matches(gate, key),
        stack=_stack(view, row),
        problems=_problems(gate, key),
        order=api.OrderOfItem(name=view.order, reason=printable(reason(view.order, view.ranking, row))),
        decisions=_history(desk, person, name, voted),
        standing=api.StandingOfItem(
            category=category[0], proposed=proposals(person, t, np.array([row]))[0], mine=mine[0], status=status[0],
            votes_needed=desk.policy.votes, votes_given=given,
        ),
        seen=api.SeenReply(level=LEVELS[int(levels[0])], seconds=int(ms[0]) / 1000),
    )  # fmt: skip


def _hex(value: Any) -> str | None:
    return None if value is None else bytes(value).hex()


def _exif(facts: dict[str, Any]) -> dict[str, str]:
    """Return what the picture says of itself, as text with everything invisible escaped."""
    found: dict[str, str] = {}
    names = ("make", "model", "serial", "lens_serial", "software", "gps_lat", "gps_lon", "gps_alt")
    found |= {n: str(facts[f"exif_{n}"]) for n in names if facts.get(f"exif_{n}") is not None}
    basis = facts.get("exif_taken_basis")
    if (taken := instant(facts.get("exif_taken"), "utc" if basis == "offset" else "local?")) is not None:
        found["taken"] = taken
    if (gps := instant(facts.get("exif_gps_time"), "utc")) is not None:
        found["gps_time"] = gps
    rest = facts.get("exif") or {}
    pairs = rest.items() if isinstance(rest, dict) else rest
    found |= {str(k): str(v) for k, v in list(pairs)[:500]}
    return {printable(k)[:200]: printable(v)[:2_000] for k, v in found.items()}


def _place(p: dict[str, Any]) -> api.PlaceReply:
    times = {n: instant(p[n], p["time_basis"]) for n in ("mtime", "atime", "ctime", "btime")}
    return api.PlaceReply(
        exhibit=p["exhibit"], path=printable(p["path"] or ""), state=p["state"] or "", origin=printable(p["origin"]),
        time_basis=p["time_basis"], problem=p["problem"], reason=printable(p["reason"]) if p["reason"] else None, **times,
    )  # fmt: skip


def _matches(gate: Gate, key: dict[str, Any]) -> list[api.MatchReply]:
    rows = gate.rows(
        f'select * from judged where sha256 = $s order by distance, "set", version, method, entry, transform limit {MOST_MATCHES}', key
    )
    return [
        api.MatchReply(
            set=m["set"], version=m["version"], as_=m["as"], method=m["method"], distance=m["distance"], transform=m["transform"],
            form=m["form"], entry=m["entry"], category=m["category"], deconfirmed=m["deconfirmed"], flood=m["flood"],
        )
        for m in rows
    ]  # fmt: skip


def _stack(view: View, row: int) -> api.StackReply:
    t = view.table
    members = np.flatnonzero(t.stack == t.stack[row])
    members = members[np.lexsort([members, t.stack_distance[members]])]
    index = _indexes(view, members[:MOST_MEMBERS])
    return api.StackReply(
        size=len(members),
        distance=int(t.stack_distance[row]),
        why=STACK_RULE if len(members) > 1 else "nothing else looks the same",
        members=[
            api.MemberReply(index=i, label=_place_label(t, int(m)), distance=int(t.stack_distance[m]))
            for i, m in zip(index, members[:MOST_MEMBERS].tolist(), strict=True)
        ],
    )


def _place_label(t: Table, row: int) -> str:
    exhibit, path = t.rank_of_item(row)
    return f"{exhibit}: {printable(path or '')}"


def _indexes(view: View, rows: Any) -> list[int | None]:
    """Return the tile of each content in the view; None where it is in none."""
    found: list[int | None] = []
    wanted = np.zeros(view.table.rows, bool)
    wanted[rows] = True
    at = np.flatnonzero(wanted[view.members])
    tiles = dict(zip(view.members[at].tolist(), (np.searchsorted(view.starts, at, side="right") - 1).tolist(), strict=True))
    found += [tiles.get(int(r)) for r in rows]
    return found


def _problems(gate: Gate, key: dict[str, Any]) -> list[api.ProblemOfItem]:
    rows = gate.rows(
        "select distinct p.kind, p.reason from problems p join visible v using (item_id) where v.sha256 = $s order by all limit 200", key
    )
    return [api.ProblemOfItem(kind=r["kind"], reason=printable(r["reason"])) for r in rows]


def _history(desk: Desk, person: Person, name: bytes, voted: bool) -> list[api.DecisionReply]:
    """Return who decided what of this content. Blind: who has not voted sees their own events only."""
    events = [e for e in desk.log.history(name) if e.what == "decide" and (voted or e.user == person.user)]
    return [_decision(e, desk.log.standing.said.get(e.seq)) for e in events[-500:]]


def _decision(e: Event, said: Said | None) -> api.DecisionReply:
    body = e.body
    tags = [f"+{t}" for t in body.get("add_tags", ())] + [f"-{t}" for t in body.get("remove_tags", ())]
    flags = [f"+{f}" for f in body.get("add_flags", ())] + [f"-{f}" for f in body.get("remove_flags", ())]
    return api.DecisionReply(
        event=e.seq, at=e.at, user=e.user, what=e.what, category=body.get("category"), note=body.get("note"), tags=tags, flags=flags,
        undone=bool(said and said.undone),
    )  # fmt: skip
