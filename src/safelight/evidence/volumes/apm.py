"""Apple partition maps: blocks that begin with `PM`, one per partition, each naming how many there are.

Facts from Inside Macintosh: Devices, "The Partition Map". Free space and the map itself are not partitions of interest.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Iterator

from safelight.evidence.source import ByteSource, Partition
from safelight.problems import Problem

name = "apm"

BLOCK_SIZES = (512, 1024, 2048, 4096)
MAX_ENTRIES = 1024
MAC_ROMAN = codecs.getdecoder("mac-roman")  # now: the sandbox cannot load a character set later
NOT_VOLUMES = frozenset({"Apple_Free", "Apple_partition_map", "Apple_Void", "Apple_Scratch"})


def _block_size(disk: ByteSource) -> int | None:
    """Bytes of a block of the map: the driver descriptor says, but on optical media the map may stand in 512-byte blocks."""
    head = disk.read_at(0, 4)
    sizes = list(BLOCK_SIZES)
    if head[:2] == b"ER" and len(head) == 4:
        stated = int.from_bytes(head[2:4], "big")
        sizes.sort(key=lambda s: s != stated)
    for size in sizes:
        if disk.read_at(size, 2) == b"PM" and _entry(disk, 1, size) is not None:
            return size
    return None


def _entry(disk: ByteSource, number: int, block: int) -> tuple[int, int, int, str, str] | None:
    """(entries, first block, blocks, name, type) of an entry counted from 1."""
    raw = disk.read_at(number * block, 512)
    if len(raw) < 512 or raw[:2] != b"PM":
        return None
    entries, start, length = struct.unpack_from(">III", raw, 4)
    words = [MAC_ROMAN(raw[at : at + 32].split(b"\0", 1)[0], "replace")[0] for at in (16, 48)]
    return entries, start, length, words[0], words[1]


def detect(disk: ByteSource) -> bool:
    """Whether block 1 is an entry of a map."""
    return _block_size(disk) is not None


def partitions(disk: ByteSource) -> Iterator[Partition | Problem]:
    """Entries as `apm:1` on, without free space and the map itself."""
    block = _block_size(disk)
    first = _entry(disk, 1, block) if block else None
    if block is None or first is None:
        return
    if first[0] > MAX_ENTRIES:
        yield Problem("limit.entries", f"partition map claims {first[0]} entries, {MAX_ENTRIES} are read", complete=False)
    for number in range(1, min(first[0], MAX_ENTRIES) + 1):
        entry = _entry(disk, number, block)
        if entry is None:
            yield Problem("corrupt", f"partition map: entry {number} of {first[0]} is not there", complete=False)
            return
        _, start, length, label, kind = entry
        if kind not in NOT_VOLUMES and length:
            yield Partition(f"apm:{number}", start * block, length * block, kind, label)
