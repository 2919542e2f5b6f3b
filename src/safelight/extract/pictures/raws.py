"""TIFF pages and camera raw files: size, page count, EXIF, and the JPEG previews that cameras put inside.

Raw sensor data are not developed: what a person and PDQ see of a raw file is its largest preview. Facts: TIFF 6.0, DNG 1.6,
RAF head as published in the ExifTool tag tables (offset and length of the JPEG at byte 84), RW2 tag 0x2e (JpgFromRaw).
"""

from __future__ import annotations

import struct

from safelight.extract.pictures.boxes import read_cr3
from safelight.extract.pictures.decoded import MEMORY
from safelight.extract.pictures.exif import Found, assemble, from_tiff
from safelight.extract.pictures.layouts import MAX_FRAMES, Layout
from safelight.extract.pictures.tiff import Field, Tiff, open_tiff
from safelight.records import Exif

RAW_TYPES = frozenset(
    {
        "image/x-adobe-dng",
        "image/x-canon-cr2",
        "image/x-canon-cr3",
        "image/x-nikon-nef",
        "image/x-sony-arw",
        "image/x-pentax-pef",
        "image/x-fuji-raf",
        "image/x-olympus-orf",
        "image/x-panasonic-rw2",
    }
)
MAX_PREVIEWS = 8
MAX_SUB_DIRECTORIES = 64


def read_tiff(data: memoryview) -> tuple[Layout, Found | None]:
    """Read pages, sub-directories and EXIF of a TIFF file. The size is that of page 1, for raw files that of the sensor picture."""
    layout = Layout()
    tiff = open_tiff(data)
    if tiff is None:
        layout.damage("corrupt", "no TIFF head")
        return layout, None
    pages, ending = tiff.chain(MAX_FRAMES)
    if ending == "loop":
        layout.problem("corrupt", "the chain of pages is a loop")
    elif ending == "limit":
        layout.problem("limit.frames", f"more than {MAX_FRAMES} pages")
    layout.frames = max(1, len(pages))
    first = pages[0] if pages else {}
    layout.width, layout.height = tiff.number(first, 0x0100) or 0, tiff.number(first, 0x0101) or 0
    layout.mode = _mode(tiff, first)
    every = [*pages[:MAX_SUB_DIRECTORIES], *_sub_directories(tiff, pages, layout)]
    for fields in every:
        _preview(tiff, fields, layout)
        if not tiff.number(fields, 0x00FE) and 0x00FE in fields and fields is not first:
            layout.width, layout.height = tiff.number(fields, 0x0100) or layout.width, tiff.number(fields, 0x0101) or layout.height
    if 0x02BC in first:
        layout.xmp.append(tiff.raw(first[0x02BC], 4 << 20))
    if 0x002E in first:  # RW2
        layout.previews.append((first[0x002E].at, first[0x002E].length))
    found = from_tiff(tiff) if first else None
    if tiff.faults:
        layout.problem("metadata" if layout.width else "corrupt", "; ".join(tiff.faults[:5]))
    _check_pixels(tiff, first, layout)
    return layout, found


def _check_pixels(tiff: Tiff, fields: dict[int, Field], layout: Layout) -> None:
    """Refuse what a decoder would allocate by the claim, and pictures whose strips or tiles lie outside the data."""
    samples = tiff.number(fields, 0x0115) or 1
    bits = tiff.number(fields, 0x0102) or 1
    claimed = layout.width * layout.height * max(samples, 1) * max(bits, 8) // 8
    if samples > 64 or claimed > MEMORY:
        layout.refused = True
        layout.damage("limit.pixels", f"{layout.width} x {layout.height} pixels of {samples} samples, {bits} bits each")
        return
    for offsets, sizes in ((0x0111, 0x0117), (0x0144, 0x0145)):
        if offsets not in fields or sizes not in fields:
            continue
        places = list(zip(tiff.numbers(fields[offsets], 65536), tiff.numbers(fields[sizes], 65536), strict=False))
        outside = [at for at, size in places if at + size > len(tiff.data)]
        if places and min(at for at, _ in places) >= len(tiff.data):
            layout.refused = True
            layout.damage("corrupt", "all pixel data lie outside the file")
        elif outside:
            layout.damage("truncated", f"{len(outside)} of {len(places)} strips or tiles end beyond the data")


def _mode(tiff: Tiff, fields: dict[int, Field]) -> str:
    bits = tiff.number(fields, 0x0102) or 1
    samples, photometric = tiff.number(fields, 0x0115) or 1, tiff.number(fields, 0x0106)
    if samples == 1:
        return "1" if bits == 1 else "P" if photometric == 3 else "I;16" if bits == 16 else "L" if bits <= 8 else "F"
    return "CMYK" if photometric == 5 else {2: "LA", 3: "RGB", 4: "RGBA"}.get(samples, "RGB")


def _sub_directories(tiff: Tiff, pages: list[dict[int, Field]], layout: Layout) -> list[dict[int, Field]]:
    """Read SubIFDs once each; one that points back to a page or to another is a loop."""
    out: list[dict[int, Field]] = []
    seen: set[int] = {tiff.first}
    waiting = [fields for fields in pages[:MAX_SUB_DIRECTORIES] if 0x014A in fields]
    while waiting and len(out) < MAX_SUB_DIRECTORIES:
        fields = waiting.pop(0)
        for offset in (int(v) for v in tiff.numbers(fields[0x014A], MAX_SUB_DIRECTORIES)):
            if offset in seen:
                layout.problem("corrupt", "a sub-directory pointer is a loop")
                continue
            seen.add(offset)
            sub, _ = tiff.directory(offset)
            out.append(sub)
            if 0x014A in sub:
                waiting.append(sub)
    return out


