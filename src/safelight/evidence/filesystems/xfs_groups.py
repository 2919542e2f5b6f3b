"""Allocation groups of XFS: which inodes and which blocks are in use, by the trees of each group.

Layout after "XFS Algorithms & Data Structures", chapters allocation groups, free space B+trees, inode B+trees, sparse inodes. A tree is
read leaf by leaf; blocks without their signature end it with an error.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from safelight.evidence.source import Unreadable

if TYPE_CHECKING:
    from safelight.evidence.filesystems.xfs_structures import XfsVolume

T = TypeVar("T")
CHUNK = 64
"""Inodes of one record of the inode tree."""
KEPT = 2
"""Groups whose trees are held; a file seldom leaves its group."""
MAX_LEAVES = 1 << 14
"""Leaves of one tree: 264 million inodes, or 8 million runs of free blocks, with blocks of 4 KiB."""
UNLINKED_BUCKETS = 64
NONE = 0xFFFFFFFF
MAX_UNLINKED = 1 << 20


class Chunks(NamedTuple):
    """Records of an inode tree in order: first inode of the chunk (inside its group), a bit for each free one, for each that is not there."""

    start: NDArray[np.uint32]
    free: NDArray[np.uint64]
    absent: NDArray[np.uint64]


class Extents(NamedTuple):
    """Free blocks of a group in order: first block (inside the group), number."""

    start: NDArray[np.uint32]
    blocks: NDArray[np.uint32]


class Groups:
    """The trees of all groups, read when they are asked for."""

    def __init__(self, xfs: XfsVolume) -> None:
        self._xfs = xfs
        self._chunks: OrderedDict[int, Chunks] = OrderedDict()
        self._free: OrderedDict[int, Extents] = OrderedDict()

    def inode_state(self, number: int) -> str:
        """Return "used", "free", or "gone" where no tree knows the inode any more. Raise `Unreadable`."""
        group, inside = divmod(number, 1 << (self._xfs.inopb_log + self._xfs.group_log))
        chunks = self.chunks(group)
        at = int(np.searchsorted(chunks.start, inside, "right")) - 1
        if at < 0 or inside - int(chunks.start[at]) >= CHUNK:
            return "gone"
        bit = inside - int(chunks.start[at])
        if int(chunks.absent[at]) >> bit & 1:
            return "gone"
        return "free" if int(chunks.free[at]) >> bit & 1 else "used"

    def free_inodes(self, group: int) -> Iterator[int]:
        """Yield the numbers of the free inodes of a group, in order. Raise `Unreadable`."""
        chunks, base = self.chunks(group), group << (self._xfs.inopb_log + self._xfs.group_log)
        for start, free, absent in zip(chunks.start.tolist(), chunks.free.tolist(), chunks.absent.tolist(), strict=True):
            bits = free & ~absent
            while bits:
                low = bits & -bits
                yield base + start + low.bit_length() - 1
                bits ^= low

    def unlinked(self, group: int) -> Iterator[int]:
        """Yield the inodes of a group that are in use without a name (deleted while open). Raise `Unreadable`."""
        header, base = self._header(group, 2, b"XAGI"), group << (self._xfs.inopb_log + self._xfs.group_log)
        seen: set[int] = set()
        for bucket in struct.unpack_from(f">{UNLINKED_BUCKETS}I", header, 40):
            number = int(bucket)
            while number not in (NONE, 0) and number not in seen and len(seen) < MAX_UNLINKED:
                seen.add(number)
                yield base + number
                (number,) = struct.unpack_from(">I", self._xfs.inode(base + number), 96)

    def blocks_in_use(self, block: int, count: int) -> int:
        """Count the blocks of a run (numbered as in an extent) that are not free. Raise `Unreadable`."""
        group, inside = block >> self._xfs.group_log, block & ((1 << self._xfs.group_log) - 1)
        free = self.free_extents(group)
        first = max(0, int(np.searchsorted(free.start, inside, "right")) - 1)
        last = int(np.searchsorted(free.start, inside + count, "left"))
        starts = free.start[first:last].astype(np.int64)
        ends = starts + free.blocks[first:last]
        return count - int(np.maximum(0, np.minimum(ends, inside + count) - np.maximum(starts, inside)).sum())

    def chunks(self, group: int) -> Chunks:
        """Return the inode tree of a group. Raise `Unreadable`."""
        held = self._chunks.get(group)
        if held is None:
            root, level = struct.unpack_from(">II", self._header(group, 2, b"XAGI"), 20)
            rows = np.concatenate([np.zeros((0, 16), np.uint8), *self._leaves(group, root, level, (b"IABT", b"IAB3"), 16, 4)])
            start = _column(rows, 0, ">u4")
            holes = _column(rows, 4, ">u2") if self._xfs.sparse_inodes else np.zeros(len(rows), ">u2")
            held = Chunks(start.astype(np.uint32), _column(rows, 8, ">u8").astype(np.uint64), _spread(holes))
            _keep(self._chunks, group, held)
        return held

    def free_extents(self, group: int) -> Extents:
        """Return the free blocks of a group. Raise `Unreadable`."""
        held = self._free.get(group)
        if held is None:
            header = self._header(group, 1, b"XAGF")
            (root,), (level,) = struct.unpack_from(">I", header, 16), struct.unpack_from(">I", header, 28)
            rows = np.concatenate([np.zeros((0, 8), np.uint8), *self._leaves(group, root, level, (b"ABTB", b"AB3B"), 8, 8)])
            held = Extents(_column(rows, 0, ">u4").astype(np.uint32), _column(rows, 4, ">u4").astype(np.uint32))
            _keep(self._free, group, held)
        return held

    def _header(self, group: int, sector: int, magic: bytes) -> bytes:
        if not 0 <= group < self._xfs.groups:
            raise Unreadable("corrupt", f"there is no allocation group {group}")
        data = self._xfs.read(group * self._xfs.group_blocks * self._xfs.block_size + sector * self._xfs.sector_size, 512)
        if data[:4] != magic:
            raise Unreadable("corrupt", f"a header of allocation group {group} has no signature")
        return data

    def _leaves(self, group: int, root: int, level: int, magics: tuple[bytes, bytes], width: int, key: int) -> Iterator[NDArray[np.uint8]]:
        """Yield the records of each leaf of a short-form tree, from left to right by the links between leaves."""
        size = self._xfs.block_size
        block, seen = root, set[int]()
        while block != NONE:
            if block in seen or len(seen) >= MAX_LEAVES or not 0 < level <= 8:
                raise Unreadable("corrupt", f"a tree of allocation group {group} does not end")
            seen.add(block)
            if block >= self._xfs.group_blocks:
                raise Unreadable("corrupt", f"a tree of allocation group {group} leaves the group")
            data = self._xfs.read((group * self._xfs.group_blocks + block) * size, size)
            header = 56 if data[:4] == magics[1] else 16
            own_level, count = struct.unpack_from(">HH", data, 4)
            if data[:4] not in magics or count > (size - header) // (width if not own_level else key + 4):
                raise Unreadable("corrupt", f"a tree of allocation group {group} has a block without signature")
            if own_level:  # the first child, after the room for all keys
                room = (size - header) // (key + 4)
                (block,) = struct.unpack_from(">I", data, header + room * key)
                continue
            yield np.frombuffer(data, np.uint8, count * width, header).reshape(-1, width)
            (block,) = struct.unpack_from(">I", data, 12)


def _column(rows: NDArray[np.uint8], at: int, kind: str) -> NDArray[np.uint64]:
    column: NDArray[np.uint64] = np.ascontiguousarray(rows[:, at : at + int(kind[-1])]).view(kind).reshape(-1)
    return column


def _spread(holes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Turn the 16 bits of each sparse record (one for four inodes) into 64."""
    out, four = np.zeros(len(holes), np.uint64), np.uint64(0xF)
    for bit in range(16):
        out |= ((holes.astype(np.uint64) >> np.uint64(bit)) & np.uint64(1)) * (four << np.uint64(4 * bit))
    return out


def _keep(held: OrderedDict[int, T], group: int, value: T) -> None:
    held[group] = value
    if len(held) > KEPT:
        held.popitem(last=False)
