"""NIST NSRL: RDS 2 text, RDS 3 SQLite, RDS 3 delta scripts (FORMATS.md 2.4). NSRL means *known*, not *good*.

A delta is applied to a copy of its base by `apply_delta`, statement by statement under an authorizer that allows only INSERT, UPDATE
and DELETE on the published tables. Reading one without its base is refused.
"""

from __future__ import annotations

import itertools
import re
import sqlite3
from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec
import numpy as np

from safelight.match.entries import WIDTHS, Block, Event, Fact, Options, Record, Refused
from safelight.match.formats.columnar import HEADS
from safelight.match.formats.csv import header_cells
from safelight.match.formats.sqlite import DAMAGE, columns_of, cut_short, open_read_only, tables_of
from safelight.match.formats.table import header_key, table
from safelight.match.formats.text import encoding_of, lines
from safelight.match.values import Judged, judged_record

RDS2 = ("sha-1", "md5", "crc32", "filename", "filesize", "productcode", "opsystemcode", "specialcode")
RDS2_FORM1 = ("sha-1", "filename", "filesize", "productcode", "opsystemcode", "md4", "md5", "crc32", "specialcode")
DELTA_TABLES = ("FILE", "PKG", "OS", "MFG", "VERSION", "METADATA")
DELTA_HEAD = re.compile(rb"\s*(?:--[^\n]*\n\s*)*(?:BEGIN|INSERT\s+INTO|UPDATE|DELETE\s+FROM)\b", re.IGNORECASE)
LARGEST_STATEMENT = 16 << 20
BATCH = 32_768
"""Rows that are judged together."""


