"""Open a SQLite file of unknown origin: read only, immutable, no trusted schema, bounded work. Shared by NSRL 3 and `.kdb`.

SQLite cannot read from a stream, so these formats get a path (a read-only mount of the sandbox).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safelight.match.entries import Event, Incomplete, Refused

CELL = 1 << 20
DAMAGE = (sqlite3.DatabaseError, UnicodeDecodeError)  # the second comes from names and messages that are no UTF-8


@contextmanager
def open_read_only(path: str | None) -> Iterator[sqlite3.Connection]:
    """Open `path` so that nothing is written, no journal is looked for, and a hostile schema can run nothing."""
    if path is None:
        raise Refused("a SQLite hash set is read from a path, not from a stream")
    db = sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        db.text_factory = lambda raw: raw.decode("utf-8", "replace")
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, CELL)
        for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0", "temp_store=MEMORY", "query_only=ON"):
            db.execute(f"PRAGMA {pragma}")
        yield db
    except DAMAGE as error:
        raise Refused(f"not a readable SQLite file: {error}") from error
    finally:
        db.close()


def tables_of(db: sqlite3.Connection) -> dict[str, str]:
    """Return tables and views by name, with their kind."""
    return {str(name): str(kind) for kind, name in db.execute("SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view')")}


def columns_of(db: sqlite3.Connection, table: str) -> list[str]:
    """Return the column names of a table, lower case; `table` is one of our own constants."""
    return [str(row[1]).lower() for row in db.execute(f'PRAGMA table_info("{table}")')]


def cut_short(rows: Iterator[Event]) -> Iterator[Event]:
    """Pass rows on; damage in the middle of the file ends them as an incomplete set, not as a crash."""
    try:
        yield from rows
    except DAMAGE as error:
        yield Incomplete(f"the database is damaged or cut: {error}")
