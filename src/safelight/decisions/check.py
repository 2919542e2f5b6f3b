"""Check the log of decisions: the chain of its hashes, the index beside it, and the heads that the ledger knows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from safelight.case import Case
from safelight.decisions import database
from safelight.decisions.events import GENESIS, sealed
from safelight.errors import NotVerified


def check(case: Case) -> tuple[list[str], int]:
    """Return the findings (changed, missing, added) and the number of events."""
    heads = {int(e["events"]): str(e["head"]) for e in case.ledger.entries() if e["what"] == "decisions"}
    try:
        con = database.open_readonly(case.folder)
    except NotVerified as e:
        return [f"changed: {database.NAME} ({e})"], 0
    if con is None:
        return ([f"missing: {database.NAME}, of which the ledger knows {max(heads)} events"] if heads else []), 0
    try:
        con.execute("begin")  # one state, while others write
        return list(_findings(con, heads)), con.execute("select count(*) from events").fetchone()[0]
    except (sqlite3.Error, ValueError) as e:
        return [f"changed: {database.NAME} cannot be read ({e})"], 0
    finally:
        con.close()


def _findings(con: sqlite3.Connection, heads: dict[int, str]) -> Iterator[str]:
    (sound,) = con.execute("pragma quick_check(1)").fetchone()
    if sound != "ok":
        yield f"changed: {database.NAME}: {sound}"
        return
    prev, count, named = GENESIS, 0, 0
    for event in database.events(con):
        count += 1
        if event.seq != count or event.prev != prev:
            yield f"missing: {database.NAME}: an event before number {event.seq}"
            return
        if sealed(event) != event.hash:
            yield f"changed: {database.NAME}: event {event.seq}: its hash does not fit"
            return
        if event.seq in heads and heads[event.seq] != event.hash:
            yield f"changed: {database.NAME}: event {event.seq} is not the one that the ledger knows"
            return
        if event.what in ("decide", "reveal"):
            named += len(event.contents) // 32
        prev = event.hash
    if heads and max(heads) > count:
        yield f"missing: {database.NAME}: {max(heads)} events are known, {count} are there"
    yield from _index(con, named)


def _index(con: sqlite3.Connection, named: int) -> Iterator[str]:
    """The index answers which events name a content; it must name as many as the events do, and only those."""
    (entries,) = con.execute("select count(*) from entries").fetchone()
    lost: Any = (
        con.execute(
            "select count(*) from entries n left join events e using (seq) where e.seq is null or instr(e.contents, n.sha256) = 0"
        ).fetchone()[0]
        if entries <= 200_000
        else 0
    )
    if entries != named or lost:
        yield f"changed: {database.NAME}: its index names {entries} contents, its events {named}"
