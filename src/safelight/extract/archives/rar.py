"""Headers of RAR archives, for what libarchive 3.6 does not tell: where a reference leads, and that a file is one volume of several.

Facts from "RAR 5.0 archive format" (rarlab.com, technote): blocks of CRC-32, size, type, flags; numbers are 7 bits a byte, lowest first.
Nothing is decompressed; what cannot be parsed ends the walk, as libarchive then says what is wrong.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from safelight.evidence.bytesource import Cached
from safelight.evidence.source import ByteSource, Unreadable

RAR4, RAR5 = b"Rar!\x1a\x07\x00", b"Rar!\x1a\x07\x01\x00"
MAIN, FILE, END = 1, 2, 5
EXTRA, DATA, FROM_BEFORE, GOES_ON = 1, 2, 8, 16  # flags of a block
REDIRECTION = 5  # type of an extra record
LINK_TYPES = {1: "symlink", 2: "symlink", 3: "junction", 4: "hardlink", 5: "copy"}
MAX_HEADER = 2 << 20
MAX_BLOCKS = 1_000_000


class Header(NamedTuple):
    """A file of the archive: its name, what kind of reference it is ("" for none), where to, whether it is cut at either end."""

    name: bytes
    reference: str
    target: bytes
    from_before: bool
    goes_on: bool


class Volume(NamedTuple):
    """Whether the archive says that it is one of several files, and which (from 1 on; 0 where it does not say)."""

    is_one: bool
    number: int


def volume(source: ByteSource) -> Volume:
    """Read what the main header says about volumes. Never raises for a damaged archive."""
    try:
        head = source.read_at(0, 4096)
        if head[:8] == RAR5:
            for kind, body, _, _ in _blocks(source):
                if kind != MAIN:
                    break
                flags, at = _number(body, 0)
                number = _number(body, at)[0] if flags & 2 else 0
                return Volume(bool(flags & 1), number + 1 if flags & 1 else 0)
        elif head[:7] == RAR4 and len(head) >= 20 and head[9] == 0x73:  # MAIN_HEAD; MHD_VOLUME 1, MHD_FIRSTVOLUME 0x100
            flags = int.from_bytes(head[10:12], "little")
            return Volume(bool(flags & 1), 1 if flags & 1 and flags & 0x100 else 0)
    except (Unreadable, ValueError):
        pass
    return Volume(False, 0)


def headers(source: ByteSource) -> Iterator[Header]:
    """Yield the files of a RAR5 archive in order; nothing for an older archive, and no more where a header is damaged."""
    if source.read_at(0, 8) != RAR5:
        return
    try:
        for kind, body, extra, flags in _blocks(source):
            if kind == FILE:
                yield _file(body, extra, flags)
    except (Unreadable, ValueError):
        return


def _file(body: bytes, extra: bytes, flags: int) -> Header:
    kinds, at = _number(body, 0)
    for _ in range(2):  # size, attributes
        at = _number(body, at)[1]
    at += 4 * bool(kinds & 2) + 4 * bool(kinds & 4)
    for _ in range(2):  # compression, host system
        at = _number(body, at)[1]
    length, at = _number(body, at)
    name = body[at : at + length]
    reference, target = "", b""
    place = 0
    while place < len(extra):
        size, begin = _number(extra, place)
        place = begin + size
        record, at = _number(extra, begin)
        if record == REDIRECTION:
            kind, at = _number(extra, at)
            at = _number(extra, at)[1]
            length, at = _number(extra, at)
            reference, target = LINK_TYPES.get(kind, f"reference {kind}"), extra[at : at + length]
    return Header(name, reference, target, bool(flags & FROM_BEFORE), bool(flags & GOES_ON))


def _blocks(source: ByteSource) -> Iterator[tuple[int, bytes, bytes, int]]:
    """Yield (type, fields of the type, extra area, flags) of each block with a sound checksum."""
    cached, at = Cached(source), len(RAR5)
    for _ in range(MAX_BLOCKS):
        head = cached.read_at(at, 16)
        if len(head) < 7:
            return
        size, begin = _number(head, 4)
        if not 0 < size <= MAX_HEADER:
            raise ValueError("size of a header")
        block = cached.read_at(at, begin + size)
        if len(block) < begin + size or zlib.crc32(block[4:]) != struct.unpack_from("<I", block)[0]:
            raise ValueError("checksum of a header")
        kind, place = _number(block, begin)
        flags, place = _number(block, place)
        extra = data = 0
        if flags & EXTRA:
            extra, place = _number(block, place)
        if flags & DATA:
            data, place = _number(block, place)
        if extra > len(block) - place:
            raise ValueError("size of an extra area")
        yield kind, block[place : len(block) - extra], block[len(block) - extra :], flags
        if kind == END:
            return
        at += begin + size + data


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return (number, place behind it)."""
    value = 0
    for i in range(10):
        if at + i >= len(data):
            break
        value |= (data[at + i] & 0x7F) << 7 * i
        if not data[at + i] & 0x80:
            return value, at + i + 1
    raise ValueError("a number that does not end")
