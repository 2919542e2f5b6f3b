"""The formats of hash sets, one file each; the order of `FORMATS` is the order of detection, the loosest last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from safelight.match.entries import Event, HasBlocks, HashSetFormat, Options, Refused
from safelight.match.formats.csv import Csv, PdqCsv
from safelight.match.formats.encase import EnCase
from safelight.match.formats.hashkeeper import HashKeeper
from safelight.match.formats.icse import Icse
from safelight.match.formats.lists import BsdSum, GnuSum, HashDeep, PlainList
from safelight.match.formats.ncmec import NcmecEntries
from safelight.match.formats.nsrl import Rds2, Rds3, Rds3Delta
from safelight.match.formats.pdq import PdqList
from safelight.match.formats.threatexchange import SignalFile, ThreatUpdates
from safelight.match.formats.tsk import Idx, Kdb
from safelight.match.formats.vics import Vics

FORMATS: tuple[HashSetFormat, ...] = (
    EnCase(),
    Kdb(),
    Rds3(),
    Rds3Delta(),
    NcmecEntries(),
    ThreatUpdates(),  # before Vics: both are JSON
    Vics(),
    HashDeep(),
    Idx(),
    Rds2(),  # fixed headers before tables in general
    Icse(),
    HashKeeper(),
    PdqCsv(),
    Csv(),
    SignalFile(),
    BsdSum(),
    GnuSum(),
    PdqList(),  # a bare list that calls itself PDQ, before bare lists
    PlainList(),
)

HEAD = 65536
"""Bytes of a file that `detect` gets."""


def detect(head: bytes, name: str) -> HashSetFormat | None:
    """Return the first format that recognises the file; None where none does."""
    return next((f for f in FORMATS if f.detect(head, name)), None)


def by_name(name: str) -> HashSetFormat:
    """Return a format by its name; raise `Refused` with the list of names."""
    for known in FORMATS:
        if known.name == name:
            return known
    raise Refused(f"unknown format {name!r}; known: {', '.join(f.name for f in FORMATS)}")


def events_of(known: HashSetFormat, stream: BinaryIO, options: Options) -> Iterator[Event]:
    """Return the events of a source the fast way: by blocks where the format has them."""
    return (known.blocks if isinstance(known, HasBlocks) else known.records)(stream, options)


def warm_up() -> None:
    """Import what readers import late, before a sandbox closes `open`."""
    import sqlite3

    import ijson

    from safelight.match.schemes import header_words, schemes
    from safelight.native import _hexcolumns

    header_words()
    schemes()
    _hexcolumns.cells([], b"\x10", b"")
    list(ijson.basic_parse(b"{}"))
    assert sqlite3.sqlite_version
