"""Blocks of names of an XFS folder: names in use, and those that were removed and still stand in the free room.

Layout after "XFS Algorithms & Data Structures", chapter directories. A removed entry loses the first four bytes of its inode number to the
mark of free room; the other four, its length and its name stay until the room is used. Each entry ends with its own place in the block,
or, once its room was joined to that before it, with the place where the joined room begins; so what is taken for one was one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from safelight.evidence.source import Unreadable

DATA_MAGICS = (b"XD2B", b"XD2D", b"XDB3", b"XDD3")
FREE = b"\xff\xff"
TYPES = ("unknown", "file", "directory", "device", "device", "fifo", "socket", "symlink", "whiteout")
"""XFS_DIR3_FT_*."""


class FolderName(NamedTuple):
    """A name in a block. `inode` of a removed one at the start of free room lacks its high half: `is_cut`."""

    inode: int
    name: bytes
    kind: str
    live: bool = True
    is_cut: bool = False


def owner(block: bytes) -> int | None:
    """Return the inode of the folder that a block belongs to; None before version 5, which has none."""
    return int(struct.unpack_from(">Q", block, 40)[0]) if block[3:4] == b"3" else None


def block_names(data: bytes, has_filetype: bool) -> Iterator[FolderName]:
    """Yield the names of a block in their order. Raise `Unreadable` where it is none."""
    magic = data[:4]
    if magic not in DATA_MAGICS:
        raise Unreadable("corrupt", "a block of a folder has no signature")
    at, end = (64 if magic[3:] == b"3" else 16), len(data)
    if magic in (b"XD2B", b"XDB3"):  # one block: hashes at its end, counted in the last 8 bytes
        end -= 8 + min(struct.unpack_from(">I", data, len(data) - 8)[0], len(data) // 8) * 8
    while at + 16 <= end:
        if data[at : at + 2] == FREE:
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            if length < 8 or length % 8:
                return
            yield from _removed(data, at, min(at + length, end), has_filetype)
            at += length
            continue
        name, at = _name(data, at, has_filetype)
        if name.name not in (b".", b".."):
            yield name


def _name(data: bytes, at: int, has_filetype: bool) -> tuple[FolderName, int]:
    """Return the entry at a place and where the next one begins."""
    inode, length = struct.unpack_from(">QB", data, at)
    behind = at + 9 + length
    kind = data[behind] if has_filetype and behind < len(data) else 0
    return FolderName(inode, data[at + 9 : behind], TYPES[kind] if kind < len(TYPES) else "unknown"), (behind + has_filetype + 2 + 7) & ~7


def _removed(data: bytes, start: int, end: int, has_filetype: bool) -> Iterator[FolderName]:
    """Yield the names in free room."""
    at = start
    if not any(data[start + 4 : end - 2]):
        return
    while at + 16 <= end:
        name, behind = _name(data, at, has_filetype)
        tag = int.from_bytes(data[behind - 2 : behind], "big") if behind <= end else -1
        if not start <= tag <= at or not name.name or b"/" in name.name or b"\0" in name.name:
            at += 8
            continue
        if name.name not in (b".", b".."):
            cut = data[at : at + 2] == FREE
            yield name._replace(live=False, inode=name.inode & 0xFFFFFFFF if cut else name.inode, is_cut=cut)
        at = behind
