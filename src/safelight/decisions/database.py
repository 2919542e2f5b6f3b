"""The file `decisions.sqlite`: WAL, `synchronous=FULL`, append-only by trigger. What is committed is on the disk.

`events` is the truth, `entries` finds the events of a content, `answers` gives the same answer to the same request. Only local disks:
WAL needs shared memory between the processes that have it open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from safelight.decisions.events import Event
from safelight.errors import NotVerified, OutOfResources, Refused

NAME = "decisions.sqlite"
_TABLES = """
create table if not exists events (
    seq integer primary key, key text unique, at text not null, user text not null, role text not null, what text not null,
    body text not null, contents blob not null, seen blob not null, prev text not null, hash text not null) strict;
create table if not exists entries (sha256 blob not null, seq integer not null, primary key (sha256, seq)) strict, without rowid;
create table if not exists answers (key text primary key, request text not null, answer text not null) strict;
"""
_COLUMNS = "seq, key, at, user, role, what, body, contents, seen, prev, hash"


def open_database(folder: Path) -> sqlite3.Connection:
    """Open or make the file. The connection is used under a lock of its owner; transactions are begun by hand."""
    path = folder / NAME
    try:
        con = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=20.0)
        con.execute("pragma journal_mode = wal")
        con.execute("pragma synchronous = full")
        con.execute("pragma temp_store = memory")
        con.execute("pragma trusted_schema = off")
        con.executescript(_TABLES)
        for table in ("events", "entries", "answers"):
            for verb in ("update", "delete"):
                con.execute(
                    f"create trigger if not exists {table}_{verb} before {verb} on {table} "
                    "begin select raise(abort, 'decisions are never changed, only added'); end"
                )
    except sqlite3.OperationalError as e:
        if e.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):  # the low byte is the kind, the rest says which call
            raise OutOfResources(
                f"no space left for {path}, or its disk is defective ({e}). Nothing was changed; make room and start again."
            ) from None
        raise Refused(f"{path} cannot be opened ({e}). Nothing was changed; is another program using it?") from None
    except sqlite3.Error as e:
        raise Refused(f"{path} cannot be opened ({e}). Nothing was changed; run `safelight verify`, or restore it from a copy.") from None
    return con


def open_readonly(folder: Path) -> sqlite3.Connection | None:
    """Open the file to read; None where nobody has decided anything yet."""
    path = folder / NAME
    if not path.exists():
        return None
    for mode in ("mode=ro", "immutable=1"):  # the second: a case on a medium that cannot be written
        try:
            con = sqlite3.connect(
                f"{path.resolve().as_uri()}?{mode}", uri=True, isolation_level=None, check_same_thread=False, timeout=20.0
            )
            con.execute("pragma temp_store = memory")
            con.execute("select count(*) from events").fetchone()
            return con
        except sqlite3.Error as e:
            error = e
    raise NotVerified(f"{path} cannot be read ({error}). Run `safelight verify`, or restore it from a copy.")


def events(con: sqlite3.Connection, after: int = 0) -> Iterator[Event]:
    """Yield the events in order."""
    for row in con.execute(f"select {_COLUMNS} from events where seq > ? order by seq", (after,)):
        yield _event(row)


def _event(row: Any) -> Event:
    seq, key, at, user, role, what, body, contents, seen, prev, digest = row
    return Event(
        seq=seq, key=key, at=at, user=user, role=role, what=what, body=msgspec.json.decode(body), contents=bytes(contents),
        seen=bytes(seen), prev=prev, hash=digest,
    )  # fmt: skip


def insert(con: sqlite3.Connection, event: Event) -> None:
    """Append an event, within a transaction."""
    body = msgspec.json.encode(event.body, order="deterministic").decode()
    con.execute(
        f"insert into events ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (event.seq, event.key, event.at, event.user, event.role, event.what, body, event.contents, event.seen, event.prev, event.hash),
    )
    if event.what in ("decide", "reveal"):
        raw = event.contents
        con.executemany("insert into entries values (?, ?)", ((raw[i : i + 32], event.seq) for i in range(0, len(raw), 32)))


def entries_of(con: sqlite3.Connection, names: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield (sha256, seq) of all events that name one of these contents, by content and then in order."""
    con.execute("create temp table if not exists wanted (sha256 blob primary key) without rowid")
    con.execute("delete from wanted")
    con.executemany("insert into wanted values (?)", ((n,) for n in names))
    yield from con.execute("select e.sha256, e.seq from wanted w join entries e using (sha256) order by 1, 2")


def event(con: sqlite3.Connection, seq: int) -> Event | None:
    """Return one event."""
    row = con.execute(f"select {_COLUMNS} from events where seq = ?", (seq,)).fetchone()
    return _event(row) if row else None
