"""The end of a walk: what the metadata table and the allocation say against what was listed."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import msgspec

from safelight.evidence.filesystems.tsk_entry import Name, Place, describe
from safelight.evidence.source import Accounts, Entry, Unreadable
from safelight.problems import Problem

if TYPE_CHECKING:
    from safelight.evidence.filesystems.tsk import Findings, TskFileSystem

ORPHANS = b"$OrphanFiles/"


def closing(fs: TskFileSystem, found: Findings) -> Generator[Entry | Problem, None, Accounts]:
    """Yield the records in use that no name leads to, then what does not add up; return the accounts."""
    from safelight.evidence.filesystems.tsk import READER, Table

    if found.false_orphans:
        yield Problem(
            "false-orphans",
            f"{found.false_orphans} orphaned records with impossible times, sizes or names were counted and not listed",
        )
    table = Table()
    if fs.profile.table is not None:
        try:
            table = fs.profile.table(fs, found)
        except Unreadable as e:
            yield Problem(e.kind, f"the metadata table cannot be read for the accounts: {e}", "", False)
    for number in table.unnamed:
        yield from _unnamed(fs, number, found)
    covered = table.bytes_covered if table.bytes_covered is not None else found.covered
    if table.unnamed:
        yield Problem(
            "accounts",
            f"{len(table.unnamed)} of {table.in_use} records in use have no name in any folder; they are listed below $OrphanFiles",
        )
    elif table.in_use is not None and table.named is not None and table.in_use != table.named:
        yield Problem("accounts", f"the volume counts {table.in_use} records in use, the walk found {table.named}")
    if table.bytes_allocated is not None and abs(table.bytes_allocated - covered) > table.tolerance:
        yield Problem(
            "accounts",
            f"the volume says {table.bytes_allocated} bytes are in use, the entries and its own structures cover {covered} "
            f"(tolerance {table.tolerance})",
        )
    return Accounts(
        entries_walk=found.walk,
        entries_table=table.in_use,
        deleted=found.deleted,
        orphans=found.orphans,
        bytes_allocated=table.bytes_allocated,
        bytes_covered=covered if table.bytes_allocated is not None or covered else None,
        readers=(READER,),
    )


def _unnamed(fs: TskFileSystem, number: int, found: Findings) -> Generator[Entry | Problem, None, None]:
    """List a record in use without a name as an orphan."""
    try:
        file = fs.files.open(number)
    except Unreadable as e:
        yield Problem(e.kind, f"record {number} is in use, has no name and cannot be read: {e}", "", False)
        return
    name = Name(b"OrphanFile-%d" % number, True, number, 0, 0)
    for entry in describe(name, file, Place(ORPHANS, True, False), fs.rules).entries:
        found.walk += 1
        found.orphans += 1
        yield msgspec.structs.replace(entry, state="orphan", note="record in use without a name")
