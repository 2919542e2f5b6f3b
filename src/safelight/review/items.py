"""One item: all that is known of a content, and why. Read from the facts as they are, within the scope of the gate."""

from __future__ import annotations

from typing import Any

import numpy as np

from safelight.access import Gate
from safelight.decisions.events import LEVELS, Event
from safelight.decisions.standing import Said
from safelight.escape import printable
from safelight.review import api, links
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
RANK_RULE = "most pixels first, then the highest PDQ quality, then the smallest SHA-256"
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
        stack=_stack(gate, view, row),
        alike=links.alike(gate, view, row, log.number),
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


def _stack(gate: Gate, view: View, row: int) -> api.StackReply:
    """Return the stack of a content by rank: its members within the scope, and why each stands where it does."""
    t = view.table
    name = t.names[row].tobytes()
    members = np.flatnonzero(t.stack == t.stack[row])
    ranks = {bytes(r["sha256"]): r for r in gate.rows(_RANKS, {"s": name})}
    said = [ranks.get(t.names[m].tobytes()) for m in members.tolist()]
    place = np.array([r["rank"] if r else len(members) + 1 for r in said], np.int64)
    order = np.lexsort([members, place])[:MOST_MEMBERS]
    own = ranks.get(name)
    return api.StackReply(
        size=len(members), distance=int(t.stack_distance[row]), why=STACK_RULE if len(members) > 1 else "nothing else looks the same",
        rank=own["rank"] if own else None, of=own["size"] if own else 1, rank_why=_rank_why(own, order=[said[i] for i in order.tolist()]),
        members=[
            api.MemberReply(
                index=i, label=_place_label(t, int(members[at])), distance=int(t.stack_distance[members[at]]),
                rank=said[at]["rank"] if said[at] else None, looks=_looks(said[at]), own=bool(members[at] == row),
            )
            for i, at in zip(view.tiles_of(members[order]), order.tolist(), strict=True)
        ],
    )  # fmt: skip


_RANKS = """
    select k.sha256, k.rank, k.size, p.width, p.height, p.pdq_quality from stacks k left join pictures p using (sha256)
    where k.stack = (select stack from stacks where sha256 = $s) and k.sha256 in (select sha256 from visible)
"""


def _looks(r: dict[str, Any] | None) -> str:
    """Return what a rank is made of, in words."""
    if not r or not r["width"]:
        return ""
    return f"{r['width']} × {r['height']} pixels, PDQ quality {r['pdq_quality']}"


def _rank_why(own: dict[str, Any] | None, order: list[dict[str, Any] | None]) -> str:
    """Return why a content has its rank: what it has less of than the one before it."""
    if not own or own["size"] < 2:
        return ""
    if own["rank"] == 1:
        return f"shown for all of its stack: {RANK_RULE}"
    before = next((r for r in reversed(order) if r and r["rank"] < own["rank"]), None)
    if before is None:
        return RANK_RULE
    pixels = [(r["width"] or 0) * (r["height"] or 0) for r in (own, before)]
    if pixels[0] < pixels[1]:
        return f"fewer pixels than number {before['rank']}"
    if own["pdq_quality"] < before["pdq_quality"]:
        return f"as many pixels as number {before['rank']}, and less PDQ quality"
    return f"as many pixels and as much PDQ quality as number {before['rank']}; ties go by SHA-256"


def _place_label(t: Table, row: int) -> str:
    exhibit, path = t.rank_of_item(row)
    return f"{exhibit}: {printable(path or '')}"


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
