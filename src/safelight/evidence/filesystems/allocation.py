"""Which units of a volume are in use: bitmaps (NTFS, exFAT, ext) and file allocation tables (FAT).

A deleted file whose clusters are all free may still be what it was; one with a cluster in use is not: on an NTFS with 213
deleted files of known digests the rule told all of them apart. Everything is read in pages, so that the table of a large
disk is never held whole.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from typing import Protocol

import numpy as np

from safelight.evidence.source import ByteSource, Unreadable

PAGE = 1 << 16
PAGES = 16


class AllocationMap(Protocol):
    """In terms of the blocks of the Sleuth Kit; `unit` is how many of them the file system allocates at once."""

    unit: int

    def in_use(self, block: int, count: int) -> int:
        """Count the allocation units of a run that are in use; raise `Unreadable`."""
        ...

    def total_in_use(self) -> int:
        """Count all allocation units in use; raise `Unreadable`."""
        ...


class Pages:
    """A byte source read in pages of 64 KiB, the last 16 kept."""

    def __init__(self, source: ByteSource) -> None:
        self.source, self.size = source, source.size
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def read(self, offset: int, size: int) -> bytes:
        out = []
        while size > 0:
            page, skip = divmod(offset, PAGE)
            part = self._page(page)[skip : skip + size]
            if not part:
                break
            out.append(part)
            offset += len(part)
            size -= len(part)
        return b"".join(out)

    def _page(self, number: int) -> bytes:
        data = self._kept.get(number)
        if data is None:
            data = self.source.read_at(number * PAGE, PAGE)
            self._kept[number] = data
            if len(self._kept) > PAGES:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(number)
        return data


def ones(data: bytes) -> int:
    """Count the set bits."""
    return int.from_bytes(data, "little").bit_count()


class Bitmap:
    """One bit per unit, lowest bit first (NTFS `$Bitmap`, exFAT allocation bitmap)."""

    def __init__(self, bits: ByteSource, units: int, unit: int = 1, first_block: int = 0) -> None:
        self._pages, self._units, self.unit, self.first_block = Pages(bits), units, unit, first_block

    def in_use(self, block: int, count: int) -> int:
        first = max(0, (block - self.first_block) // self.unit)
        last = min(self._units, -(-(block - self.first_block + count) // self.unit))
        found = 0
        while first < last:
            stop = min(last, (first // 8 + PAGE) * 8)
            value = int.from_bytes(self._pages.read(first // 8, (stop + 7) // 8 - first // 8), "little") >> (first % 8)
            found += (value & ((1 << (stop - first)) - 1)).bit_count()
            first = stop
        return found

    def total_in_use(self) -> int:
        return self.in_use(self.first_block, self._units * self.unit)


class FatTable:
    """The first file allocation table. Bad clusters (xFF7) are no use of anybody and count as free."""

    def __init__(self, volume: ByteSource, offset: int, bits: int, clusters: int, unit: int, first_block: int) -> None:
        self._pages = Pages(_Part(volume, offset, ((clusters + 2) * bits + 7) // 8))
        self._bits, self._clusters, self.unit, self.first_block = bits, clusters, unit, first_block
        self.root_block = first_block  # FAT12, FAT16: where the root folder begins

    def values(self, cluster: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
        """Return the table's entries for `count` clusters, without the reserved top bits of FAT32."""
        if self._bits == 12:
            start = cluster * 3 // 2
            raw = self._pages.read(start, (cluster + count) * 3 // 2 + 2 - start) + b"\0\0"
            out = np.empty(count, np.uint32)
            for i in range(count):
                at = (cluster + i) * 3 // 2 - start
                pair = int.from_bytes(raw[at : at + 2], "little")
                out[i] = pair >> 4 if (cluster + i) & 1 else pair & 0xFFF
            return out
        width = self._bits // 8
        raw = self._pages.read(cluster * width, count * width)
        raw = raw[: len(raw) // width * width]
        if width == 2:
            return np.frombuffer(raw, "<u2").astype(np.uint32)
        return np.frombuffer(raw, "<u4").astype(np.uint32) & np.uint32(0x0FFFFFFF)

    def in_use(self, block: int, count: int) -> int:
        first = max(2, (block - self.first_block) // self.unit + 2)
        last = min(self._clusters + 2, -(-(block - self.first_block + count) // self.unit) + 2)
        bad = (1 << min(28, self._bits)) - 9  # 0xFF7, 0xFFF7, 0x0FFFFFF7
        found = 0
        while first < last:
            n = min(last - first, 65536)
            values = self.values(first, n)
            found += int(np.count_nonzero((values != 0) & (values != bad)))
            first += n
        return found

    def total_in_use(self) -> int:
        return self.in_use(self.first_block, self._clusters * self.unit)


class _Part:
    """A run of a byte source, cut at its end."""

    def __init__(self, source: ByteSource, offset: int, size: int) -> None:
        self._source, self._offset = source, offset
        self.size = max(0, min(size, source.size - offset))

    def read_at(self, offset: int, size: int) -> bytes:
        return self._source.read_at(self._offset + offset, max(0, min(size, self.size - offset)))


def fat_table(volume: ByteSource, name: str) -> FatTable | None:
    """Return the table of a FAT12/16/32 volume by its boot sector, or None where that is not plausible."""
    boot = volume.read_at(0, 512)
    if len(boot) < 512:
        return None
    sector, per_cluster, reserved, fats, root, small = struct.unpack_from("<HBHBHH", boot, 11)
    (large,) = struct.unpack_from("<I", boot, 32)
    (per_fat,) = struct.unpack_from("<H", boot, 22)
    if per_fat == 0:
        (per_fat,) = struct.unpack_from("<I", boot, 36)
    if sector not in (512, 1024, 2048, 4096) or per_cluster == 0 or fats == 0:
        return None
    data = reserved + fats * per_fat + (root * 32 + sector - 1) // sector
    clusters = max(0, ((small or large) - data) // per_cluster)
    bits = {"fat12": 12, "fat16": 16, "fat32": 32}[name]
    clusters = min(clusters, per_fat * sector * 8 // bits - 2)
    table = FatTable(volume, reserved * sector, bits, clusters, per_cluster, data)
    table.root_block = reserved + fats * per_fat
    return table


def exfat_bitmap(volume: ByteSource) -> Bitmap | None:
    """Return the allocation bitmap of an exFAT volume: root directory entry 0x81 (exFAT specification, 7.1)."""
    boot = volume.read_at(0, 512)
    if len(boot) < 512 or boot[3:11] != b"EXFAT   ":
        return None
    fat_offset, _, heap, clusters, root = struct.unpack_from("<5I", boot, 80)
    sector_bits, cluster_bits = boot[108], boot[109]
    if not 9 <= sector_bits <= 12 or cluster_bits > 25 - sector_bits:
        return None
    cluster_size = 1 << (sector_bits + cluster_bits)
    table = FatTable(volume, fat_offset << sector_bits, 32, clusters, 1, 0)
    cluster = root
    for _ in range(4096):  # bounded: the entry is one of the first, a loop in the chain ends here
        if not 2 <= cluster < clusters + 2:
            return None
        data = volume.read_at((heap << sector_bits) + (cluster - 2) * cluster_size, cluster_size)
        for at in range(0, len(data) - 31, 32):
            if data[at] == 0x81 and not data[at + 1] & 1:
                first, size = struct.unpack_from("<IQ", data, at + 20)
                where = (heap << sector_bits) + (first - 2) * cluster_size
                if not 2 <= first < clusters + 2 or size < (clusters + 7) // 8:
                    raise Unreadable("corrupt", "the allocation bitmap lies outside the volume")
                return Bitmap(_Part(volume, where, size), clusters, 1 << cluster_bits, heap)
        following = table.values(cluster, 1)
        cluster = int(following[0]) if len(following) else 0
    return None
