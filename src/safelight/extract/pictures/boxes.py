"""Boxed picture files: HEIF, AVIF, JPEG 2000, JPEG XL and CR3, as far as size, turn, metadata and previews go.

One bounded walker of ISO base media boxes serves all of them. Facts: ISO 14496-12 (boxes, iloc, iinf), ISO 23008-12 (ispe,
irot, imir), ITU-T T.800 (SIZ, ihdr), ISO 18181-1 (size header), CR3 layout as published by L. Clevy.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from safelight.extract.pictures.layouts import MAX_FRAMES, Layout

MAX_BOXES = 4000
MAX_ITEMS = 4096
MAX_ITEM_BYTES = 16 << 20


class Box(NamedTuple):
    """Type, first byte of the body, end; `cut` where it claims more than its parent has."""

    type: bytes
    start: int
    end: int
    cut: bool


def boxes(data: memoryview, at: int, end: int, most: int = MAX_BOXES) -> Iterator[Box]:
    """Yield the boxes between two offsets; stops at the first that cannot be one."""
    for _ in range(most):
        if at + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1:
            if at + 16 > end:
                return
            size, start = struct.unpack_from(">Q", data, at + 8)[0], at + 16
        elif size == 0:
            size = end - at
        if size < start - at or not all(32 <= c < 127 or c == 0xA9 for c in kind):
            return
        yield Box(bytes(kind), start, min(at + size, end), at + size > end)
        at += size


def _find(data: memoryview, at: int, end: int, *path: bytes) -> Box | None:
    """Follow box types downwards."""
    found: Box | None = None
    for kind in path:
        found = next((b for b in boxes(data, at, end) if b.type == kind), None)
        if found is None:
            return None
        at, end = found.start, found.end
    return found


class _Cursor:
    """Big-endian numbers of chosen width, raising IndexError at the end."""

    def __init__(self, data: memoryview, at: int, end: int) -> None:
        self.data, self.at, self.end = data, at, end

    def take(self, size: int) -> int:
        if self.at + size > self.end:
            raise IndexError("box ends early")
        value = int.from_bytes(self.data[self.at : self.at + size], "big")
        self.at += size
        return value


class _Heif:
    """The meta box of one file."""

    def __init__(self, data: memoryview, meta: Box) -> None:
        self.data = data
        self.start, self.end = meta.start + 4, meta.end
        self.children = {b.type: b for b in boxes(data, self.start, self.end)}
        self.types: dict[int, bytes] = {}
        self.places: dict[int, list[tuple[int, int]]] = {}
        self.properties: dict[int, list[int]] = {}
        for read in (self._info, self._locations, self._associations):
            try:
                read()
            except IndexError:
                self.broken = True

    broken = False

    def _cursor(self, kind: bytes) -> tuple[_Cursor, int] | None:
        box = self.children.get(kind)
        if box is None:
            return None
        cursor = _Cursor(self.data, box.start, box.end)
        return cursor, cursor.take(4)

    def primary(self) -> int | None:
        opened = self._cursor(b"pitm")
        if opened is None:
            return None
        cursor, flags = opened
        return cursor.take(4 if flags >> 24 else 2)

    def _info(self) -> None:
        opened = self._cursor(b"iinf")
        if opened is None:
            return
        cursor, flags = opened
        cursor.take(4 if flags >> 24 else 2)
        for box in boxes(self.data, cursor.at, cursor.end, MAX_ITEMS):
            if box.type != b"infe" or box.end - box.start < 12:
                continue
            entry = _Cursor(self.data, box.start, box.end)
            version = entry.take(4) >> 24
            if version >= 2:
                number = entry.take(4 if version == 3 else 2)
                entry.take(2)
                self.types[number] = entry.take(4).to_bytes(4, "big")

    def _locations(self) -> None:
        opened = self._cursor(b"iloc")
        if opened is None:
            return
        cursor, flags = opened
        version = flags >> 24
        sizes = cursor.take(2)
        offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
        index_size = sizes & 15 if version else 0
        idat = self.children.get(b"idat")
        for _ in range(min(cursor.take(4 if version == 2 else 2), MAX_ITEMS)):
            number = cursor.take(4 if version == 2 else 2)
            method = cursor.take(2) & 15 if version else 0
            cursor.take(2)
            base = cursor.take(base_size)
            shift = idat.start if method == 1 and idat is not None else 0
            for _ in range(min(cursor.take(2), MAX_ITEMS)):
                cursor.take(index_size)
                offset, length = cursor.take(offset_size), cursor.take(length_size)
                if method < 2 and len(self.places) < MAX_ITEMS:
                    self.places.setdefault(number, []).append((shift + base + offset, length))

    def _associations(self) -> None:
        iprp = self.children.get(b"iprp")
        ipma = _find(self.data, iprp.start, iprp.end, b"ipma") if iprp else None
        if ipma is None:
            return
        cursor = _Cursor(self.data, ipma.start, ipma.end)
        flags = cursor.take(4)
        for _ in range(min(cursor.take(4), MAX_ITEMS)):
            number = cursor.take(4 if flags >> 24 else 2)
            indexes = []
            for _ in range(cursor.take(1)):
                value = cursor.take(2 if flags & 1 else 1)
                indexes.append(value & (0x7FFF if flags & 1 else 0x7F))
            self.properties.setdefault(number, indexes)

    def item(self, number: int) -> bytes:
        """Return the bytes of an item, at most 16 MiB."""
        parts, total = [], 0
        for at, size in self.places.get(number, []):
            part = bytes(self.data[at : at + min(size, MAX_ITEM_BYTES - total)])
            parts.append(part)
            total += len(part)
            if total >= MAX_ITEM_BYTES:
                break
        return b"".join(parts)

    def property_boxes(self, number: int) -> list[Box]:
        iprp = self.children.get(b"iprp")
        ipco = _find(self.data, iprp.start, iprp.end, b"ipco") if iprp else None
        every = list(boxes(self.data, ipco.start, ipco.end)) if ipco else []
        return [every[i - 1] for i in self.properties.get(number, []) if 0 < i <= len(every)]


_TURNS = {0: 1, 1: 8, 2: 3, 3: 6}
"""irot counts quarter turns counter-clockwise; as EXIF orientations."""
_MIRRORED = {(1, 0): 4, (1, 1): 2, (8, 0): 5, (8, 1): 7, (3, 0): 2, (3, 1): 4, (6, 0): 7, (6, 1): 5}
"""Turn, then mirror (imir 0: top and bottom exchanged, 1: left and right), as one EXIF orientation."""


def read_heif(data: memoryview) -> Layout:
    """Read HEIC, HEIF and AVIF: size of the primary item, irot/imir as an EXIF orientation in `turn`, Exif and XMP items."""
    layout = Layout(mode="RGB")
    top = list(boxes(data, 0, len(data)))
    if top and top[-1].cut:
        layout.damage("truncated", f"box {top[-1].type!r} ends beyond the data")
    elif top:
        layout.end = top[-1].end
    meta = next((b for b in top if b.type == b"meta"), None)
    if meta is None or meta.end - meta.start < 4:
        return layout if any(b.type == b"moov" for b in top) else _no_meta(layout)
    heif = _Heif(data, meta)
    if heif.broken:
        layout.damage("corrupt", "an item table ends early")
    try:
        primary = heif.primary()
    except IndexError:
        primary = None
    _heif_size(layout, heif, primary)
    for number, kind in list(heif.types.items())[:MAX_ITEMS]:
        if kind == b"Exif" and len(layout.exif) < 4:
            blob = heif.item(number)
            layout.exif.append(blob[4 + int.from_bytes(blob[:4], "big") :] if len(blob) > 8 else b"")
        elif kind == b"mime" and len(layout.xmp) < 4:
            blob = heif.item(number)
            if b"xpacket" in blob[:200] or b"xmpmeta" in blob[:400]:
                layout.xmp.append(blob)
    return layout


def _no_meta(layout: Layout) -> Layout:
    layout.damage("corrupt", "no meta box")
    return layout


def _heif_size(layout: Layout, heif: _Heif, primary: int | None) -> None:
    turn, mirror = 0, None
    largest = 0
    for number in heif.properties:
        for box in heif.property_boxes(number)[:32]:
            size = box.end - box.start
            if box.type == b"ispe" and size >= 12:
                wide, high = struct.unpack_from(">II", heif.data, box.start + 4)
                largest = max(largest, wide * high)
                if number == primary or not layout.width:
                    layout.width, layout.height = wide, high
            elif number == primary and box.type == b"irot" and size >= 1:
                turn = heif.data[box.start] & 3
            elif number == primary and box.type == b"imir" and size >= 1:
                mirror = heif.data[box.start] & 1
        if largest > layout.width * layout.height and largest > 1 << 28:
            layout.width, layout.height = largest, 1  # an item larger than the primary one would be decoded as well
            break
    layout.turn = _TURNS[turn] if mirror is None else _MIRRORED[(_TURNS[turn], mirror)]


_JP2_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_JP2_EXIF = b"JpgTiffExif->JP2"


def read_jp2(data: memoryview) -> Layout:
    """Read JPEG 2000, boxed or bare: the size of the code stream, not only that of the box."""
    layout = Layout(mode="RGB")
    at = 0
    if bytes(data[:4]) != b"\xff\x4f\xff\x51":
        found = None
        for box in boxes(data, 0, len(data)):
            if box.type == b"jp2c" and found is None:
                found = box.start
                layout.end = None if box.cut else box.end
            elif box.type == b"uuid":
                mark = bytes(data[box.start : box.start + 16])
                if mark == _JP2_XMP:
                    layout.xmp.append(data[box.start + 16 : box.end])
                elif mark == _JP2_EXIF:
                    layout.exif.append(data[box.start + 16 : box.end])
        if found is None:
            layout.damage("corrupt", "no code stream")
            return layout
        at = found
    if len(data) < at + 40 or bytes(data[at : at + 4]) != b"\xff\x4f\xff\x51":
        layout.damage("corrupt", "no code stream header")
        return layout
    right, bottom, left, top = struct.unpack_from(">IIII", data, at + 8)
    (components,) = struct.unpack_from(">H", data, at + 40) if len(data) >= at + 42 else (3,)
    layout.width, layout.height = max(0, right - left), max(0, bottom - top)
    layout.mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}.get(components, "RGB")
    return layout


_JXL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def read_jxl(data: memoryview) -> Layout:
    """Read JPEG XL, boxed or bare."""
    layout = Layout(mode="RGB")
    stream = data
    if bytes(data[:2]) != b"\xff\x0a":
        stream = data[:0]
        for box in boxes(data, 0, len(data)):
            if box.type in (b"jxlc", b"jxlp") and not len(stream):
                stream = data[box.start + (4 if box.type == b"jxlp" else 0) : box.end]
            elif box.type == b"Exif":
                layout.exif.append(data[box.start + 4 + int.from_bytes(data[box.start : box.start + 4], "big") : box.end])
            elif box.type == b"xml ":
                layout.xmp.append(data[box.start : box.end])
    bits, at = int.from_bytes(stream[2:18], "little"), 0

    def take(count: int) -> int:
        nonlocal at
        value = bits >> at & (1 << count) - 1
        at += count
        return value

    if bytes(stream[:2]) != b"\xff\x0a":
        layout.damage("corrupt", "no code stream")
        return layout
    small = take(1)

    def side() -> int:
        return (take(5) + 1) * 8 if small else take((9, 13, 18, 30)[take(2)]) + 1

    layout.height = side()
    ratio = take(3)
    layout.width = side() if ratio == 0 else layout.height * _JXL_RATIOS[ratio - 1][0] // _JXL_RATIOS[ratio - 1][1]
    return layout


_CR3_CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_CR3_PREVIEW = bytes.fromhex("eaf42b5e1c984b88b9fbb7dc406e4d16")


class Cr3(NamedTuple):
    """The TIFF structures of a CR3 (CMT1 image, CMT2 Exif, CMT3 maker note, CMT4 GPS) and its JPEG streams."""

    parts: dict[bytes, memoryview]
    previews: list[tuple[int, int]]
    xmp: list[bytes | memoryview]


def read_cr3(data: memoryview) -> Cr3:
    """Find Canon's boxes below moov, the preview box, and the JPEG track."""
    parts: dict[bytes, memoryview] = {}
    previews: list[tuple[int, int]] = []
    xmp: list[bytes | memoryview] = []
    for box in boxes(data, 0, len(data)):
        mark = bytes(data[box.start : box.start + 16])
        if box.type == b"moov":
            for child in boxes(data, box.start, box.end):
                if child.type == b"uuid" and bytes(data[child.start : child.start + 16]) == _CR3_CANON:
                    for part in boxes(data, child.start + 16, child.end):
                        parts.setdefault(part.type, data[part.start : part.end])
                elif child.type == b"trak":
                    place = _jpeg_track(data, child)
                    if place:
                        previews.append(place)
        elif box.type == b"uuid" and mark == _CR3_PREVIEW:
            inner = next((b for b in boxes(data, box.start + 24, box.end) if b.type == b"PRVW"), None)
            if inner is not None:
                start = bytes(data[inner.start : min(inner.end, inner.start + 64)]).find(b"\xff\xd8\xff")
                if start >= 0:
                    previews.append((inner.start + start, inner.end - inner.start - start))
        elif box.type == b"uuid" and mark == _JP2_XMP:
            xmp.append(data[box.start + 16 : box.end])
    return Cr3(parts, previews, xmp)


