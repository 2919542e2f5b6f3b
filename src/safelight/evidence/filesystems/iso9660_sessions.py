"""The other sessions of an ISO 9660 disc: what they name and the tree at sector 16 does not.

Each session has volume descriptors of its own and counts sectors from the start of the disc. The descriptors at sector 16 are those of
the first session on a disc that was copied as it is, and a copy of the newest on images of xorriso; the others are found by a search
for primary descriptors. One that an ISO image *in* a file holds counts from that file, so its root folder is not where it says.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from safelight.evidence.filesystems.iso9660_records import FIRST_DESCRIPTOR, SECTOR, Descriptor, Iso9660Records, descriptors, record
from safelight.evidence.source import Accounts, ByteSource, Entry, OpenFileSystem, Unreadable
from safelight.problems import Problem

PRIMARY = b"\x01CD001\x01"
PIECE = 1 << 20  # a multiple of the sector: a descriptor never lies across two pieces
MAX_SESSIONS = 1024


class WithSessions:
    """An opened disc; behind the entries of `inner` come those of the other sessions. See `OpenFileSystem`."""

    def __init__(self, inner: OpenFileSystem, volume: ByteSource) -> None:
        self._inner, self._volume = inner, volume
        self.name, self.label = inner.name, inner.label
        self._more = self._gone = 0

    def entries(self) -> Iterator[Entry | Problem]:
        """Yield the entries of the disc, then of each other session, newest first, what none before it names."""
        self._more = self._gone = 0
        yield from self._inner.entries()
        firsts: list[int] = []
        newest: int | None = None
        try:
            firsts, newest = sessions(self._volume)
        except Unreadable as e:
            yield Problem(e.kind, f"sessions of the disc were not searched for to its end: {e}", "", False)
        if not firsts:
            return
        try:
            reference = Iso9660Records(self._volume)
        except Unreadable as e:
            yield Problem(e.kind, f"{len(firsts)} other sessions of the disc were not listed: {e}", "", False)
            return
        known = {_key(e) for e in reference.entries() if isinstance(e, Entry)}
        for first in reversed(firsts):
            yield from self._session(first, known, live=first == newest)

    def _session(self, first: int, known: set[tuple[bytes, str]], live: bool) -> Iterator[Entry | Problem]:
        words = f"session at sector {first - FIRST_DESCRIPTOR}"
        for found in Iso9660Records(self._volume, first).entries():
            if isinstance(found, Problem):
                yield Problem(found.kind, f"{words}: {found.reason}", found.origin, found.complete)
                continue
            if _key(found) in known:
                continue
            known.add(_key(found))
            self._more += 1
            self._gone += not live
            yield msgspec.structs.replace(found, state="live" if live else "deleted", note=words)

    def accounts(self) -> Accounts:
        own = self._inner.accounts()
        live = self._more - self._gone
        return msgspec.structs.replace(own, entries_walk=own.entries_walk + live, deleted=own.deleted + self._gone)

    def content(self, address: str) -> ByteSource:
        """Open an address of either: those that name extents open by themselves."""
        if address[:1] == "e":
            return Iso9660Records(self._volume).content(address)
        return self._inner.content(address)


def sessions(volume: ByteSource) -> tuple[list[int], int | None]:
    """Return (sector of the first descriptor of each session but that at sector 16 and copies of it, in the order of the disc; which of
    them is the last on the disc, None where that is the one at sector 16 or a copy of it). Raise `Unreadable`."""
    seen: dict[tuple[object, ...], int] = {}
    found: list[int] = []
    newest: int | None = None
    for sector in _primaries(volume, FIRST_DESCRIPTOR * SECTOR):
        try:
            own = descriptors(volume, sector)
        except Unreadable:
            continue  # a sector that looks like a descriptor and is none
        roots = _roots(own)
        if any(d.block != SECTOR for d in own) or not all(_is_root(volume, d) for d in own):
            continue
        if roots not in seen and len(seen) <= MAX_SESSIONS:
            seen[roots] = sector
            found.extend([sector] if sector != FIRST_DESCRIPTOR else [])
        newest = seen.get(roots)
    return found, newest if newest != FIRST_DESCRIPTOR else None


def _primaries(volume: ByteSource, start: int) -> Iterator[int]:
    """Yield the sectors that begin like a primary descriptor."""
    for offset in range(start, volume.size, PIECE):
        data = volume.read_at(offset, PIECE)
        at = data.find(PRIMARY)
        while at >= 0:
            if at % SECTOR == 0:
                yield (offset + at) // SECTOR
            at = data.find(PRIMARY, at + 1)


def _is_root(volume: ByteSource, descriptor: Descriptor) -> bool:
    """Whether the root folder begins with a record of itself (ECMA-119, 6.8.2.2)."""
    try:
        own = record(volume.read_at(descriptor.root[0] * SECTOR, SECTOR), 0)
    except Unreadable:
        return False
    return own is not None and own.name == b"\0" and own.first == descriptor.root[0]


def _roots(found: list[Descriptor]) -> tuple[tuple[bool, tuple[int, int]], ...]:
    return tuple((d.joliet, d.root) for d in found)


def _key(entry: Entry) -> tuple[bytes, str]:
    """A folder is written anew in each session, so its place says nothing."""
    return entry.path, "" if entry.type == "directory" else entry.address
