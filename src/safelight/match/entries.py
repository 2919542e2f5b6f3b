"""What a reader of hash sets yields, and what it is told.

A reader is pure: bytes in, events out, no file system. It runs in a sandbox worker, so each event is a small msgspec struct that
crosses a process border. `Record` is one hash-bearing unit that is kept, `Skip` one that is not (with its one reason), `Fact`
what the source says about itself, `Warn` what a person should read, `Incomplete` that the source is not whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Protocol, runtime_checkable

import msgspec
import numpy as np

EXACT = ("md5", "sha1", "sha256", "sha512")
"""Digest algorithms that match by equality."""
PERCEPTUAL = ("pdq",)
"""Hashes that match within a distance."""
WIDTHS = {"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64, "pdq": 32}
"""Bytes of each value that can be matched here."""
REASONS = ("truncated", "tombstone", "bad_hash", "placeholder", "empty_input", "ambiguous_type", "no_hash")
"""Why a record was not stored, highest priority first; a record has exactly one."""


class Record(msgspec.Struct, array_like=True, tag=True, kw_only=True):
    """One record that is kept. `position` counts the records of the source from 1, skipped ones included; `line` is 0 where the
    format has no lines. `flags` holds only what was stated: absent key, None (null) and False are three things. `category` is the
    code as text; None with `category_stated` is a null in the source. `scheme` is set only where the record itself names one.
    `repeats` > 1 stands for so many identical records in a row (a grouped SQL query)."""

    position: int
    line: int = 0
    digests: list[tuple[str, bytes]] = msgspec.field(default_factory=list)
    opaque: list[tuple[str, bytes]] = msgspec.field(default_factory=list)
    category: str | None = None
    category_stated: bool = False
    scheme: str | None = None
    media_id: str | None = None
    series: str | None = None
    flags: dict[str, bool | None] = msgspec.field(default_factory=dict)
    quality: int | None = None
    scope: str | None = None
    trivial: bool = False
    repeats: int = 1
    rejected: list[str] = msgspec.field(default_factory=list)
    extra: dict[str, str] = msgspec.field(default_factory=dict)


class Block(msgspec.Struct, array_like=True, tag=True, kw_only=True):
    """A run of records that say nothing but digests (of the same algorithms each) and perhaps a category: what nearly all of a large list
    is. Numbers are little-endian, a value a record: `positions` and `repeats` i64 (no repeats: all 1), `lines` i64 (none: the format has
    no lines), `category_of` u16, number in `categories` (none: no category stated). `digests`: of record 1 in the order of `methods`, then
    of record 2 …"""

    positions: bytes
    methods: list[str]
    digests: bytes
    lines: bytes = b""
    repeats: bytes = b""
    categories: list[str | None] = msgspec.field(default_factory=list)
    category_of: bytes = b""


class Skip(msgspec.Struct, array_like=True, tag=True, kw_only=True):
    """One record that is not kept, and the one reason of `REASONS`."""

    position: int
    reason: str
    line: int = 0
    repeats: int = 1


class Fact(msgspec.Struct, array_like=True, tag=True):
    """Something the source says about itself: version, region, encoding, set_name … A later fact of the same name replaces it."""

    name: str
    value: str | int | bool | dict[str, int] | None


class Warn(msgspec.Struct, array_like=True, tag=True):
    """Something that a person should read before the set is used."""

    text: str


class Incomplete(msgspec.Struct, array_like=True, tag=True):
    """The source is not whole (cut off, one page of several); why, in words."""

    why: str


Event = Record | Block | Skip | Fact | Warn | Incomplete


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the user says about a source. `declared_type`: algorithm of untyped values. `columns`: header word (or `#1`, `#2` … for a
    file without a header) to field. `path`: only for SQLite formats, which cannot be read from a stream."""

    name: str = ""
    declared_type: str | None = None
    columns: dict[str, str] = msgspec.field(default_factory=dict)
    delimiter: str | None = None
    encoding: str | None = None
    path: str | None = None


class Refused(Exception):
    """A source that cannot be read as it stands; says what to do. The library is unharmed."""


class NeedsColumns(Refused):
    """No column of a table is known to hold hashes: the user must say which (`columns`), nothing is guessed."""

    def __init__(self, header: list[str]) -> None:
        self.header = header
        shown = ", ".join(repr(h[:80]) for h in header[:40])
        super().__init__(f"no known hash column among: {shown}; say which column holds which hash")


class Columns:
    """The columns of a block, checked: what a worker answered is believed no further. Raise `Refused` where they cannot be.

    `count` records; `positions`, `lines`, `repeats` (n) int64; `digests` by method (n, width); `codes` (n) or None.
    """

    def __init__(self, block: Block) -> None:
        widths = [WIDTHS.get(m, 0) for m in block.methods]
        self.count, width = len(block.positions) // 8, sum(widths)
        sizes = {8 * self.count: (block.positions, *(c for c in (block.lines, block.repeats) if c)), width * self.count: (block.digests,)}
        sizes[2 * self.count] = (block.category_of,) if block.category_of else ()
        wrong = not self.count or not widths or 0 in widths or len(set(block.methods)) < len(widths)
        if wrong or any(len(column) != size for size, columns in sizes.items() for column in columns):
            raise Refused("the reader answered a block whose columns do not fit together")
        self.positions = np.frombuffer(block.positions, "<i8")
        self.lines = np.frombuffer(block.lines, "<i8") if block.lines else np.zeros(self.count, np.int64)
        self.repeats = np.frombuffer(block.repeats, "<i8") if block.repeats else np.ones(self.count, np.int64)
        self.codes = np.frombuffer(block.category_of, "<u2") if block.category_of else None
        self.matrix = np.frombuffer(block.digests, np.uint8).reshape(self.count, width)
        ends = np.cumsum(widths)
        self.digests = {m: self.matrix[:, end - w : end] for m, w, end in zip(block.methods, widths, ends.tolist(), strict=True)}
        ok = int(self.positions[0]) > 0 and int(self.positions[-1]) < 1 << 62 and bool((self.lines >= 0).all())
        ok = ok and bool(((self.repeats > 0) & (self.repeats < 1 << 40)).all())
        ok = ok and bool((self.positions[1:] - self.positions[:-1] >= self.repeats[:-1]).all())
        if not ok or (self.codes is not None and int(self.codes.max()) >= len(block.categories)):
            raise Refused("the reader answered a block of records that cannot be")


def records_of(block: Block) -> Iterator[Record]:
    """Yield the records that a block stands for, one by one."""
    columns = Columns(block)
    for n in range(columns.count):
        record = Record(position=int(columns.positions[n]), line=int(columns.lines[n]), repeats=int(columns.repeats[n]))
        record.digests = [(method, rows[n].tobytes()) for method, rows in columns.digests.items()]
        if columns.codes is not None:
            record.category, record.category_stated = block.categories[int(columns.codes[n])], True
        yield record


class HashSetFormat(Protocol):
    """A format of hash sets. `detect` gets the first 64 KiB and the file name, never raises. `records` yields events in the order of
    the source, in memory that does not grow with it, and ends normally however the source ends; it raises `Refused` only."""

    name: str
    needs_path: bool

    def detect(self, head: bytes, name: str) -> bool: ...
    def records(self, stream: BinaryIO, options: Options) -> Iterator[Event]: ...


@runtime_checkable
class HasBlocks(Protocol):
    """A format that gives plain records in blocks."""

    def blocks(self, stream: BinaryIO, options: Options) -> Iterator[Event]: ...