def _jpeg_track(data: memoryview, trak: Box) -> tuple[int, int] | None:
    table = _find(data, trak.start, trak.end, b"mdia", b"minf", b"stbl")
    if table is None:
        return None
    sizes, offsets = _find(data, table.start, table.end, b"stsz"), _find(data, table.start, table.end, b"co64")
    if sizes is None or offsets is None or offsets.end - offsets.start < 16 or sizes.end - sizes.start < 12:
        return None
    one, count = struct.unpack_from(">II", data, sizes.start + 4)
    size = one or (struct.unpack_from(">I", data, sizes.start + 12)[0] if count and sizes.end - sizes.start >= 16 else 0)
    (at,) = struct.unpack_from(">Q", data, offsets.start + 8)
    return (at, size) if size and bytes(data[at : at + 3]) == b"\xff\xd8\xff" else None


def count_samples(data: memoryview) -> int:
    """Return the number of pictures of an image sequence (the longest track), 1 where there is no track."""
    most = 1
    moov = next((b for b in boxes(data, 0, len(data)) if b.type == b"moov"), None)
    for trak in boxes(data, moov.start, moov.end, 64) if moov else ():
        table = _find(data, trak.start, trak.end, b"mdia", b"minf", b"stbl", b"stsz") if trak.type == b"trak" else None
        if table is not None and table.end - table.start >= 12:
            most = max(most, struct.unpack_from(">I", data, table.start + 8)[0])
    return min(most, MAX_FRAMES + 1)
