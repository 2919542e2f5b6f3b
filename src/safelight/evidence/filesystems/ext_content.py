"""The bytes of an ext4 file with up to four extents, straight from the volume.

Nearly every file is such a one, and opening it by the library costs 40 µs when inodes are asked for in the order of names, since
the library reads 64 KiB for each. Everything unusual (trees of extents, block maps, unwritten extents, inline data, encryption)
goes to the library.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from safelight.evidence.source import ByteSource, Unreadable

if TYPE_CHECKING:
    from safelight.evidence.filesystems.ext_structures import ExtVolume

EXTENTS, UNUSUAL = 0x80000, 0x10000000 | 0x800 | 0x4 | 0x20  # EXT4_EXTENTS_FL; INLINE_DATA, ENCRYPT, COMPR, (old) COMPRBLK
REGULAR = 0x8000
EXTENT_MAGIC = 0xF30A
EXTENT = struct.Struct("<IHHI")
MAX_SIZE = 1 << 50


class RunSource:
    """Runs of a volume as one byte source; what no run covers is a hole and reads as zeros, as the file system says."""

    def __init__(self, volume: ByteSource, runs: list[tuple[int, int, int]], size: int) -> None:
        """`runs`: (offset in the file, offset on the volume, bytes), in order, without overlap."""
        self.size = size
        self._volume, self._runs = volume, runs

    def read_at(self, offset: int, size: int) -> bytes:
        size = min(size, self.size - offset)
        if offset < 0 or size <= 0:
            return b""
        end, at, parts = offset + size, offset, []
        for start, place, length in self._runs:
            if start + length <= at or start >= end:
                continue
            if start > at:
                parts.append(bytes(start - at))
                at = start
            wanted = min(end, start + length) - at
            parts.append(self._bytes(place + at - start, wanted))
            at += wanted
        if at < end:
            parts.append(bytes(end - at))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _bytes(self, offset: int, size: int) -> bytes:
        data = self._volume.read_at(offset, size) if offset + size <= self._volume.size else b""
        if len(data) != size:
            raise Unreadable("truncated", f"the volume ends before {offset + size}", offset, size)
        return data


def direct(ext: ExtVolume, number: int) -> RunSource | None:
    """Return the content of an inode, or None where the library has to read it."""
    if not 0 < number <= ext.inodes:
        return None
    try:
        inode = ext.volume.read_at(ext.inode_offset(number), 128)
    except Unreadable:
        return None  # the library meets the same error and names it
    if len(inode) < 128:
        return None
    (flags,) = struct.unpack_from("<I", inode, 32)
    magic, count, _, depth = struct.unpack_from("<4H", inode, 40)
    size = int.from_bytes(inode[4:8], "little") | int.from_bytes(inode[108:112], "little") << 32
    usual = inode[1] << 8 & 0xF000 == REGULAR and flags & EXTENTS and not flags & UNUSUAL and magic == EXTENT_MAGIC
    if not usual or depth or count > 4 or size > MAX_SIZE:
        return None
    runs: list[tuple[int, int, int]] = []
    block_size, reached = ext.block_size, 0
    for i in range(count):
        logical, length, high, low = EXTENT.unpack_from(inode, 52 + 12 * i)
        block = low | high << 32
        if length > 32768 or not length or logical < reached or not 0 < block <= ext.blocks - length:
            return None
        reached = logical + length
        runs.append((logical * block_size, block * block_size, length * block_size))
    return RunSource(ext.volume, runs, size)
