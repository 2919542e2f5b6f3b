"""Serial numbers out of maker notes, for the makers whose notes are plain TIFF directories.

Only what names a device is read: a serial number as printed on the body, and the internal number of the electronics. Layouts
of the notes are facts published in the ExifTool tag tables; nothing is decrypted.
"""

from __future__ import annotations

from typing import NamedTuple

from safelight.extract.pictures.tiff import Field, Tiff


class Serials(NamedTuple):
    """Serial number and internal serial number as text, or None."""

    serial: str | None = None
    internal: str | None = None


def serials(tiff: Tiff, note: Field, make: str) -> Serials:
    """Read the maker note at `note`; unknown makers and damaged notes give nothing."""
    tiff = Tiff(tiff.data, tiff.order, tiff.base)  # notes moved by an editor have wrong offsets: no fault of the EXIF
    head = bytes(tiff.data[note.at : note.at + 16])
    at = note.at - tiff.base
    maker = make.upper()
    if maker.startswith("CANON"):
        return _pick(tiff, at, 0x000C, 0x0096)
    if head.startswith((b"Nikon\x00\x02", b"Nikon\x00\x01\x01")):
        return _nikon(tiff, note.at + 10)
    if head.startswith((b"OLYMPUS\x00II", b"OLYMPUS\x00MM")):
        return _olympus(Tiff(tiff.data, "<" if head[8:9] == b"I" else ">", note.at), 12)
    if head.startswith(b"OLYMP\x00"):
        return _olympus(tiff, at + 8)
    if head.startswith(b"Panasonic\x00"):
        return _pick(tiff, at + 12, None, 0x0025)
    if head.startswith(b"FUJIFILM"):
        inner = Tiff(tiff.data, "<", note.at)
        return _pick(inner, int.from_bytes(head[8:12], "little"), None, 0x0010)
    if head.startswith((b"AOC\x00II", b"AOC\x00MM")):
        return _pick(Tiff(tiff.data, "<" if head[4:5] == b"I" else ">", tiff.base), at + 6, 0x0229, None)
    return Serials()


def _pick(tiff: Tiff, offset: int, serial: int | None, internal: int | None) -> Serials:
    fields, _ = tiff.directory(offset)
    return Serials(_text(tiff, fields, serial), _text(tiff, fields, internal))


def _nikon(tiff: Tiff, at: int) -> Serials:
    """Nikon notes of type 3 carry a TIFF head of their own."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(tiff.data[at : at + 2]))
    if order is None:
        return Serials()
    inner = Tiff(tiff.data, order, at)
    first = inner.unpack("I", at + 4) or 0
    return Serials(_pick(inner, first, 0x001D, None).serial or _pick(inner, first, 0x00A0, None).serial, None)


def _olympus(tiff: Tiff, offset: int) -> Serials:
    """The equipment directory (0x2010) is named by a pointer, or in older bodies stored as the value itself."""
    fields, _ = tiff.directory(offset)
    equipment = fields.get(0x2010)
    found = Serials(_text(tiff, fields, 0x0404) or _text(tiff, fields, 0x101A), None)
    if equipment is None:
        return found
    pointer = equipment.at - tiff.base if equipment.type in (2, 7) else tiff.number(fields, 0x2010)
    inner = _pick(tiff, pointer or 0, 0x0101, 0x0102)
    return Serials(inner.serial or found.serial, inner.internal)


def _text(tiff: Tiff, fields: dict[int, Field], tag: int | None) -> str | None:
    field = fields.get(tag) if tag is not None else None
    if field is None:
        return None
    if field.type in (2, 7):
        text = tiff.raw(field, 128).lstrip(b"\x00").partition(b"\x00")[0].decode("utf-8", "replace").strip()
        return text if text and text.isprintable() else None
    values = tiff.numbers(field, 1)
    return str(int(values[0])) if values and values[0] not in (0, 0xFFFFFFFF) and values[0] == values[0] else None