def _preview(tiff: Tiff, fields: dict[int, Field], layout: Layout) -> None:
    """Note a JPEG of this directory: by tags 0x201/0x202, or as its only strip."""
    places = [(tiff.number(fields, 0x0201), tiff.number(fields, 0x0202))]
    if 0x0111 in fields and fields[0x0111].length == 1 and tiff.number(fields, 0x0103) in (6, 7):
        places.append((tiff.number(fields, 0x0111), tiff.number(fields, 0x0117)))
    for at, size in places:
        if at and size and 0 < at < len(tiff.data) and bytes(tiff.data[tiff.base + at : tiff.base + at + 3]) == b"\xff\xd8\xff":
            place = (tiff.base + at, min(size, len(tiff.data) - at))
            if place not in layout.previews and len(layout.previews) < MAX_PREVIEWS:
                layout.previews.append(place)


def read_raw(data: memoryview, media_type: str) -> tuple[Layout, Found | None]:
    """Read a raw file of any kind."""
    if media_type == "image/x-fuji-raf":
        return _read_raf(data)
    if media_type == "image/x-canon-cr3":
        return _read_cr3(data)
    layout, found = read_tiff(data)
    layout.frames = 1  # the directories of a raw file are previews, not pages
    layout.refused = False  # sensor data are never decoded: their size and place do not matter
    if found is not None and media_type == "image/x-canon-cr2":  # IFD0 is a reduced picture, the sensor has no size tags
        sides = [found.exif.rest.get(name, "") for name in ("ExifImageWidth", "ExifImageHeight")]
        if all(s.isdigit() and int(s) < 1 << 31 for s in sides):
            layout.width, layout.height = (int(s) for s in sides)
    if media_type == "image/x-olympus-orf" and not layout.previews:
        _search(data, layout)
    return layout, found


def _search(data: memoryview, layout: Layout) -> None:
    """Olympus keeps the preview behind a maker-note pointer; the first JPEG heads in the first MiB serve as well."""
    head = bytes(data[: 1 << 20])
    at = head.find(b"\xff\xd8\xff")
    while at >= 0 and len(layout.previews) < MAX_PREVIEWS:
        layout.previews.append((at, len(data) - at))
        at = head.find(b"\xff\xd8\xff", at + 3)


def _read_raf(data: memoryview) -> tuple[Layout, Found | None]:
    """Fuji: a JPEG with EXIF at the offset that stands at byte 84; the sensor size is in the block at byte 92."""
    layout = Layout(mode="RGB")
    if len(data) < 100:
        layout.damage("truncated", "RAF ends in its head")
        return layout, None
    at, size, block, length = struct.unpack_from(">IIII", data, 84)
    if bytes(data[at : at + 3]) == b"\xff\xd8\xff":
        layout.previews.append((at, min(size, len(data) - at)))
    else:
        layout.damage("truncated" if at >= len(data) else "corrupt", "no preview where the head says")
    count = struct.unpack_from(">I", data, block)[0] if 0 < block <= len(data) - 4 and length >= 4 else 0
    place = block + 4
    for _ in range(min(count, 256)):
        if place + 4 > len(data):
            break
        tag, size = struct.unpack_from(">HH", data, place)
        if tag in (0x0100, 0x0111) and size >= 4 and place + 8 <= len(data):  # full, then cropped size
            layout.height, layout.width = struct.unpack_from(">HH", data, place + 4)
        place += 4 + size
    return layout, None


def _read_cr3(data: memoryview) -> tuple[Layout, Found | None]:
    layout = Layout(mode="RGB")
    cr3 = read_cr3(data)
    layout.previews, layout.xmp = cr3.previews[:MAX_PREVIEWS], cr3.xmp
    parts: dict[bytes, tuple[Tiff, dict[int, Field]]] = {}
    for name in (b"CMT1", b"CMT2", b"CMT3", b"CMT4"):
        tiff = open_tiff(cr3.parts[name]) if name in cr3.parts else None
        if tiff is not None:
            parts[name] = (tiff, tiff.directory(tiff.first)[0])
    if b"CMT1" not in parts:
        layout.damage("corrupt", "no Canon metadata box")
        return layout, None
    tiff, main = parts[b"CMT1"]
    layout.width, layout.height = tiff.number(main, 0x0100) or 0, tiff.number(main, 0x0101) or 0
    exif, limited = assemble(tiff, main, {}, {})
    for name in (b"CMT2", b"CMT4"):
        if name in parts:
            other, fields = parts[name]
            part, _ = assemble(other, {}, fields if name == b"CMT2" else {}, fields if name == b"CMT4" else {})
            exif = _merge(exif, part)
    if b"CMT3" in parts:
        note, fields = parts[b"CMT3"]
        internal = note.raw(fields[0x0096], 64).partition(b"\x00")[0].decode("latin-1") if 0x0096 in fields else ""
        if internal:
            exif.rest["MakerNote:InternalSerialNumber"] = internal
            exif.serial = exif.serial or internal
    return layout, Found(exif, b"", [f for t, _ in parts.values() for f in t.faults], limited)


def _merge(first: Exif, second: Exif) -> Exif:
    """Fill what the first does not say from the second."""
    for name in first.__struct_fields__:
        if name == "rest":
            first.rest.update(second.rest)
        elif getattr(first, name) is None:
            setattr(first, name, getattr(second, name))
    return first
