"""Folders of FAT and exFAT by our own linear parser, for those that are too large for the Sleuth Kit.

pytsk3 gives 1,000,064 names of a folder of 1,050,000 without an error. Records are numbered as there: 32-byte slots from the
first data sector on, the first being 3. Layout after Microsoft's FAT specification 1.03 and the exFAT specification.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from safelight.evidence.filesystems.tsk_entry import Name
from safelight.evidence.source import Unreadable

if TYPE_CHECKING:
    from safelight.evidence.filesystems.tsk import TskFileSystem

LARGE_FOLDER = 8 << 20
"""Bytes of a folder from which our parser lists it: 262,144 slots; the library's list of names costs 200 bytes each."""
SLOT = 32
PIECE = 1 << 20
FILE_TYPE, FOLDER_TYPE = 5, 3
FIRST_SLOT = 3
SPECIAL = {0x81: b"$ALLOC_BITMAP", 0x82: b"$UPCASE_TABLE", 0x83: b"", 0xA0: b"$VOLUME_GUID", 0xA1: b"$TEX_FAT"}
LAST_LONG_SLOT = 0x4F
"""The Sleuth Kit leaves out the last slot of long names of more than 15 slots (195 letters); so do we, to give the same names."""


def slots(fs: TskFileSystem, number: int, first_sector: int) -> Iterator[tuple[int, bytes]]:
    """Yield (record number of the first slot, bytes) for each piece of a folder, in the order of its chain."""
    per_sector = fs.block_size // SLOT
    # An opened record has one iterator for all its users: take the runs before anybody else asks for them.
    runs = [(int(r.addr), int(r.len)) for a in fs.files.open(number) if int(a.info.type) == 1 for r in a]
    step = PIECE // fs.block_size
    for start, count in runs:
        for at in range(start, start + count, step):
            size = min(step, start + count - at) * fs.block_size
            offset = at * fs.block_size
            data = fs.volume.read_at(offset, size) if offset + size <= fs.volume.size else b""
            if len(data) != size:
                raise Unreadable("truncated", "the volume ends before the folder", offset, size)
            yield (at - first_sector) * per_sector + FIRST_SLOT, data


def in_use(fs: TskFileSystem, number: int) -> bool:
    """Whether the record of a folder is in use; all names of a deleted folder are deleted."""
    return bool(int(fs.files.open(number).info.meta.flags) & 1)


def virtual_names(fs: TskFileSystem, fats: int) -> Iterator[Name]:
    """Yield what the Sleuth Kit adds to the root folder: boot sector, tables, orphans (fatfs.c: the last records)."""
    last = fs.last_record
    added = [b"$MBR", b"$FAT1", b"$FAT2"][: 3 if fats == 2 else 2]
    for i, name in enumerate(added):
        yield Name(name, True, last - len(added) + i, 10, 0)
    yield Name(b"$OrphanFiles", True, last, 11, 0)


def _clean(name: bytes) -> bytes:
    """Replace what is no printable ASCII, as the Sleuth Kit does for 8.3 names (their code page is not stored)."""
    return bytes(c if 0x20 <= c < 0x7F else 0x5E for c in name)


def short_name(slot: bytes) -> bytes:
    """Return an 8.3 name as `fls` prints it: lower case where the NT flags (offset 12) say so, `_` for a lost first letter."""
    base, extension = slot[:8], slot[8:11]
    if base[0] == 0xE5:
        base = b"_" + base[1:]
    elif base[0] == 0x05:
        base = b"\xe5" + base[1:]
    if slot[11] & 0x08 and slot[11] & 0x3F != 0x0F:  # a label keeps its spaces
        return _clean(base + extension) + b" (Volume Label Entry)"
    if slot[12] & 0x08:
        base = base.lower()
    if slot[12] & 0x10:
        extension = extension.lower()
    base, extension = base.rstrip(b" \0"), extension.rstrip(b" \0")
    return _clean(base + (b"." + extension if extension else b""))


def fat_names(fs: TskFileSystem, number: int, first_sector: int) -> Iterator[Name]:
    """Yield the names of a FAT folder, deleted ones too; what stands behind the end mark is not live."""
    parts: list[bytes] = []
    checksum, ended = -1, not in_use(fs, number)
    for first, data in slots(fs, number, first_sector):
        for at in range(0, len(data) - SLOT + 1, SLOT):
            head, attributes = data[at], data[at + 11]
            if head == 0:
                parts, ended = [], True
                continue
            slot = data[at : at + SLOT]
            if attributes & 0x3F == 0x0F:
                if head > LAST_LONG_SLOT and head != 0xE5:
                    continue
                if checksum != slot[13] or (head != 0xE5 and head & 0x40):
                    parts, checksum = [], slot[13]
                if len(parts) < 20:
                    parts.append(slot[1:11] + slot[14:26] + slot[28:32])
                continue
            long, parts, checksum = parts, [], -1
            if attributes & 0xC0 or not _plausible(slot, fs.volume.size):
                continue
            name = _long_name(long) or short_name(slot)
            yield Name(name, head != 0xE5 and not ended, first + at // SLOT, FOLDER_TYPE if attributes & 0x10 else FILE_TYPE, 0)


def _plausible(slot: bytes, volume_size: int) -> bool:
    """Whether a slot can be a name at all: a printable start and a size that fits."""
    (size,) = struct.unpack_from("<I", slot, 28)
    return slot[0] > 0x20 or slot[0] == 0x05 if size <= volume_size else False


def _long_name(parts: list[bytes]) -> bytes:
    text = b"".join(reversed(parts)).decode("utf-16-le", "replace")
    return text.split("\0", 1)[0].rstrip("\uffff").encode("utf-8", "surrogatepass")


def exfat_names(fs: TskFileSystem, number: int, first_sector: int) -> Iterator[Name]:
    """Yield the names of an exFAT folder: a file entry (0x85), a stream entry (0xC0), name entries (0xC1); deleted without the top bit."""
    name = bytearray()
    address = kind = count = left = length = 0
    live, folder_live = False, in_use(fs, number)
    for first, data in slots(fs, number, first_sector):
        for at in range(0, len(data) - SLOT + 1, SLOT):
            code = data[at]
            if number == fs.root and code in SPECIAL:
                label = data[at + 2 : at + 2 + 2 * min(11, data[at + 1])].decode("utf-16-le", "replace").encode()
                if code != 0x83 or label:
                    yield Name(SPECIAL[code] or label + b" (Volume Label Entry)", True, first + at // SLOT, FILE_TYPE, 0)
                continue
            if code & 0x7F == 0x05:
                address, live, left, length, count = first + at // SLOT, bool(code & 0x80), data[at + 1], 0, 0
                kind = FOLDER_TYPE if data[at + 4] & 0x10 else FILE_TYPE
                name.clear()
                continue
            if not left or bool(code & 0x80) != live:
                left = 0
                continue
            left -= 1
            if code & 0x7F == 0x40:
                length = data[at + 3]
            elif code & 0x7F == 0x41 and length:
                name += data[at + 2 : at + 32]
                count += 15
                if count >= length:
                    yield Name(name[: length * 2].decode("utf-16-le", "replace").encode(), live and folder_live, address, kind, 0)
                    left = 0
