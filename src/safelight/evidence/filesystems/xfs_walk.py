"""XFS by our own parser: the second reader, for volumes that libfsxfs refuses or where a record of its own path is damaged.

libfsxfs opens no volume with a feature it does not know (another identifier, as a clone gets it; exchange of ranges; parent
pointers), and none that is cut. Here a folder is found by its inode's place alone, so a damaged tree of inodes costs nothing.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import NamedTuple

from safelight.evidence.bytesource import MemorySource
from safelight.evidence.filesystems.walked import Hooks, WalkedFileSystem
from safelight.evidence.filesystems.xfs_remains import Runs, standing, times
from safelight.evidence.filesystems.xfs_structures import XfsVolume
from safelight.evidence.filesystems.yal_formats import MODES
from safelight.evidence.source import ByteSource, Entry, Unreadable
from safelight.problems import Problem

READER = "xfs-inodes"
MAX_DEPTH = 1024
MAX_LINK = 1024
"""Bytes of the longest target of a link (XFS_SYMLINK_MAXLEN)."""
LINK_HEADER = 56
"""Bytes before each part of a target from version 5 on (xfs_dsymlink_hdr)."""


class _Frame(NamedTuple):
    """A folder that is being listed."""

    names: Iterator[tuple[int, bytes]]
    number: int
    prefix: bytes


class XfsInodes(WalkedFileSystem):
    """An opened volume; addresses are inode numbers, as with libfsxfs."""

    def __init__(self, xfs: XfsVolume, volume: ByteSource, hooks: Hooks) -> None:
        super().__init__("xfs", xfs.label, READER, hooks, [])
        self._xfs, self._volume = xfs, volume
        xfs.names(xfs.root)  # a volume whose root folder cannot be read is not opened

    def content(self, address: str) -> ByteSource:
        if self._hooks.content is not None and not address[:1].isdecimal():
            return self._hooks.content(address)
        if not address.isdecimal() or len(address) > 20:
            raise Unreadable("corrupt", f"no such address: {address[:60]!r}")
        raw = self._xfs.inode(int(address))
        if _kind(raw) == "symlink":
            return MemorySource(self._link(raw))
        left = standing(self._xfs, raw)
        if not left.is_whole:
            raise Unreadable(*left.problems[0])
        return Runs(self._xfs, self._volume, left)

    def _walk(self) -> Iterator[Entry | Problem]:
        seen, stack = {self._xfs.root}, [self._frame(self._xfs.root, b"")]
        while stack:
            frame = stack[-1]
            try:
                number, name = next(frame.names)
            except StopIteration:
                stack.pop()
                if self._hooks.removed is not None:
                    yield from self._hooks.removed(frame.number, frame.prefix)
                continue
            except Unreadable as e:
                yield Problem(e.kind, f"folder {frame.prefix[:200]!r} cannot be listed (further): {e}", "", False)
                continue  # a generator that raised has ended
            path = frame.prefix + name
            entry = self._entry(number, path)
            yield entry
            if entry.type != "directory" or number in seen:
                continue
            if len(stack) >= MAX_DEPTH:
                yield Problem("limit.depth", f"folder {path[:200]!r} was not listed", "", False)
                continue
            seen.add(number)
            stack.append(self._frame(number, path + b"/"))

    def _frame(self, number: int, prefix: bytes) -> _Frame:
        return _Frame(self._xfs.each_name(number), number, prefix)

    def _entry(self, number: int, path: bytes) -> Entry:
        try:
            raw = self._xfs.inode(number)
        except Unreadable as e:
            problem = (e.kind, f"the inode of this name cannot be read: {e}")
            return Entry(address=str(number), path=path, type="unknown", reader=READER, has_content=False, problems=(problem,))
        kind, link, problems = _kind(raw), b"", tuple[tuple[str, str], ...]()
        if kind == "symlink":
            try:
                link = self._link(raw)
            except Unreadable as e:
                problems = ((e.kind, f"the target of the link cannot be read: {e}"),)
        mtime, atime, ctime, btime = times(raw)
        return Entry(
            address=str(number), path=path, size=0 if kind == "directory" else int.from_bytes(raw[56:64], "big"),  # as libfsxfs says
            allocated=int.from_bytes(raw[64:72], "big") * self._xfs.block_size, type=kind, mtime=mtime, atime=atime, ctime=ctime, btime=btime,
            reader=READER, has_content=kind in ("file", "symlink", "unknown"), link=link, problems=problems,
        )  # fmt: skip

    def _link(self, raw: bytes) -> bytes:
        """Return the target of a link. Raise `Unreadable`."""
        size = int.from_bytes(raw[56:64], "big")
        if raw[5] == 1:
            return self._xfs.fork(raw)[:size]
        if size > MAX_LINK:
            raise Unreadable("corrupt", f"a target of {size} bytes")
        header, out = (LINK_HEADER if raw[4] >= 3 else 0), b""
        for x in self._xfs.extents(raw):
            for block in range(x.blocks):
                out += self._xfs.read(self._xfs.offset(x.block) + block * self._xfs.block_size, self._xfs.block_size)[header:]
                if len(out) >= size:
                    return out[:size]
        raise Unreadable("corrupt", "the target has fewer bytes than its size")


def _kind(raw: bytes) -> str:
    return MODES.get(stat.S_IFMT(int.from_bytes(raw[2:4], "big")), "unknown")
