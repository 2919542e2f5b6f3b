"""Sleuth Kit and Autopsy: `.kdb` (SQLite, digests as blobs) and `.idx` text indexes (FORMATS.md 2.5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from safelight.match.entries import Event, Fact, Options, Record, Refused
from safelight.match.formats.lists import judge_line, text_lines
from safelight.match.formats.sqlite import columns_of, cut_short, open_read_only, tables_of
from safelight.match.values import Judged, judged_record

IDX_HEAD = re.compile(rb"0{40}[01]?\|")
IDX_LINE = re.compile(r"([0-9A-Fa-f]{32,64})\|\d{1,20}\s*\Z", re.ASCII)


class Kdb:
    """Autopsy's hash database. TSK fills `md5` only; the other columns are read where they are filled."""

    name = "tsk-kdb"
    needs_path = True

    def detect(self, head: bytes, name: str) -> bool:
        return head.startswith(b"SQLite format 3\0") and b"db_properties" in head and b"hashes" in head

    def records(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        with open_read_only(options.path) as db:
            if "hashes" not in tables_of(db):
                raise Refused("this SQLite file has no table `hashes`: not a .kdb")
            yield from cut_short(self._rows(db))

    def _rows(self, db: object) -> Iterator[Event]:
        from sqlite3 import Connection

        assert isinstance(db, Connection)
        row = (
            db.execute("SELECT value FROM db_properties WHERE name = 'Schema Version'").fetchone()
            if "db_properties" in tables_of(db)
            else None
        )
        yield Fact("schema", str(row[0])[:64] if row else None)
        have = columns_of(db, "hashes")
        wanted = [(column, name) for column, name in (("md5", "md5"), ("sha1", "sha1"), ("sha2_256", "sha256")) if column in have]
        if not wanted:
            raise Refused("the table `hashes` has none of the columns md5, sha1, sha2_256")
        blob = False
        query = "SELECT " + ", ".join(f'"{column}"' for column, _ in wanted) + " FROM hashes ORDER BY id"
        for position, values in enumerate(db.execute(query), 1):
            judged = Judged()
            for (_, name), value in zip(wanted, values, strict=True):
                blob = blob or isinstance(value, bytes)
                judged.add(name, value.hex() if isinstance(value, bytes) else value)
            yield judged_record(judged, Record(position=position))
        yield Fact("blob", blob)


class Idx:
    """A TSK index: two header lines whose "hashes" are none, then `HASH|offset`, sorted."""

    name = "tsk-idx"
    needs_path = False

    def detect(self, head: bytes, name: str) -> bool:
        return IDX_HEAD.match(head) is not None

    def records(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        encoding, source = text_lines(stream, options)
        yield Fact("encoding", encoding)
        position = 0
        for line in source:
            value, bar, tail = line.text.strip().partition("|")
            if value.startswith("0" * 40) and bar and line.number <= 2:
                yield Fact("set_name" if value.endswith("1") else "index_of", tail[:200])
                continue
            position += 1
            whole = IDX_LINE.match(line.text.strip()) is not None
            yield judge_line(position, line, [(options.declared_type, value)], fields_missing=not whole or len(tail.strip()) < 16)
