"""MBR partition tables with chains of extended boot records.

A boot sector of FAT, NTFS or exFAT ends with the same 55 AA; what stands where the table would be is then code or text. The
rules are those of The Sleuth Kit (`dos.c`: OEM names) and, for a BPB without one, that every entry must be plausible.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from safelight.evidence.source import ByteSource, Partition, Unreadable
from safelight.problems import Problem

name = "mbr"

EXTENDED = frozenset({0x05, 0x0F, 0x85})
PROTECTIVE = "0xee"
MAX_LOGICAL = 1024
"""Links of a chain of extended boot records that are followed. Windows makes some dozen at most."""

VOLUME_OEM = (b"NTFS", b"EXFAT", b"-FVE-FS-", b"ReFS\0", b"MSDOS", b"MSWIN", b"FAT")
"""OEM names (offset 3) of boot sectors of volumes; MSDOS, MSWIN, NTFS and FAT as in TSK's dos.c."""


class Slot(NamedTuple):
    """One of the four entries, in sectors."""

    number: int
    status: int
    type: int
    start: int
    length: int


def _slots(sector: bytes) -> list[Slot]:
    return [Slot(i + 1, *struct.unpack_from("<B3xB3xII", sector, 446 + 16 * i)) for i in range(4)]


def _used(slot: Slot) -> bool:
    return slot.type != 0 and slot.length != 0


def detect(disk: ByteSource, sector_size: int = 512) -> bool:
    """Whether sector 0 is a partition table and not the boot sector of a volume."""
    sector = disk.read_at(0, 512)
    if len(sector) < 512 or sector[510:] != b"\x55\xaa":
        return False
    slots = _slots(sector)
    used = [s for s in slots if _used(s)]
    end = disk.size // sector_size
    sound = [s for s in used if s.status in (0, 0x80) and 0 < s.start < end]
    # An entry from 0 is a protective one of an odd tool or an isohybrid; alone it says nothing that `whole` does not.
    if not sound:
        return False
    if sector[3:11].startswith(VOLUME_OEM) or _has_bpb(sector):
        return len(sound) == len(used) and all(s.status in (0, 0x80) and s.start + s.length <= end for s in slots if any(s[1:]))
    return True


def _has_bpb(sector: bytes) -> bool:
    """Whether the BIOS parameter block describes a FAT volume."""
    if sector[0] not in (0xEB, 0xE9):
        return False
    per_sector, per_cluster, reserved, fats = struct.unpack_from("<HBHB", sector, 11)
    power = per_cluster and per_cluster & (per_cluster - 1) == 0
    return (
        per_sector in (512, 1024, 2048, 4096)
        and bool(power)
        and reserved > 0
        and 1 <= fats <= 2
        and (sector[21] == 0xF0 or sector[21] >= 0xF8)
    )


def is_protective(disk: ByteSource) -> bool:
    """Whether an entry of type EE stands in sector 0."""
    sector = disk.read_at(0, 512)
    return len(sector) == 512 and sector[510:] == b"\x55\xaa" and any(s.type == 0xEE for s in _slots(sector))


def partitions(disk: ByteSource, sector_size: int = 512) -> Iterator[Partition | Problem]:
    """Primary entries as `mbr:1` to `mbr:4`, logical ones from `mbr:5` on in the order of the chain; containers are not given."""
    chains = []
    for slot in _slots(disk.read_at(0, 512)):
        if not _used(slot):
            continue
        if slot.status not in (0, 0x80):
            yield Problem("corrupt", f"MBR entry {slot.number} has status {slot.status:#04x}", origin=f"mbr:{slot.number}")
        if slot.type in EXTENDED:
            chains.append(slot)
        else:
            yield Partition(f"mbr:{slot.number}", slot.start * sector_size, slot.length * sector_size, f"{slot.type:#04x}")
    number = 5
    for chain in chains:
        for found in _logical(disk, chain.start, sector_size):
            if isinstance(found, Problem):
                yield found
            else:
                yield Partition(f"mbr:{number}", found.start * sector_size, found.length * sector_size, f"{found.type:#04x}")
                number += 1


def _logical(disk: ByteSource, base: int, sector_size: int) -> Iterator[Slot | Problem]:
    """Follow a chain of extended boot records. Data entries count from their record, links from the first record."""
    seen: set[int] = set()
    at: int | None = base
    while at is not None:
        if at in seen or len(seen) >= MAX_LOGICAL:
            words = "comes back to" if at in seen else f"is longer than {MAX_LOGICAL} at"
            yield Problem("corrupt", f"the chain of extended partitions {words} sector {at}", complete=False)
            return
        seen.add(at)
        try:
            sector = disk.read_at(at * sector_size, 512)
        except Unreadable as error:
            yield Problem(error.kind, f"extended boot record at sector {at}: {error}", complete=False)
            return
        if len(sector) < 512 or sector[510:] != b"\x55\xaa":
            kind = "truncated" if len(sector) < 512 else "corrupt"
            yield Problem(kind, f"no extended boot record at sector {at}; logical partitions behind it are lost", complete=False)
            return
        following: int | None = None
        for slot in _slots(sector):
            if not _used(slot):
                continue
            if slot.type in EXTENDED:
                following = base + slot.start if following is None else following
            else:
                yield slot._replace(start=at + slot.start)
        at = following
