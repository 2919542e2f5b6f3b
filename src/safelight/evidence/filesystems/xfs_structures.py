"""XFS from the raw structures: superblock counters, blocks held by an inode, names of a folder as stored.

libfsxfs reads XFS; this part is for what it does not give: names that are not UTF-8, and the numbers for the accounts. Layout
after "XFS Algorithms & Data Structures", chapters on-disk inode, data extents, directories. All fields are big endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from safelight.evidence.filesystems.allocation import Pages
from safelight.evidence.filesystems.xfs_folder import block_names
from safelight.evidence.source import ByteSource, Unreadable

MAX_FOLDER_BLOCKS = 1 << 20
LEAF_OFFSET = 32 << 30
"""Folder data end here, hashes follow (XFS_DIR2_LEAF_OFFSET)."""
LARGE_COUNTS = 1 << 4
"""XFS_DIFLAG2_NREXT64 of di_flags2: the number of data extents stands in 64 bits at byte 24."""


class Extent(NamedTuple):
    """A run of a file: its first block in the file, its first block on the volume as numbered there, blocks, whether never written."""

    logical: int
    block: int
    blocks: int
    unwritten: bool


def extent(record: bytes) -> Extent:
    """Take the 128 bits of an extent apart (chapter data extents)."""
    value = int.from_bytes(record, "big")
    return Extent(value >> 73 & ((1 << 54) - 1), value >> 21 & ((1 << 52) - 1), value & 0x1FFFFF, bool(value >> 127))


class XfsVolume:
    """The superblock of a volume and what is reached from it."""

    def __init__(self, volume: ByteSource) -> None:
        sb = volume.read_at(0, 512)
        if len(sb) < 512 or sb[:4] != b"XFSB":
            raise Unreadable("corrupt", "no XFS superblock")
        self.pages = Pages(volume)
        self.block_size: int
        self.blocks: int
        self.block_size, self.blocks = struct.unpack_from(">IQ", sb, 4)
        (self.root,) = struct.unpack_from(">Q", sb, 56)
        self.group_blocks: int
        self.group_blocks, self.groups, _, self.log_blocks = struct.unpack_from(">IIII", sb, 84)
        self.version, self.sector_size, self.inode_size, self.inodes_per_block = struct.unpack_from(">HHHH", sb, 100)
        self.inopb_log, self.group_log = sb[123], sb[124]
        self.inodes, self.free_inodes, self.free_blocks = struct.unpack_from(">QQQ", sb, 128)
        (log_start,) = struct.unpack_from(">Q", sb, 48)
        self.log_blocks = self.log_blocks if log_start else 0
        self.folder_block = self.block_size << sb[192]
        incompat = struct.unpack_from(">I", sb, 216)[0] if self.version & 15 == 5 else 0
        features2 = struct.unpack_from(">I", sb, 200)[0] if self.version & 15 == 4 else 0
        self.sparse_inodes = bool(incompat & 2)  # XFS_SB_FEAT_INCOMPAT_SPINODES
        self.label = sb[108:120].split(b"\0")[0].decode("utf-8", "replace")
        self.uuid = sb[248:264] if incompat & 4 else sb[32:48]  # META_UUID: the volume got another one, its records keep the first
        self.has_filetype = bool(incompat & 1 or features2 & 0x200)
        possible = (
            512 <= self.sector_size <= 32768
            and 512 <= self.block_size <= 65536
            and 256 <= self.inode_size <= 2048
            and self.group_log <= 31
            and self.inopb_log <= 8
        )
        if not possible or sb[192] > 7 or not self.groups or self.groups > 1 << 24:
            raise Unreadable("corrupt", "the superblock contradicts itself")

    def read(self, offset: int, size: int) -> bytes:
        """Read exactly, through the page cache."""
        data = self.pages.read(offset, size)
        if len(data) != size:
            raise Unreadable("truncated", f"the volume ends before {offset + size}", offset, size)
        return data

    def inode(self, number: int) -> bytes:
        """Return the inode; its number is group, block and place in the block."""
        place = number & ((1 << self.inopb_log) - 1)
        block = number >> self.inopb_log & ((1 << self.group_log) - 1)
        group = number >> (self.inopb_log + self.group_log)
        if group >= self.groups or block >= self.group_blocks:
            raise Unreadable("corrupt", f"inode {number} lies outside the volume")
        raw = self.read((group * self.group_blocks + block) * self.block_size + place * self.inode_size, self.inode_size)
        if raw[:2] != b"IN":
            raise Unreadable("corrupt", f"inode {number} has no signature")
        return raw

    def held(self, number: int) -> int:
        """Return the bytes of all blocks of an inode (di_nblocks: data, attributes and the trees above them)."""
        return int(struct.unpack_from(">Q", self.inode(number), 64)[0]) * self.block_size

    def names(self, number: int) -> list[tuple[int, bytes]]:
        """Return (inode, name) of a folder. Raise `Unreadable`."""
        return list(self.each_name(number))

    def each_name(self, number: int) -> Iterator[tuple[int, bytes]]:
        """Yield (inode, name) of a folder. Raise `Unreadable`."""
        raw = self.inode(number)
        if raw[5] == 1:
            yield from self.short_names(raw)
            return
        if raw[5] not in (2, 3):
            raise Unreadable("corrupt", f"folder {number} has format {raw[5]}")
        for block in self.folder_blocks(raw):
            yield from ((n.inode, n.name) for n in block_names(block, self.has_filetype) if n.live)

    def fork(self, raw: bytes) -> bytes:
        """Return the data fork of an inode."""
        fork = 176 if raw[4] >= 3 else 100
        return raw[fork : fork + ((raw[82] * 8) or self.inode_size - fork)]

    def folder_blocks(self, raw: bytes) -> Iterator[bytes]:
        """Yield the blocks with names of a folder that has some. Raise `Unreadable`."""
        for start, count in self._folder_extents(raw):
            for at in range(start, start + count * self.block_size, self.folder_block):
                yield self.read(at, self.folder_block)

    def short_names(self, raw: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (inode, name) of a folder whose names stand in its inode."""
        data = self.fork(raw)
        width = 8 if data[1] else 4
        count, at = data[0] if not data[1] else data[1], 2 + width
        for _ in range(count):
            length = data[at] if at < len(data) else 0
            name = data[at + 3 : at + 3 + length]
            at += 3 + length + self.has_filetype
            if not length or at + width > len(data):
                return
            yield int.from_bytes(data[at : at + width], "big"), name
            at += width

    def extents(self, raw: bytes) -> Iterator[Extent]:
        """Yield the extents of the data fork of an inode (format 2 or 3), by their place in the file. Raise `Unreadable`."""
        data = self.fork(raw)
        (count,) = struct.unpack_from(">I", raw, 76)
        if raw[4] >= 3 and int.from_bytes(raw[120:128], "big") & LARGE_COUNTS:
            (count,) = struct.unpack_from(">Q", raw, 24)
        records = [data[i * 16 : i * 16 + 16] for i in range(min(count, len(data) // 16))] if raw[5] == 2 else self._tree(data)
        for record in records:
            if len(record) < 16:
                return
            yield extent(record)

    def _folder_extents(self, raw: bytes) -> Iterator[tuple[int, int]]:
        """Yield (byte offset on the volume, blocks) of the data of a folder, without the hashes behind them."""
        total = 0
        for x in self.extents(raw):
            total += x.blocks
            if x.logical * self.block_size >= LEAF_OFFSET or total > MAX_FOLDER_BLOCKS:
                return
            yield self.offset(x.block), x.blocks

    def offset(self, block: int) -> int:
        """Return the byte offset of a block as it is numbered in extents. Raise `Unreadable`."""
        group, inside = block >> self.group_log, block & ((1 << self.group_log) - 1)
        if group >= self.groups:
            raise Unreadable("corrupt", "a block lies outside the volume")
        return (group * self.group_blocks + inside) * self.block_size

    def _tree(self, data: bytes) -> Iterator[bytes]:
        """Yield the extent records below a B+tree root in the inode."""
        level, count = struct.unpack_from(">HH", data, 0)
        room = (len(data) - 4) // 16
        if level == 0 or level > 8 or count > room:
            raise Unreadable("corrupt", "the extent tree of a folder contradicts itself")
        todo = [int(struct.unpack_from(">Q", data, 4 + room * 8 + i * 8)[0]) for i in range(count)][::-1]
        for _ in range(MAX_FOLDER_BLOCKS):
            if not todo:
                return
            block = self.read(self.offset(todo.pop()), self.block_size)
            header = 72 if block[:4] == b"BMA3" else 24
            level, count = struct.unpack_from(">HH", block, 4)
            if block[:4] not in (b"BMAP", b"BMA3") or count > (self.block_size - header) // 16:
                raise Unreadable("corrupt", "a block of the extent tree has no signature")
            if level == 0:
                yield from (block[header + i * 16 : header + i * 16 + 16] for i in range(count))
            else:
                room = (self.block_size - header) // 16
                todo += [int(struct.unpack_from(">Q", block, header + room * 8 + i * 8)[0]) for i in range(count)][::-1]
