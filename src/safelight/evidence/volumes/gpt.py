"""GUID partition tables: primary and backup, both checked by CRC-32; sectors of 512 or 4096 bytes.

Facts from the UEFI specification, chapter "GUID Partition Table (GPT) Disk Layout". A damaged primary is a problem, the backup
at the end of the disk is then read. When both are damaged, what the better copy says is offered all the same.
"""

from __future__ import annotations

import codecs
import struct
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from safelight.evidence.source import ByteSource, Partition
from safelight.problems import Problem

name = "gpt"

MAGIC = b"EFI PART"
SECTOR_SIZES = (512, 4096)
MAX_ENTRIES = 4096
"""Entries that are read; the usual number is 128, sgdisk makes up to 1,024 or so on request."""

MAX_ENTRY_SIZE = 4096
UTF16 = codecs.getdecoder("utf-16-le")  # now: the sandbox cannot load a character set later


@dataclass(frozen=True)
class _Copy:
    """One copy of the table."""

    sector: int
    at: int  # offset of the header
    alternate: int  # offset of the other header, as it says
    entries: bytes
    entry_size: int
    header_ok: bool
    entries_ok: bool
    cut: str = ""

    @property
    def sound(self) -> bool:
        return self.header_ok and self.entries_ok


def _header(disk: ByteSource, at: int, sector: int) -> _Copy | None:
    """Read the copy whose header stands at `at`; None where no header stands there."""
    head = disk.read_at(at, sector) if at >= sector else b""
    if len(head) < 92 or head[:8] != MAGIC:
        return None
    length, crc = struct.unpack_from("<II", head, 12)
    alternate = struct.unpack_from("<Q", head, 32)[0]
    first, count, size, entries_crc = struct.unpack_from("<QIII", head, 72)
    header_ok = 92 <= length <= len(head) and zlib.crc32(head[:16] + bytes(4) + head[20:length]) == crc
    if not 128 <= size <= MAX_ENTRY_SIZE:
        return _Copy(sector, at, alternate * sector, b"", 128, header_ok, False, f"entries of {size} bytes")
    cut = f"{count} entries claimed, {MAX_ENTRIES} read" if count > MAX_ENTRIES else ""
    wanted = min(count, MAX_ENTRIES) * size
    entries = disk.read_at(first * sector, wanted)
    entries_ok = not cut and len(entries) == wanted and zlib.crc32(entries) == entries_crc
    return _Copy(sector, at, alternate * sector, entries, size, header_ok, entries_ok, cut)


def _primary(disk: ByteSource) -> _Copy | None:
    for sector in SECTOR_SIZES:
        copy = _header(disk, sector, sector)
        if copy is not None:
            return copy
    return None


def _backup(disk: ByteSource, primary: _Copy | None) -> _Copy | None:
    """Where the primary says, else in the last sector of the disk."""
    for sector in SECTOR_SIZES if primary is None else (primary.sector,):
        places = [disk.size // sector * sector - sector]
        if primary is not None and primary.header_ok:
            places.insert(0, primary.alternate)
        for at in places:
            copy = _header(disk, at, sector)
            if copy is not None and copy.at != sector:
                return copy
    return None


def detect(disk: ByteSource) -> bool:
    """Whether a header stands in sector 1, or a sound one in the last sector."""
    if _primary(disk) is not None:
        return True
    backup = _backup(disk, None)
    return backup is not None and backup.sound


def sector_size(disk: ByteSource) -> int | None:
    """Bytes of a sector as the place of the header tells, None where there is no GPT."""
    copy = _primary(disk) or _backup(disk, None)
    return copy.sector if copy else None


def partitions(disk: ByteSource) -> Iterator[Partition | Problem]:
    """Entries in use as `gpt:1` on (the number of the slot)."""
    primary = _primary(disk)
    backup = _backup(disk, primary)
    copies = [c for c in (primary, backup) if c is not None]
    if not copies:
        return
    best = max(copies, key=lambda c: (c.sound, c.entries_ok, c.header_ok, c is primary))
    yield from _state(primary, backup, best)
    if best.cut:
        yield Problem("limit.entries", f"GPT: {best.cut}", complete=False)
    for number in range(len(best.entries) // best.entry_size):
        entry = best.entries[number * best.entry_size : (number + 1) * best.entry_size]
        if not any(entry[:16]):
            continue
        first, last = struct.unpack_from("<QQ", entry, 32)
        step = f"gpt:{number + 1}"
        if last < first or first == 0 or last >= 1 << 63:
            yield Problem("corrupt", f"GPT entry {number + 1} runs from sector {first} to {last}", origin=step)
            continue
        label = UTF16(entry[56:128], "replace")[0].split("\0", 1)[0]
        yield Partition(step, first * best.sector, (last - first + 1) * best.sector, str(uuid.UUID(bytes_le=entry[:16])), label)


def _state(primary: _Copy | None, backup: _Copy | None, best: _Copy) -> Iterator[Problem]:
    """What is wrong with the two copies."""
    used = "primary" if best is primary else "backup"
    for words, copy in (("primary", primary), ("backup", backup)):
        if copy is None:
            tail = "the end of the disk may be missing" if words == "backup" else f"the {used} is used"
            yield Problem("corrupt", f"GPT: no {words} table; {tail}", complete=words == "primary" and best.sound)
        elif not copy.sound:
            part = "header" if not copy.header_ok else "entries"
            yield Problem("corrupt", f"GPT: checksum of the {words} {part} is wrong; the {used} is used", complete=best.sound)
    if primary and backup and primary.sound and backup.sound and primary.entries != backup.entries:
        yield Problem("corrupt", "GPT: primary and backup name different partitions; the primary is used", complete=False)
