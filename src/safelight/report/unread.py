"""The first section of the report: what was not read and why, and what was not done. Then the accounts of each volume."""

from __future__ import annotations

from typing import Any

from safelight.access import Gate, quoted
from safelight.case import Exhibit
from safelight.facts.layout import EXTRACT_STEPS, LIST_STEP, Layout
from safelight.match.library import SetInfo
from safelight.problems import KINDS
from safelight.report.history import History

PLACES = 200
"""Places of one kind of problem that are printed; the others are counted, with the command that lists them."""

_HIDDEN = "p.item_id is null or p.item_id not in (select item_id from items where item_id not in (select item_id from shown))"
"""A problem of an item outside of the scope is not shown; one of a volume, or of a place that became no item, always is."""


def _within(gate: Gate, exhibit: str | None) -> str:
    conditions = [f"p.exhibit = {quoted(exhibit)}"] if exhibit else []
    return " and ".join(conditions + ([f"({_HIDDEN})"] if gate.scoped else [])) or "true"


def problems(gate: Gate, exhibit: str | None) -> list[dict[str, Any]]:
    """Return the kinds of problems, the most frequent first: count, meaning, up to `PLACES` places in canonical order, and how many `more`.

    Problems below one listed entry (the members of an archive) with the same reason are one place; its `n` says how many they are.
    """
    only = _within(gate, exhibit)
    kinds = gate.rows(
        f"select kind, count(*) n, count(*) filter (not complete) open, count(distinct item_id) items from problems p where {only} "
        "group by kind order by n desc, kind"
    )
    places = gate.rows(
        f"""
        with alike as (
            select p.kind, p.exhibit, p.source, p.ordinal, p.reason, p.complete, count(*) n,
                min(struct_pack(member := p.member, step := p.step, number := p.number, origin := p.origin, item_id := p.item_id)) "first"
            from problems p where {only} group by p.kind, p.exhibit, p.source, p.ordinal, p.reason, p.complete,
                case when p.ordinal < 0 then p.origin end
        ), chosen as (
            select kind, exhibit, source, ordinal, reason, complete, n, unnest("first") from alike
            qualify row_number() over (partition by kind order by exhibit, source, ordinal, "first", reason) <= {PLACES}
        )
        select c.*, i.path, i.state from chosen c left join shown i using (item_id)
        order by c.exhibit, c.source, c.ordinal, c.member, c.step, c.number
        """
    )
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for place in places:
        by_kind.setdefault(place["kind"], []).append(place)
    return [
        {**k, "means": KINDS.get(k["kind"], ""), "places": found, "more": int(k["n"]) - sum(int(p["n"]) for p in found)}
        for k, found in ((k, by_kind.get(k["kind"], [])) for k in kinds)
    ]


def unread_by_exhibit(gate: Gate) -> list[dict[str, Any]]:
    """Return per exhibit the items whose content should be there and could not be read."""
    return gate.rows("select exhibit, count(*) items from shown where readable and sha256 is null group by 1 order by 1")


def unfinished(gate: Gate, exhibits: list[Exhibit], past: History, sets: list[SetInfo]) -> list[str]:
    """Return in words every step that is not done, or that was done before something it needs."""
    said = []
    if not past.runs:
        said.append("No run was started: nothing of the evidence was read.")
    elif past.running:
        said.append("The last run has not come to its end (it is still at work, or it was stopped); `safelight run` goes on.")
    layout, last_facts = Layout(gate.case.folder), 0
    for e in exhibits:
        if e.key not in past.listed or not layout.listed(e.key).is_dir():
            said.append(f"Exhibit {e.key} is not listed: nothing is known of what it holds.")
            continue
        only = layout.best(e.key)
        done, total = len(past.shards.get((e.key, EXTRACT_STEPS[only]), ())), int(past.listed[e.key]["shards"])
        compacted = past.compacted.get((e.key, EXTRACT_STEPS[only]), 0)
        last_facts = max(last_facts, compacted)
        if not compacted:
            said.append(f"Exhibit {e.key} is listed ({LIST_STEP}); {done:,} of {total:,} shard(s) are extracted.")
        elif only == "digests":
            said.append(f"Exhibit {e.key} was digested only: no types, no pictures and nothing inside archives.")
    return said + _unmatched(past, sets, last_facts)


def _unmatched(past: History, sets: list[SetInfo], last_facts: int) -> list[str]:
    matched = {(m["set"], m["version"], m["source_sha256"]) for m in past.matched.values()}
    said = []
    for m in past.matched.values():
        if m["seq"] < last_facts:
            said.append(f"Hash set {m['set']} {m['version']} was matched before all exhibits were extracted.")
    for s in sets:
        if s.state == "ready" and (s.name, s.version, s.source_sha256) not in matched:
            said.append(f"Hash set {s.name} {s.version} is in the library and was not matched.")
        elif s.state in ("damaged", "to confirm"):
            why = s.problem or "it waits for a person to confirm it"
            said.append(f"Hash set {s.name} {s.version} was not matched: {s.state} ({why}).")
    if last_facts and (not past.stacked or past.stacked["seq"] < last_facts):
        said.append("Pictures were not stacked since the last exhibit was extracted.")
    return said


def volumes(gate: Gate, exhibit: str | None) -> list[dict[str, Any]]:
    """Return the accounts of each volume, in the order of exhibits and disks, each with what its figures leave open."""
    only = f"where exhibit = {quoted(exhibit)}" if exhibit else ""
    rows = gate.rows(f"select * from volumes {only} order by exhibit, source, volume")
    for row in rows:
        allocated, covered = row["bytes_allocated"], row["bytes_covered"]
        row["open"] = max(0, allocated - covered) if allocated is not None and covered is not None else None
    return rows