class Rds2:
    """`NSRLFile.txt`, both forms of its header; one hash has many rows."""

    name = "nsrl-rds2"
    needs_path = False

    def detect(self, head: bytes, name: str) -> bool:
        return tuple(header_key(cell) for cell in header_cells(head)) in (RDS2, RDS2_FORM1)

    def records(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        codes: dict[str, int] = {}
        columns = {**options.columns, "specialcode": "special_code"}
        for event in table(stream, msgspec.structs.replace(options, columns=columns)):
            code = event.extra.get("special_code", "")[:64] if isinstance(event, Record) else ""
            if code and (code in codes or len(codes) < 256):
                codes[code] = codes.get(code, 0) + 1
            yield event
        yield Fact("special_codes", codes)


class Rds3:
    """RDS 3 SQLite. Identical digests stand many times (once a file name and package): they are read grouped, with their count."""

    name = "nsrl-rds3"
    needs_path = True

    def detect(self, head: bytes, name: str) -> bool:
        return head.startswith(b"SQLite format 3\0") and b"package_id" in head and b"sha256" in head

    def records(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        yield from self._read(options, blocks=False)

    def blocks(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        """The same, plain rows as blocks."""
        yield from self._read(options, blocks=True)

    def _read(self, options: Options, blocks: bool) -> Iterator[Event]:
        with open_read_only(options.path) as db:
            have = tables_of(db)
            if "FILE" not in have:
                raise Refused("this SQLite file has no table or view FILE: not an RDS 3")
            yield from cut_short(self._rows(db, have, blocks))

    def _rows(self, db: sqlite3.Connection, have: dict[str, str], blocks: bool) -> Iterator[Event]:
        if "VERSION" in have:
            row = db.execute("SELECT version FROM VERSION ORDER BY release_date DESC").fetchone()
            yield Fact("rds_version", str(row[0])[:64] if row else None)
        if "PKG" in have:
            yield Fact("packages", int(db.execute("SELECT count(DISTINCT package_id) FROM PKG").fetchone()[0]))
        wanted: list[str] = [name for name in ("sha256", "sha1", "md5") if name in columns_of(db, "FILE")]
        if not wanted:
            raise Refused("FILE has none of the columns sha256, sha1, md5")
        columns = ", ".join(wanted)
        if have["FILE"] == "table" and len(wanted) == 3 and self._is_sorted(db):
            query = f"SELECT {columns}, count(*) FROM FILE GROUP BY {columns} ORDER BY {columns}"
            yield from (_grouped_blocks if blocks else _grouped)(db.execute(query), wanted)
        else:
            yield from _neighbours(db.execute(f"SELECT {columns} FROM FILE"), wanted)

    @staticmethod
    def _is_sorted(db: sqlite3.Connection) -> bool:
        """Say whether an index gives the order without sorting (the primary key of the published table does)."""
        plan = db.execute("EXPLAIN QUERY PLAN SELECT sha256, sha1, md5 FROM FILE ORDER BY sha256, sha1, md5").fetchall()
        return not any("TEMP B-TREE" in str(step[3]) for step in plan)


def _record(position: int, names: list[str], values: tuple[object, ...], count: int) -> Event:
    judged = Judged()
    for name, value in zip(names, values, strict=True):
        judged.add(name, value.hex() if isinstance(value, bytes) else value)
    return judged_record(judged, Record(position=position, repeats=count))


def _grouped(rows: sqlite3.Cursor, names: list[str]) -> Iterator[Event]:
    """Yield the records of rows that came grouped, each with its count: published files name each digest six times on average."""
    position = 0
    for *values, count in rows:
        yield _record(position + 1, names, tuple(values), count)
        position += count


def _grouped_blocks(rows: sqlite3.Cursor, names: list[str]) -> Iterator[Event]:
    """The same, plain rows as blocks."""
    from safelight.native import _hexcolumns

    widths, position = bytes(WIDTHS[n] for n in names), 0
    width = sum(widths)
    while batch := list(_until_damage(rows, damage := list[sqlite3.DatabaseError | UnicodeDecodeError]())):
        flags, digests = _hexcolumns.cells(batch, widths, HEADS)
        counts = np.array([row[-1] for row in batch], "<i8")
        starts = np.concatenate([[position], position + np.cumsum(counts)]).astype("<i8")
        done = 0
        for odd in [*np.flatnonzero(np.frombuffer(flags, np.uint8)).tolist(), len(batch)]:
            if odd > done:
                part = slice(done, odd)
                yield Block(
                    positions=(starts[part] + 1).tobytes(),
                    repeats=counts[part].tobytes(),
                    methods=names,
                    digests=digests[done * width : odd * width],
                )
            if odd < len(batch):
                yield _record(int(starts[odd]) + 1, names, batch[odd][:-1], int(counts[odd]))
            done = odd + 1
        position = int(starts[-1])
        if damage:
            raise damage[0]


def _until_damage(rows: sqlite3.Cursor, damage: list[sqlite3.DatabaseError | UnicodeDecodeError]) -> Iterator[tuple[Any, ...]]:
    """Yield at most `BATCH` rows; where the file is damaged, those before it, and note the damage."""
    try:
        yield from itertools.islice(rows, BATCH)
    except DAMAGE as error:
        damage.append(error)


def _neighbours(rows: sqlite3.Cursor, names: list[str]) -> Iterator[Event]:
    """Yield the records of rows in any order: equal neighbours are joined here, without a temporary tree in SQLite."""
    position, values, count = 0, (), 0
    for row in rows:
        if count and row == values:
            count += 1
            continue
        if count:
            yield _record(position, names, values, count)
        position, values, count = position + max(count, 1), row, 1
    if count:
        yield _record(position, names, values, count)


class Rds3Delta:
    """A delta script. It has no meaning without its base: give the base and name the delta with it."""

    name = "nsrl-rds3-delta"
    needs_path = False

    def detect(self, head: bytes, name: str) -> bool:
        return DELTA_HEAD.match(head) is not None and re.search(rb"\b(FILE|PKG)\b", head) is not None

    def records(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        raise Refused("an RDS 3 delta is applied to the full set it belongs to: import that set and give this file as its delta")
        yield  # a generator, like all readers


def _allow(action: int, first: str | None, second: str | None, *unused: object) -> int:
    """Allow changes and reads of the published tables, transactions, and nothing else (no ATTACH, PRAGMA, CREATE, functions)."""
    if action in (sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SELECT):
        return sqlite3.SQLITE_OK
    if action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE, sqlite3.SQLITE_READ):
        return sqlite3.SQLITE_OK if (first or "").upper() in DELTA_TABLES else sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_DENY


def statements(stream: BinaryIO) -> Iterator[str]:
    """Split a script by SQLite's own tokenizer: names hold `;` and `''`. Raise `Refused` for an unfinished last statement."""
    encoding, skip = encoding_of(stream)
    held: list[str] = []
    size = 0
    for line in lines(stream, encoding, skip):
        held.append(line.text)
        size += len(line.text) + 1
        if line.cut or size > LARGEST_STATEMENT:
            raise Refused(f"line {line.number}: a statement of the delta is too long")
        if ";" in line.text and sqlite3.complete_statement("\n".join(held)):
            yield "\n".join(held)
            held, size = [], 0
    if "".join(held).strip():
        raise Refused("the delta ends inside a statement: it is cut off")


def apply_delta(database: str, stream: BinaryIO) -> int:
    """Apply a delta to the SQLite file `database` (a copy that belongs to us) in one transaction; return the number of statements."""
    db = sqlite3.connect(database, isolation_level=None)
    try:
        db.set_authorizer(_allow)
        db.execute("BEGIN")
        done = 0
        for statement in statements(stream):
            for part in _single(statement):
                if part.strip(" \t\r\n;").split(" ")[0].upper() in ("BEGIN", "COMMIT", "END"):
                    continue
                db.execute(part)
                done += 1
        db.execute("COMMIT")
        return done
    except sqlite3.Error as error:
        raise Refused(f"the delta could not be applied: {error}") from error
    finally:
        db.close()


def _single(text: str) -> Iterator[str]:
    """Split text that is complete as a whole into its single statements (several may stand on one line)."""
    start = 0
    for found in re.finditer(";", text):
        part = text[start : found.end()]
        if sqlite3.complete_statement(part):
            if part.strip(" \t\r\n;"):
                yield part
            start = found.end()
