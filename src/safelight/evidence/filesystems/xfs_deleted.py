"""Deleted files of XFS: removed names that still stand in folders, freed inodes, and inodes in use without a name.

XFS forgets the mode and the size of a freed inode and leaves its extents in place (seen on volumes written by the kernel; the tool
xfs_undelete rests on it). So the blocks of a deleted file are known and its length is not: zeros at the end of its last block are taken for
the room behind the file, and the entry says so. An inode whose whole chunk was given back is often still as it was in its last days,
with its size; version 5 writes the inode's own number and the volume's identifier into it, so that it cannot be taken for another.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from typing import NamedTuple

from safelight.evidence.filesystems.xfs_folder import DATA_MAGICS, FolderName, block_names, owner
from safelight.evidence.filesystems.xfs_groups import Groups
from safelight.evidence.filesystems.xfs_structures import Extent, XfsVolume, extent
from safelight.evidence.filesystems.yal_formats import MODES
from safelight.evidence.source import ByteSource, Entry, Unreadable
from safelight.problems import Problem

READER = "xfs-inodes"
ORPHANS = b"$OrphanFiles/"
ADDRESS = "free-"
MAX_ORPHANS = 4_000_000
MAX_DEPTH = 64
MAX_EXTENTS = 1 << 20
BIGTIME = 1 << 3
"""XFS_DIFLAG2_BIGTIME of di_flags2: times are unsigned nanoseconds since 1901-12-13T20:45:52Z."""
BIGTIME_EPOCH = 1 << 31
CUT = "zeros at the end cut off"


class Remains(NamedTuple):
    """What is left of an inode that is not in use."""

    kind: str  # "unknown" where the mode is forgotten
    size: int
    is_cut: bool
    runs: list[Extent]
    raw: bytes
    inline: bytes | None


class DeletedFiles:
    """Finds them. `names_in` belongs to the walk of the live folders, `orphans` comes after it, `content` opens an address of either."""

    def __init__(self, xfs: XfsVolume, volume: ByteSource) -> None:
        self._xfs, self._volume, self._groups = xfs, volume, Groups(xfs)
        self._named: set[int] = set()
        self._visited: set[int] = set()

    def names_in(self, number: int, prefix: bytes) -> Iterator[Entry | Problem]:
        """Yield the removed names of a folder in use, and what deleted folders among them hold."""
        try:
            raw = self._xfs.inode(number)
            if raw[5] not in (2, 3):
                return
            for block in self._xfs.folder_blocks(raw):
                for name in block_names(block, self._xfs.has_filetype):
                    if not name.live:
                        yield from self._named_entry(name, number, prefix, "deleted", 0)
        except Unreadable as e:
            yield Problem(e.kind, f"removed names of {prefix[:200]!r} cannot be read: {e}", "", False)

    def orphans(self) -> Iterator[Entry | Problem]:
        """Yield freed inodes with extents that no name led to, and inodes in use without a name; folders first, so that names are found."""
        for group in range(self._xfs.groups):
            try:
                yield from self._unlinked(group)
                free = [n for n in self._groups.free_inodes(group) if n not in self._named][:MAX_ORPHANS]
                found = [(n, self._is_folder(n)) for n in free if self._remains(n) is not None]
            except Unreadable as e:
                yield Problem(e.kind, f"freed inodes of allocation group {group} cannot be listed: {e}", "", False)
                continue
            for number, is_folder in sorted(found, key=lambda f: not f[1]):
                if number not in self._named:
                    yield from self._entry(
                        number, ORPHANS + b"OrphanFile-%d" % number, "directory" if is_folder else "unknown", "orphan", 0
                    )

    def content(self, address: str) -> ByteSource:
        """Open `free-NUMBER`. Raise `Unreadable`."""
        digits = address.removeprefix(ADDRESS)
        if not digits.isdecimal() or len(digits) > 20:
            raise Unreadable("corrupt", f"no such address: {address[:60]!r}")
        remains = self._remains(int(digits))
        if remains is None:
            raise Unreadable("corrupt", f"nothing is left of inode {digits}")
        return Runs(self._xfs, self._volume, remains)

    def _named_entry(self, name: FolderName, folder: int, prefix: bytes, state: str, depth: int) -> Iterator[Entry | Problem]:
        """Yield the entry of a removed name. Where half of the inode number is lost, that of the folder goes first."""
        numbers = [name.inode]
        if name.is_cut:
            numbers = [high << 32 | name.inode for high in dict.fromkeys((folder >> 32, 0))]
        path = prefix + name.name
        why: tuple[str, str] | None = None
        for number in numbers:
            try:
                if self._groups.inode_state(number) == "used":
                    why = why or ("reallocated", "the inode is in use: by another file, or by this one under another name")
                    continue
                if self._remains(number) is not None:
                    yield from self._entry(number, path, name.kind, state, depth)
                    return
            except Unreadable as e:
                why = why or (e.kind, str(e))
        problem = why or ("name-only", "a deleted name of whose inode nothing is left")
        yield Entry(
            address=f"{ADDRESS}{numbers[0]}", path=path, state=state, type=name.kind, reader=READER, has_content=False, problems=(problem,)
        )

    def _entry(self, number: int, path: bytes, kind: str, state: str, depth: int) -> Iterator[Entry | Problem]:
        """Yield the entry of an inode that is not in use; of a folder also what stands in it."""
        remains = self._remains(number)
        if remains is None:
            return
        self._named.add(number)
        kind = remains.kind if remains.kind != "unknown" else kind
        problems: tuple[tuple[str, str], ...] = ()
        note, used = "", 0
        try:
            used = sum(self._groups.blocks_in_use(x.block, x.blocks) for x in remains.runs)
            note = "clusters free" if remains.runs else ""
        except Unreadable as e:
            note, problems = "allocation not checked", ((e.kind, f"the allocation of its blocks cannot be read: {e}"),)
        if used and kind != "directory":
            blocks = sum(x.blocks for x in remains.runs)
            state, note, problems = "overwritten", "", (("overwritten", f"{used} of {blocks} blocks are in use again"),)
        if remains.is_cut:
            note = f"{note}, {CUT}" if note else CUT
        mtime, atime, ctime, btime = times(remains.raw)
        is_folder = kind == "directory"
        yield Entry(
            address=f"{ADDRESS}{number}", path=path, size=None if is_folder else remains.size,
            allocated=sum(x.blocks for x in remains.runs) * self._xfs.block_size, state=state, type=kind, mtime=mtime, atime=atime, ctime=ctime,
            btime=btime, reader=READER, has_content=kind in ("file", "symlink", "unknown"), note=note, problems=problems,
        )  # fmt: skip
        if is_folder and depth < MAX_DEPTH and number not in self._visited:
            self._visited.add(number)
            yield from self._names_of_deleted(number, remains, path + b"/", "orphan" if path.startswith(ORPHANS) else "deleted", depth + 1)

    def _names_of_deleted(self, number: int, remains: Remains, prefix: bytes, state: str, depth: int) -> Iterator[Entry | Problem]:
        """Yield what stands in a deleted folder: names in use when it went and names that were removed before. Foreign blocks end it."""
        names: list[FolderName] = []
        try:
            if remains.inline is not None:
                names = [FolderName(n, name, "unknown", live=False) for n, name in self._xfs.short_names(remains.raw)]
            for block in self._blocks(remains):
                if owner(block) not in (number, None):
                    break
                names += block_names(block, self._xfs.has_filetype)
        except Unreadable:
            pass  # a block that is no folder block any more: the folder's blocks were used again, its entry says `overwritten` or is empty
        for name in names:
            yield from self._named_entry(name, number, prefix, state, depth)

    def _blocks(self, remains: Remains) -> Iterator[bytes]:
        size = self._xfs.folder_block
        for x in remains.runs:
            start = self._xfs.offset(x.block)
            for at in range(start, start + x.blocks * self._xfs.block_size, size):
                block = self._xfs.read(at, size)
                if block[:4] not in DATA_MAGICS:
                    return
                yield block

    def _is_folder(self, number: int) -> bool:
        remains = self._remains(number)
        if remains is None or remains.kind not in ("unknown", "directory"):
            return False
        block = next(self._blocks(remains), None)
        return block is not None and owner(block) in (number, None)

    def _unlinked(self, group: int) -> Iterator[Entry]:
        """Yield inodes that are in use and have no name: deleted while a program held them open, then the machine stopped."""
        for number in self._groups.unlinked(group):
            raw = self._xfs.inode(number)
            kind = MODES.get(stat.S_IFMT(int.from_bytes(raw[2:4], "big")), "unknown")
            mtime, atime, ctime, btime = times(raw)
            yield Entry(
                address=str(number), path=ORPHANS + b"OrphanFile-%d" % number, size=int.from_bytes(raw[56:64], "big"),
                allocated=self._xfs.held(number), state="orphan", type=kind, mtime=mtime, atime=atime, ctime=ctime, btime=btime, reader=READER,
                has_content=kind in ("file", "symlink"), note="deleted while open",
            )  # fmt: skip

    def _remains(self, number: int) -> Remains | None:
        """Return what is left of an inode that is not in use; None where nothing is, or where it is not that inode's. Raise `Unreadable`."""
        try:
            raw = self._xfs.inode(number)
        except Unreadable as e:
            if e.kind == "corrupt":
                return None  # the place holds something else now
            raise
        if raw[4] >= 3 and (int.from_bytes(raw[152:160], "big") != number or raw[160:176] != self._xfs.uuid):
            return None
        mode = int.from_bytes(raw[2:4], "big")
        if not mode:
            return self._forgotten(raw)
        kind, size = MODES.get(stat.S_IFMT(mode), "unknown"), int.from_bytes(raw[56:64], "big")
        if raw[5] == 1:
            return Remains(kind, size, False, [], raw, self._xfs.fork(raw)[:size])
        if raw[5] not in (2, 3):
            return Remains(kind, 0, False, [], raw, b"")
        try:
            runs = [x for _, x in zip(range(MAX_EXTENTS), self._xfs.extents(raw), strict=False)]
        except Unreadable:
            return Remains(kind, 0, False, [], raw, None)
        return Remains(kind, size, False, [x for x in runs if self._is_possible(x)], raw, None)

    def _forgotten(self, raw: bytes) -> Remains | None:
        """Return what the extents tell that still stand in a freed inode: as many as follow one another from the first block on."""
        fork, runs, at = self._xfs.fork(raw), list[Extent](), 0
        for place in range(0, len(fork) - 15, 16):
            x = extent(fork[place : place + 16])
            if not x.blocks or x.logical < at or (not runs and x.logical) or not self._is_possible(x):
                break
            runs.append(x)
            at = x.logical + x.blocks
        while runs and runs[-1].unwritten:
            runs.pop()
        if not runs:
            return None
        size = (runs[-1].logical + runs[-1].blocks) * self._xfs.block_size
        last = self._xfs.read(self._xfs.offset(runs[-1].block + runs[-1].blocks - 1), self._xfs.block_size)
        zeros = len(last) - len(last.rstrip(b"\0"))
        cut = zeros if zeros < len(last) else 0
        return Remains("unknown", size - cut, True, runs, raw, None)

    def _is_possible(self, x: Extent) -> bool:
        group, inside = x.block >> self._xfs.group_log, x.block & ((1 << self._xfs.group_log) - 1)
        return group < self._xfs.groups and x.blocks > 0 and inside + x.blocks <= self._xfs.group_blocks and inside > 0


