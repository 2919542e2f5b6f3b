"""Bounded reader of TIFF structures: EXIF, TIFF and BigTIFF pages, DNG, CR2, NEF, maker notes.

It never follows an offset twice, never allocates by a claimed count, and stops at fixed numbers of directories and entries.
What contradicts itself is told in `Tiff.faults` as text; what can be read is read. Facts: TIFF 6.0, BigTIFF (libtiff design
note), EXIF 2.32 (types 1..13).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

MAX_ENTRIES = 1000
"""Entries read of one directory."""
MAX_DIRECTORIES = 10_000
"""Directories of a chain (pages)."""
MAX_FAULTS = 20
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}


class Field(NamedTuple):
    """One entry: where its value stands in the data, and how long it is."""

    tag: int
    type: int
    length: int
    at: int


class Tiff:
    """A TIFF structure that begins at `data[base]`; offsets inside it count from there."""

    def __init__(self, data: bytes | memoryview, order: str, base: int = 0, big: bool = False) -> None:
        self.data, self.order, self.base, self.big = memoryview(data), order, base, big
        self.first = 0
        self.faults: list[str] = []

    def fault(self, text: str) -> None:
        if len(self.faults) < MAX_FAULTS and text not in self.faults:
            self.faults.append(text)

    def unpack(self, code: str, at: int) -> int | None:
        """Return one whole number at an absolute position, or None where the data end."""
        if not 0 <= at <= len(self.data) - struct.calcsize("<" + code):
            return None
        return int(struct.unpack_from(self.order + code, self.data, at)[0])

    def directory(self, offset: int) -> tuple[dict[int, Field], int]:
        """Return the entries of the directory at `offset` (first of each tag counts) and the offset of the next, 0 if none."""
        at = self.base + offset
        count = self.unpack("Q" if self.big else "H", at)
        entry, head = (20, 8) if self.big else (12, 2)
        if count is None or offset <= 0:
            self.fault(f"directory at {offset} lies outside the data")
            return {}, 0
        fields: dict[int, Field] = {}
        if count > MAX_ENTRIES:
            self.fault(f"directory at {offset} claims {count} entries")
        for i in range(min(count, MAX_ENTRIES)):
            field = self._field(at + head + entry * i)
            if field is None:
                self.fault(f"directory at {offset} is cut after {i} entries")
                return fields, 0
            if field.at >= 0:
                fields.setdefault(field.tag, field)
        following = self.unpack("Q" if self.big else "I", at + head + entry * count)
        return fields, following or 0

    def _field(self, at: int) -> Field | None:
        """Read one entry; `at` of the answer is -1 where the value cannot be there."""
        try:
            tag, kind, count = struct.unpack_from(self.order + ("HHQ" if self.big else "HHI"), self.data, at)
        except struct.error:
            return None
        inline = 8 if self.big else 4
        place = at + 4 + inline
        if place + inline > len(self.data):
            return None
        size = SIZES.get(kind, 0) * count
        if tag == kind == count == 0:  # padding between real entries
            return Field(0, 0, 0, -1)
        if kind not in SIZES:
            self.fault(f"tag 0x{tag:04x} has unknown type {kind}")
            return Field(tag, kind, count, -1)
        if size > inline:
            offset = self.unpack("Q" if self.big else "I", place) or 0
            place = self.base + offset
        if place + size > len(self.data):
            self.fault(f"tag 0x{tag:04x} points outside the data ({count} values of type {kind})")
            return Field(tag, kind, count, -1)
        return Field(tag, kind, count, place)

    def raw(self, field: Field, limit: int = 65536) -> bytes:
        """Return the bytes of a value, at most `limit`."""
        return bytes(self.data[field.at : field.at + min(SIZES[field.type] * field.length, limit)])

    def numbers(self, field: Field, limit: int = 1024) -> list[int | float]:
        """Return up to `limit` numbers of a value (rationals as quotients; a zero divisor gives nan)."""
        if field.type in (5, 10):
            return [n / d if d else float("nan") for n, d in self.rationals(field, limit)]
        code = CODES.get(field.type)
        if code is None:
            return list(self.raw(field, limit)) if field.type in (2, 7) else []
        count = min(field.length, limit)
        return list(struct.unpack_from(f"{self.order}{count}{code}", self.data, field.at))

    def rationals(self, field: Field, limit: int = 64) -> list[tuple[int, int]]:
        """Return numerators with denominators."""
        if field.type not in (5, 10):
            return []
        count = min(field.length, limit)
        flat = struct.unpack_from(f"{self.order}{2 * count}{'I' if field.type == 5 else 'i'}", self.data, field.at)
        return list(zip(flat[::2], flat[1::2], strict=True))

    def number(self, fields: dict[int, Field], tag: int) -> int | None:
        """Return the first number of a tag as a whole number, or None."""
        if tag not in fields:
            return None
        values = self.numbers(fields[tag], 1)
        return int(values[0]) if values and values[0] == values[0] and abs(values[0]) < 2**63 else None

    def chain(self, most: int = MAX_DIRECTORIES) -> tuple[list[dict[int, Field]], str]:
        """Return the directories from the first on, and how the chain ends: "", "loop", "limit"."""
        seen: set[int] = set()
        out: list[dict[int, Field]] = []
        at = self.first
        while at:
            if at in seen:
                return out, "loop"
            if len(out) >= most:
                return out, "limit"
            seen.add(at)
            fields, at = self.directory(at)
            if fields or not out:
                out.append(fields)
        return out, ""


def open_tiff(data: bytes | memoryview, base: int = 0) -> Tiff | None:
    """Read a TIFF head at `base` (classic, BigTIFF, and the marks of ORF and RW2), or None where there is none."""
    head = bytes(data[base : base + 16])
    if len(head) < 8 or head[:2] not in (b"II", b"MM"):
        return None
    order = "<" if head[:1] == b"I" else ">"
    (mark,) = struct.unpack_from(order + "H", head, 2)
    if mark == 43 and len(head) == 16:
        tiff = Tiff(data, order, base, big=True)
        tiff.first = int(struct.unpack_from(order + "Q", head, 8)[0])
        return tiff
    if mark not in (42, 0x55, 0x4F52, 0x5352):  # TIFF, RW2, ORF "RO", ORF "RS"
        return None
    tiff = Tiff(data, order, base)
    tiff.first = int(struct.unpack_from(order + "I", head, 4)[0])
    return tiff
