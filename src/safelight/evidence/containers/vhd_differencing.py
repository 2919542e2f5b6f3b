"""Differencing VHD: an own reader over any parent, since libvhdi reads sectors of the parent that share a group of eight with sectors
of the child as zeros, without an error.

Facts from Microsoft's "Virtual Hard Disk Image Format Specification": footer, dynamic disk header, block allocation table, and a
bitmap before each block in which the most significant bit is the first sector; a bit that is set means that the sector is here.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from safelight.evidence.bytesource import Cached, clamp
from safelight.evidence.source import ByteSource, Image, StoredDigest, Unreadable
from safelight.problems import Problem

SECTOR = 512
DIFFERENCING = 4
UNUSED = 0xFFFFFFFF
MAX_BLOCK = 1 << 30


class Header:
    """What a differencing VHD says of itself and of its parent."""

    def __init__(self, source: ByteSource) -> None:
        footer = source.read_at(0, SECTOR)
        at, self.size = struct.unpack_from(">Q24xQ", footer, 16)
        header = source.read_at(at, 1024)
        if len(header) < 1024 or header[:8] != b"cxsparse":
            raise Unreadable("corrupt", f"no dynamic disk header at {at}")
        if (~(sum(header) - sum(header[36:40]))) & 0xFFFFFFFF != int.from_bytes(header[36:40], "big"):
            raise Unreadable("corrupt", "the checksum of the dynamic disk header is wrong")
        self.table, _, self.entries, self.block = struct.unpack_from(">QIII", header, 16)
        if self.block % SECTOR or not SECTOR <= self.block <= MAX_BLOCK or self.entries * self.block < self.size:
            raise Unreadable("corrupt", f"{self.entries} blocks of {self.block} bytes for a disk of {self.size}")
        self.parent_id = header[40:56]
        self.parent = header[64:576].decode("utf-16-be", "replace").split("\0", 1)[0]


class DifferencingVhd:
    """The sectors of the child where its bitmaps say so, those of the parent elsewhere; zeros behind the end of the parent."""

    stored_digests: Sequence[StoredDigest] = ()

    def __init__(self, source: ByteSource, header: Header, parent: Image) -> None:
        self._source, self._header, self._parent = Cached(source), header, parent
        self._bitmap_size = -(-header.block // SECTOR // 8 // SECTOR) * SECTOR
        self.size = header.size
        self.problems: Sequence[Problem] = tuple(parent.problems)

    def read_at(self, offset: int, size: int) -> bytes:
        """See `ByteSource.read_at`."""
        end = offset + clamp(offset, size, self.size)
        parts = []
        while offset < end:
            block, inside = divmod(offset, self._header.block)
            count = min(self._header.block - inside, end - offset)
            parts.append(self._in_block(block, inside, count))
            offset += count
        return b"".join(parts)

    def _in_block(self, block: int, inside: int, count: int) -> bytes:
        start = block * self._header.block
        sector = int.from_bytes(self._exactly(self._header.table + block * 4, 4), "big")
        if sector == UNUSED:
            return self._of_parent(start + inside, count)
        bitmap = self._exactly(sector * SECTOR, self._bitmap_size)
        data = sector * SECTOR + self._bitmap_size
        parts, at, end = [], inside, inside + count
        while at < end:
            here = _bit(bitmap, at // SECTOR)
            until = at // SECTOR + 1
            while until * SECTOR < end and _bit(bitmap, until) == here:
                until += 1
            length = min(until * SECTOR, end) - at
            parts.append(self._exactly(data + at, length) if here else self._of_parent(start + at, length))
            at += length
        return b"".join(parts)

    def _of_parent(self, offset: int, count: int) -> bytes:
        return self._parent.read_at(offset, count).ljust(count, b"\0")

    def _exactly(self, offset: int, size: int) -> bytes:
        data = self._source.read_at(offset, size)
        if len(data) < size:
            raise Unreadable("truncated", f"the file ends before {offset + size}", offset, size)
        return data


def _bit(bitmap: bytes, sector: int) -> int:
    return bitmap[sector >> 3] >> (7 - (sector & 7)) & 1
