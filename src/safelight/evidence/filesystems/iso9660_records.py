"""ISO 9660 by its directory records (ECMA-119): the second reader, for discs that the Sleuth Kit refuses. Linear, live entries only.

Names come from Joliet where there is a supplementary descriptor for it, else from Rock Ridge (`NM`, IEEE P1282), else as stored
without the version. An address names its extents (`e17-2048`, joined by `+` for a file of several), so that it opens by itself.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from typing import NamedTuple

from safelight.evidence.bytesource import Concat, Slice
from safelight.evidence.source import Accounts, ByteSource, Entry, Unreadable
from safelight.problems import Problem

SECTOR = 2048
FIRST_DESCRIPTOR, MAX_DESCRIPTORS = 16, 64
JOLIET = (b"%/@", b"%/C", b"%/E")
FOLDER, CONTINUES = 2, 0x80  # file flags (9.1.6)
MAX_DEPTH, MAX_FOLDERS, MAX_FOLDER = 256, 1_000_000, 1 << 30
ADDRESS = re.compile(r"e(\d{1,10})-(\d{1,10})")


class Descriptor(NamedTuple):
    """A volume descriptor: whether Joliet, its label, block size, and the extent of its root folder."""

    joliet: bool
    label: str
    block: int
    root: tuple[int, int]


class Record(NamedTuple):
    """One directory record."""

    name: bytes
    first: int
    size: int
    flags: int
    time: int | None
    system_use: bytes


def descriptors(volume: ByteSource, first: int = FIRST_DESCRIPTOR) -> list[Descriptor]:
    """Return the primary descriptor and those of Joliet, in order, from sector `first` on; raise `Unreadable` where there is none."""
    found = []
    for number in range(first, first + MAX_DESCRIPTORS):
        raw = volume.read_at(number * SECTOR, SECTOR)
        if len(raw) < SECTOR or raw[1:6] != b"CD001" or raw[0] == 255:
            break
        joliet = raw[0] == 2 and raw[88:91] in JOLIET
        if raw[0] != 1 and not joliet:
            continue
        root, block = record(raw, 156), int.from_bytes(raw[128:130], "little")
        if root is not None and block in (512, 1024, 2048):
            label = raw[40:72].decode("utf-16-be" if joliet else "ascii", "replace").rstrip(" \0")
            found.append(Descriptor(joliet, label, block, (root.first, root.size)))
    if not found:
        raise Unreadable("corrupt", "no usable volume descriptor")
    return found


def record(data: bytes, at: int) -> Record | None:
    """Return the record at a place; None where none can stand (9.1)."""
    length = data[at] if at < len(data) else 0
    if length < 34 or at + length > len(data) or 33 + data[at + 32] > length:
        return None
    first, size = int.from_bytes(data[at + 2 : at + 6], "little"), int.from_bytes(data[at + 10 : at + 14], "little")
    year, month, day, hour, minute, second = data[at + 18 : at + 24]
    time = None
    if 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60:
        time = calendar.timegm((1900 + year, month, day, hour, minute, second)) * 1_000_000_000
    name = data[at + 33 : at + 33 + data[at + 32]]
    behind = at + 33 + len(name) + (len(name) % 2 == 0)
    return Record(name, first + data[at + 1], size, data[at + 25], time, data[behind : at + length])


def rock_ridge_name(system_use: bytes) -> bytes:
    """Join the `NM` fields of a record; b"" where there are none (a continuation area is not followed)."""
    out, at = b"", 0
    while at + 5 <= len(system_use) and system_use[at + 2] >= 4:
        if system_use[at : at + 2] == b"NM":
            out += system_use[at + 5 : at + system_use[at + 2]]
        at += system_use[at + 2]
    return out


class Iso9660Records:
    """An opened disc, or the session of it whose descriptors begin at sector `first`; see `OpenFileSystem`."""

    name = "iso9660"

    def __init__(self, volume: ByteSource, first: int = FIRST_DESCRIPTOR) -> None:
        self._volume = volume
        found = descriptors(volume, first)
        self._tree = next((d for d in found if d.joliet), found[0])
        self.label = found[0].label
        self._accounts: Accounts | None = None

    def accounts(self) -> Accounts:
        if self._accounts is None:
            raise RuntimeError("accounts are known after the entries were exhausted")
        return self._accounts

    def content(self, address: str) -> ByteSource:
        """Open the extents that an address names."""
        extents = [ADDRESS.fullmatch(part) for part in address.split("+")]
        if not all(extents) or len(extents) > 4096:
            raise Unreadable("corrupt", f"no such address: {address[:60]!r}")
        return Concat([Slice(self._volume, int(e[1]) * self._tree.block, int(e[2])) for e in extents if e is not None])

    def entries(self) -> Iterator[Entry | Problem]:
        """Yield every entry, folders before what is in them."""
        walk, covered, folders = 0, 0, 0
        seen: set[int] = set()
        stack = [self._listed(self._tree.root, b"")]
        while stack:
            try:
                entry, extent = next(stack[-1])
            except StopIteration:
                stack.pop()
                continue
            except Unreadable as e:
                yield Problem(e.kind, f"a folder cannot be listed to its end: {e}", "", False)
                stack.pop()
                continue
            walk += 1
            covered += entry.size or 0
            yield entry
            if entry.type != "directory" or extent[0] in seen:
                continue
            seen.add(extent[0])
            folders += 1
            if folders > MAX_FOLDERS or len(stack) >= MAX_DEPTH:
                yield Problem("limit.depth", f"folder {entry.path[:200]!r} was not listed", "", False)
                continue
            stack.append(self._listed(extent, entry.path + b"/"))
        self._accounts = Accounts(entries_walk=walk, bytes_covered=covered, readers=("iso9660",))

    def _listed(self, extent: tuple[int, int], prefix: bytes) -> Iterator[tuple[Entry, tuple[int, int]]]:
        """Yield the entries of a folder; a file of several extents is one."""
        parts: list[Record] = []
        for found in self._records(extent):
            parts.append(found)
            if found.flags & CONTINUES:
                continue
            yield self._entry(parts, prefix), (found.first, found.size)
            parts = []

    def _records(self, extent: tuple[int, int]) -> Iterator[Record]:
        if extent[1] > MAX_FOLDER:
            raise Unreadable("corrupt", f"a folder of {extent[1]} bytes")
        start = extent[0] * self._tree.block
        for offset in range(0, extent[1], SECTOR):  # a record never crosses a sector (6.8.1.1)
            sector = self._volume.read_at(start + offset, SECTOR)
            if not sector:
                raise Unreadable("truncated", f"the disc ends before {start + offset}", start + offset, SECTOR)
            at = 0
            while (found := record(sector, at)) is not None:
                at += sector[at]
                if found.name not in (b"\0", b"\1"):
                    yield found

    def _entry(self, parts: list[Record], prefix: bytes) -> Entry:
        last = parts[-1]
        if self._tree.joliet:
            name = last.name.decode("utf-16-be", "replace").encode("utf-8", "replace")
        else:
            name = rock_ridge_name(last.system_use) or last.name
        if name == last.name or self._tree.joliet:
            name = re.sub(rb"\.?;\d{1,5}\Z", b"", name) if not last.flags & FOLDER else name
        folder = bool(last.flags & FOLDER)
        return Entry(
            address="+".join(f"e{p.first}-{p.size}" for p in parts),
            path=prefix + name,
            size=sum(p.size for p in parts),
            type="directory" if folder else "file",
            mtime=last.time,
            time_basis="local?",
            reader="iso9660",
            has_content=not folder,
        )
