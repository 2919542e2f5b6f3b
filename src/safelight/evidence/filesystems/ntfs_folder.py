"""Folders of NTFS by our own linear parser: the `$I30` index with the slack of its records, and free MFT records of the folder.

The rule for what a place in the slack must look like is that of the Sleuth Kit (ntfs_dent.c), so that both readers give the
same names; the layout is that of the Linux-NTFS documentation (index root, index allocation, file name attribute).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from safelight.evidence.filesystems.ext_structures import distinct
from safelight.evidence.filesystems.tsk_entry import Name
from safelight.evidence.source import Unreadable

if TYPE_CHECKING:
    from safelight.evidence.filesystems.tsk import TskFileSystem

LARGE_FOLDER = 1 << 20
"""Bytes of an index from which our parser lists it: about 8,000 names."""
INDEX_ROOT, INDEX_ALLOCATION, FILE_NAME = 144, 160, 48
DOS_NAME = 2
FOLDER_TYPE, FILE_TYPE = 3, 5
ENTRY, NAME_AT = 16, 66  # bytes before the stream of an index entry, and before the name in a file name attribute
FIRST_TIME, LAST_TIME = (369 * 365 + 89) * 864, (369 * 365 + 89 + 40 * 365 + 6) * 864
"""What `is_time` of the Sleuth Kit takes for a time in the slack: 1970 to 2010, in 100 s since 1601. Later ones are not listed."""
PIECE = 1 << 20


def fixed_up(record: bytes, stride: int = 512) -> bytes | None:
    """Put the saved last two bytes of each sector back; None where they do not fit (a torn write)."""
    offset, count = struct.unpack_from("<HH", record, 4)
    if count < 1 or offset + 2 * count > len(record) or (count - 1) * stride > len(record):
        return None
    out = bytearray(record)
    check = record[offset : offset + 2]
    for i in range(1, count):
        at = i * stride - 2
        if record[at : at + 2] != check:
            return None
        out[at : at + 2] = record[offset + 2 * i : offset + 2 * i + 2]
    return bytes(out)


def index_entries(data: bytes, used: int, last_record: int, is_deleted: bool) -> Iterator[Name]:
    """Yield the names in a list of index entries; what lies behind `used`, or has lost its length, is deleted."""
    at, size = 0, len(data)
    behind: list[int] | None = None  # places behind `used` that may be entries, last first
    while at + ENTRY + NAME_AT <= size:
        if at >= used:
            if behind is None:
                behind = _places(data, at, size)[::-1]
            while behind and behind[-1] < at:
                behind.pop()
            if not behind:
                return
            at = behind[-1]
        low, high, sequence, length, stream = struct.unpack_from("<IHHHH", data, at)
        record = low | high << 32
        lost = stream == 0 or at + length > used
        impossible = record > last_record or length <= stream or length % 4 or length > size
        if impossible or (lost and not _plausible(data, at + ENTRY, size)):
            at += 4
            continue
        letters, space = data[at + ENTRY + 64], data[at + ENTRY + 65]
        if space != DOS_NAME and letters and at + ENTRY + NAME_AT + 2 * letters <= size:
            text = data[at + ENTRY + NAME_AT : at + ENTRY + NAME_AT + 2 * letters]
            folder = data[at + ENTRY + 59] & 0x10  # 0x10000000 of the flags at 56
            name = text.decode("utf-16-le", "replace").encode("utf-8")
            yield Name(name, not (lost or is_deleted), record, FOLDER_TYPE if folder else FILE_TYPE, sequence)
        at += (ENTRY + NAME_AT + 2 * letters + 3) // 4 * 4 if stream == 0 else length


def _places(data: bytes, first: int, size: int) -> list[int]:
    """Return the places from `first` on, four bytes apart, where the first time could be one: most of the slack is none."""
    words = np.frombuffer(data, "<u4", size // 4)
    at = np.arange((first + 3) // 4, max(0, (size - ENTRY - NAME_AT) // 4 + 1))
    time = words[at + (ENTRY + 12) // 4]  # upper half of the creation time
    possible = (time >= FIRST_TIME * 1_000_000_000 >> 32) & (time <= (LAST_TIME + 1) * 1_000_000_000 >> 32)
    found: list[int] = (at[possible] * 4).tolist()
    return found


def _plausible(data: bytes, at: int, size: int) -> bool:
    """Whether a file name attribute in the slack can be one."""
    created, modified, _, accessed, allocated, real = struct.unpack_from("<6Q", data, at + 8)
    letters, space = data[at + 64], data[at + 65]
    if space > 3 or allocated < real or letters == 0 or at + NAME_AT + 2 * letters > size:
        return False
    return all(FIRST_TIME <= t // 1_000_000_000 <= LAST_TIME for t in (created, modified, accessed))


def _lists(fs: TskFileSystem, number: int) -> Iterator[tuple[bytes, int]]:
    """Yield (entries, bytes used) of the root and of each index record of a folder."""
    # An opened record has one iterator for all its users: take the attributes before anybody else asks for them.
    attributes = [(int(a.info.type), int(a.info.id)) for a in fs.files.open(number) if a.info.name == b"$I30"]
    record_size = 0
    for kind, place in sorted(attributes):
        if kind not in (INDEX_ROOT, INDEX_ALLOCATION):
            continue
        content = fs.files.content(f"{number}-{kind}-{place}")
        if kind == INDEX_ROOT:
            root = content.read_at(0, min(content.size, 65536))
            if len(root) >= 32:
                record_size = struct.unpack_from("<I", root, 8)[0]
                yield from _list(root, 16)
            continue
        if record_size not in (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536):
            raise Unreadable("corrupt", f"index records of {record_size} bytes")
        for offset in range(0, content.size, PIECE):
            piece = content.read_at(offset, PIECE)
            for at in range(0, len(piece) - record_size + 1, record_size):
                if piece[at : at + 4] != b"INDX":
                    continue
                record = fixed_up(piece[at : at + record_size])
                if record is not None:
                    yield from _list(record, 24)


def _list(data: bytes, header: int) -> Iterator[tuple[bytes, int]]:
    first, used, end = struct.unpack_from("<III", data, header)
    if 16 <= first <= used <= end and header + end <= len(data):
        yield data[header + first : header + end], used - first


class Freed:
    """Free MFT records by the folder that they name as parent: two numbers each, the names are read when they are asked for."""

    def __init__(self, fs: TskFileSystem) -> None:
        from safelight.evidence.filesystems.ntfs import mft_pieces, u16

        parents, records = array("Q"), array("Q")
        self.folders: set[int] = set()
        for first, is_record, rows in mft_pieces(fs):
            flags = u16(rows, 22)
            free = is_record & (flags & 1 == 0) & ~rows[:, 32:38].any(axis=1)
            for row in np.flatnonzero(free):
                number = first + int(row)
                for parent, _, _ in file_names(rows[row].tobytes()):
                    parents.append(parent)
                    records.append(number)
        self.parents, self.records = np.frombuffer(parents, np.uint64), np.frombuffer(records, np.uint64)

    def of(self, parent: int) -> list[int]:
        """Return the free records that name a folder as parent, in order."""
        return sorted({int(r) for r in self.records[self.parents == parent]})


def file_names(record: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield (parent, its sequence number, name) of the file name attributes of an MFT record; DOS names are left out."""
    fixed = fixed_up(record)
    if fixed is None:
        return
    at = struct.unpack_from("<H", fixed, 20)[0]
    for _ in range(256):
        if at + 24 > len(fixed):
            return
        kind, length = struct.unpack_from("<II", fixed, at)
        if kind == 0xFFFFFFFF or length < 24 or length % 8 or at + length > len(fixed):
            return
        if kind == FILE_NAME and not fixed[at + 8]:
            size, offset = struct.unpack_from("<IH", fixed, at + 16)
            start = at + offset
            if size >= NAME_AT and start + NAME_AT <= len(fixed):
                low, high, sequence = struct.unpack_from("<IHH", fixed, start)
                letters, space = fixed[start + 64], fixed[start + 65]
                text = fixed[start + NAME_AT : start + NAME_AT + 2 * letters]
                if space != DOS_NAME and len(text) == 2 * letters and letters:
                    yield low | high << 32, sequence, text.decode("utf-16-le", "replace").encode()
        at += length


def names(fs: TskFileSystem, number: int, freed: Freed, record_of: object) -> Iterator[Name]:
    """Yield the names of a folder: itself, its index with slack, and free records whose parent it is."""
    meta = fs.files.open(number).info.meta
    in_use, sequence = bool(int(meta.flags) & 1), int(meta.seq)
    yield Name(b".", True, number, FOLDER_TYPE, sequence)

    def found() -> Iterator[Name]:
        for entries, used in _lists(fs, number):
            yield from index_entries(entries, used, fs.last_record, not in_use)
        for record in freed.of(number):
            raw = record_of(record)  # type: ignore[operator]
            own = struct.unpack_from("<H", raw, 16)[0]
            for parent, parent_sequence, name in file_names(raw):
                if parent == number and parent_sequence == (sequence if in_use else sequence - 1):
                    yield Name(name, False, record, 0, own)

    yield from distinct(found())
