"""What is left of an XFS inode that is not in use: its blocks, its size where that still stands, its times.

XFS forgets the mode and the size of a freed inode and leaves its extents in place (seen on volumes written by the kernel; the tool
xfs_undelete rests on it). So the blocks of a deleted file are known and its length is not: zeros at the end of its last block are taken for
the room behind the file. An inode whose whole chunk was given back is often still as it was in its last days, with its size; version 5
writes the inode's own number and the volume's identifier into it, so that it cannot be taken for another.
"""

from __future__ import annotations

import stat
import struct
from bisect import bisect_right
from itertools import islice
from typing import NamedTuple

from safelight.evidence.filesystems.xfs_structures import Extent, XfsVolume, extent
from safelight.evidence.filesystems.yal_formats import MODES
from safelight.evidence.source import ByteSource, Unreadable

MAX_EXTENTS = 1 << 20
SPARSE_FACTOR = 32
"""A deleted file with holes may be so many times larger than its volume; a size beyond it is no size."""
BIGTIME = 1 << 3
"""XFS_DIFLAG2_BIGTIME of di_flags2: times are unsigned nanoseconds since 1901-12-13T20:45:52Z."""
BIGTIME_EPOCH = 1 << 31

Problems = tuple[tuple[str, str], ...]


class Remains(NamedTuple):
    """`kind` is "unknown" where the mode is forgotten. `inline`: content that stands in the inode itself. `is_cut`: the size was found by
    cutting zeros off. `is_whole`: false where the extents cannot be read, so that there is no content to open."""

    kind: str
    size: int
    runs: list[Extent]
    raw: bytes
    inline: bytes | None = None
    is_cut: bool = False
    is_whole: bool = True
    problems: Problems = ()

    @property
    def blocks(self) -> int:
        return sum(x.blocks for x in self.runs)


def remains(xfs: XfsVolume, number: int) -> Remains | None:
    """Return what is left of an inode; None where nothing is, or where what stands there is not that inode's. Raise `Unreadable`."""
    try:
        raw = xfs.inode(number)
    except Unreadable as e:
        if e.kind == "corrupt":
            return None  # the place holds something else now
        raise
    if raw[4] >= 3 and (int.from_bytes(raw[152:160], "big") != number or raw[160:176] != xfs.uuid):
        return None
    return standing(xfs, raw) if raw[2:4] != b"\0\0" else _forgotten(xfs, raw)


def standing(xfs: XfsVolume, raw: bytes) -> Remains:
    """Return what an inode tells that is in use, or still as it was when it was."""
    kind, size = MODES.get(stat.S_IFMT(int.from_bytes(raw[2:4], "big")), "unknown"), int.from_bytes(raw[56:64], "big")
    if raw[5] == 1:
        data = xfs.fork(raw)
        return Remains(kind, min(size, len(data)), [], raw, data[:size])
    if raw[5] not in (2, 3):  # devices and pipes have no content
        return Remains(kind, 0, [], raw, b"")
    try:
        runs = list(islice(xfs.extents(raw), MAX_EXTENTS))
    except Unreadable as e:
        return Remains(kind, size, [], raw, is_whole=False, problems=((e.kind, f"its extents cannot be read: {e}"),))
    if size > SPARSE_FACTOR * xfs.blocks * xfs.block_size or not all(_is_possible(xfs, x) for x in runs):
        return Remains(
            kind, size, [], raw, is_whole=False, problems=(("corrupt", "its size or its extents are not possible on this volume"),)
        )
    return Remains(kind, size, runs, raw)


def _forgotten(xfs: XfsVolume, raw: bytes) -> Remains | None:
    """What the extents tell that still stand in a freed inode: as many as follow one another from the first block on."""
    fork, runs, at = xfs.fork(raw), list[Extent](), 0
    for place in range(0, len(fork) - 15, 16):
        x = extent(fork[place : place + 16])
        if not _is_possible(xfs, x) or not at <= x.logical <= at + xfs.blocks or (not runs and x.logical):
            break
        runs.append(x)
        at = x.logical + x.blocks
    while runs and runs[-1].unwritten:  # room that was asked for ahead of the file
        runs.pop()
    if not runs:
        return None
    size = (runs[-1].logical + runs[-1].blocks) * xfs.block_size
    try:
        last = xfs.read(xfs.offset(runs[-1].block + runs[-1].blocks - 1), xfs.block_size)
    except Unreadable as e:
        return Remains("unknown", size, runs, raw, problems=((e.kind, f"its last block cannot be read, so its size is not known: {e}"),))
    zeros = len(last) - len(last.rstrip(b"\0"))
    return Remains("unknown", size - (zeros if zeros < len(last) else 0), runs, raw, is_cut=True)


def _is_possible(xfs: XfsVolume, x: Extent) -> bool:
    """Whether an extent has blocks and lies in one group, behind its first block."""
    group, inside = x.block >> xfs.group_log, x.block & ((1 << xfs.group_log) - 1)
    return x.blocks > 0 and group < xfs.groups and 0 < inside <= xfs.group_blocks - x.blocks


class Runs:
    """The bytes of an inode that is not in use: its runs as they are now, zeros between them."""

    def __init__(self, xfs: XfsVolume, volume: ByteSource, left: Remains) -> None:
        self._xfs, self._volume, self._inline = xfs, volume, left.inline
        self._runs = sorted(left.runs)
        self._starts = [x.logical * xfs.block_size for x in self._runs]
        self.size = left.size

    def read_at(self, offset: int, size: int) -> bytes:
        end = min(offset + size, self.size)
        if offset < 0 or offset >= end:
            return b""
        if self._inline is not None:
            return self._inline[offset:end]
        out = bytearray(end - offset)
        for at in range(max(0, bisect_right(self._starts, offset) - 1), bisect_right(self._starts, end - 1)):
            x, start = self._runs[at], self._starts[at]
            low, high = max(start, offset), min(start + x.blocks * self._xfs.block_size, end)
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