class Runs:
    """The bytes of an inode that is not in use: its runs as they are now, zeros between them."""

    def __init__(self, xfs: XfsVolume, volume: ByteSource, remains: Remains) -> None:
        self._xfs, self._volume, self._runs, self._inline = xfs, volume, remains.runs, remains.inline
        self.size = remains.size if self._inline is None else len(self._inline)

    def read_at(self, offset: int, size: int) -> bytes:
        end = min(offset + size, self.size)
        if offset < 0 or offset >= end:
            return b""
        if self._inline is not None:
            return self._inline[offset:end]
        out = bytearray(end - offset)
        for x in self._runs:
            start, stop = x.logical * self._xfs.block_size, (x.logical + x.blocks) * self._xfs.block_size
            low, high = max(start, offset), min(stop, end)
            if low >= high or x.unwritten:
                continue
            data = self._volume.read_at(self._xfs.offset(x.block) + low - start, high - low)
            if len(data) != high - low:
                raise Unreadable("truncated", "the volume ends inside a deleted file", low, high - low)
            out[low - offset : high - offset] = data
        return bytes(out)


def times(raw: bytes) -> tuple[int | None, int | None, int | None, int | None]:
    """Return (mtime, atime, ctime, btime) of an inode in ns; btime from version 3 on."""
    big = raw[4] >= 3 and int.from_bytes(raw[120:128], "big") & BIGTIME

    def at(place: int) -> int | None:
        if big:
            value = int.from_bytes(raw[place : place + 8], "big")
            return value - BIGTIME_EPOCH * 1_000_000_000 if value else None
        seconds, nanoseconds = struct.unpack_from(">iI", raw, place)
        return seconds * 1_000_000_000 + nanoseconds if seconds or nanoseconds else None

    return at(40), at(32), at(48), at(144) if raw[4] >= 3 else None
