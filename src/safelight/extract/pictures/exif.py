"""EXIF out of any TIFF structure: the named facts of `records.Exif`, the rest as text, and the embedded thumbnail.

Values are kept verbatim. A date that no calendar has (0000:00:00, second 60) stays text and never becomes a time; a position
without its N/S/E/W letter has no sign and is no position. Facts: EXIF 2.32 (CIPA DC-008), DNG 1.6, tag names as ExifTool
prints them.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from safelight.extract.pictures import exif_names as names
from safelight.extract.pictures.makernotes import Serials, serials
from safelight.extract.pictures.tiff import SIZES, Field, Tiff, open_tiff
from safelight.records import Exif

MAX_TAGS = 500
MAX_TEXT = 4096
MAX_THUMBNAIL = 4 << 20

MAKE, MODEL, SOFTWARE, ORIENTATION = 0x010F, 0x0110, 0x0131, 0x0112
EXIF_IFD, GPS_IFD, INTEROP_IFD, MAKER_NOTE, USER_COMMENT = 0x8769, 0x8825, 0xA005, 0x927C, 0x9286
TAKEN = ((0x9003, 0x9291, 0x9011), (0x9004, 0x9292, 0x9012))
"""DateTimeOriginal, then DateTimeDigitized: date, sub-second, offset."""
GPS_TEXTS = (0x1B, 0x1C)
"""GPSProcessingMethod and GPSAreaInformation name their character set in front, as UserComment does."""
POINTERS = frozenset({EXIF_IFD, GPS_IFD, INTEROP_IFD, 0x014A, MAKER_NOTE})
BULKY = frozenset({0x0111, 0x0117, 0x0144, 0x0145, 0x0201, 0x0202, 0x02BC, 0x83BB, 0x8649, 0x8773, 0xC634})
"""Offsets, sizes and blocks of other formats: layout, not facts about the picture."""


class Found(NamedTuple):
    """EXIF facts, the JPEG thumbnail (empty if none) and what was wrong with the structure."""

    exif: Exif
    thumbnail: bytes
    faults: list[str]
    limited: bool


def read_exif(blob: bytes | memoryview) -> Found | None:
    """Read an EXIF blob, with or without the `Exif` mark in front; None where it holds no TIFF structure."""
    base = 6 if bytes(blob[:4]) == b"Exif" and bytes(blob[:6]) in (b"Exif\x00\x00", b"Exif\x00\xff") else 0
    tiff = open_tiff(blob, base)
    return None if tiff is None else from_tiff(tiff)


def from_tiff(tiff: Tiff, first: int | None = None) -> Found:
    """Read the directory at `first` (default: the head's) with its Exif, GPS and thumbnail directories."""
    start = tiff.first if first is None else first
    main, following = tiff.directory(start)
    visited = {start}
    parts = {"IFD0": main}
    for name, tag, parent in (("ExifIFD", EXIF_IFD, "IFD0"), ("GPS", GPS_IFD, "IFD0"), ("InteropIFD", INTEROP_IFD, "ExifIFD")):
        offset = tiff.number(parts[parent], tag)
        if offset is None:
            parts[name] = {}
        elif offset in visited:
            parts[name] = {}
            tiff.fault(f"the {name} pointer is a loop")
        else:
            visited.add(offset)
            parts[name], _ = tiff.directory(offset)
    if following in visited and following:
        tiff.fault("the directory chain is a loop")
        following = 0
    thumbnail = _thumbnail(tiff, following) if following else b""
    exif, limited = assemble(tiff, parts["IFD0"], parts["ExifIFD"], parts["GPS"], parts["InteropIFD"])
    return Found(exif, thumbnail, tiff.faults, limited)


def _thumbnail(tiff: Tiff, offset: int) -> bytes:
    fields, _ = tiff.directory(offset)
    at, size = tiff.number(fields, 0x0201), tiff.number(fields, 0x0202)
    if at is None or size is None or not 0 < size <= MAX_THUMBNAIL:
        return b""
    data = bytes(tiff.data[tiff.base + at : tiff.base + at + size])
    return data if data[:2] == b"\xff\xd8" else b""


def assemble(
    tiff: Tiff, main: dict[int, Field], exif: dict[int, Field], gps: dict[int, Field], interop: dict[int, Field] | None = None
) -> tuple[Exif, bool]:
    """Make the record of four directories; True beside it where tags were left out by the limit."""
    rest: dict[str, str] = {}
    limited = False
    parts = (
        ("IFD0", main, names.IMAGE),
        ("ExifIFD", exif, names.IMAGE),
        ("GPS", gps, names.GPS),
        ("Interop", interop or {}, names.INTEROP),
    )
    for part, fields, known in parts:
        for tag, field in fields.items():
            if tag in BULKY or (tag in POINTERS and part != "GPS"):
                continue
            if len(rest) >= MAX_TAGS:
                limited = True
                break
            name = known.get(tag, f"{part}:0x{tag:04x}")
            coded = field.tag == USER_COMMENT or (part == "GPS" and tag in GPS_TEXTS)
            text = _comment(tiff.raw(field, MAX_TEXT + 8), tiff.order) if coded else text_of(tiff, field)
            rest.setdefault(name if name not in rest else f"{part}:{name}", text)
    make = _string(tiff, main, MAKE)
    numbers = _serials(tiff, main, exif, make or "", rest)
    taken, basis = taken_of(tiff, exif)
    orientation = tiff.number(main, ORIENTATION)
    record = Exif(
        make=make,
        model=_string(tiff, main, MODEL),
        serial=numbers.serial or numbers.internal,
        lens_serial=_string(tiff, exif, 0xA435),
        software=_string(tiff, main, SOFTWARE),
        taken=taken,
        taken_basis=basis,
        gps_lat=_position(tiff, gps, 1, b"NS", 90),
        gps_lon=_position(tiff, gps, 3, b"EW", 180),
        gps_alt=_altitude(tiff, gps),
        gps_time=_gps_time(tiff, gps),
        orientation=orientation if orientation is not None and 1 <= orientation <= 8 else None,
        rest=rest,
    )
    for tag in (MAKE, MODEL, SOFTWARE, ORIENTATION):
        rest.pop(names.IMAGE[tag], None)
    return record, limited


def _serials(tiff: Tiff, main: dict[int, Field], exif: dict[int, Field], make: str, rest: dict[str, str]) -> Serials:
    """The body serial of EXIF first, then that of DNG, then the maker's; `rest` says where the maker's came from."""
    note = exif.get(MAKER_NOTE)
    maker = serials(tiff, note, make) if note is not None else Serials()
    if maker.serial:
        rest["MakerNote:SerialNumber"] = maker.serial
    if maker.internal:
        rest["MakerNote:InternalSerialNumber"] = maker.internal
    stated = _string(tiff, exif, 0xA431) or _string(tiff, main, 0xA431) or _string(tiff, main, 0xC62F)
    return Serials(stated or maker.serial, maker.internal)


def text_of(tiff: Tiff, field: Field) -> str:
    """Return a value as text: strings as stored, numbers separated by blanks, other bytes as hex; at most 4,096 characters."""
    if field.type == 2:
        return _decode(tiff.raw(field, MAX_TEXT), keep_all=field.tag == 0x8298)
    if 0x9C9B <= field.tag <= 0x9C9F:  # XPTitle … XPSubject: UTF-16LE in bytes
        return tiff.raw(field, MAX_TEXT).decode("utf-16-le", "replace").partition("\x00")[0]
    if field.type in (5, 10):
        return " ".join(_quotient(n, d) for n, d in tiff.rationals(field, 64))
    if field.type == 7:
        raw = tiff.raw(field, MAX_TEXT)
        plain = raw.rstrip(b"\x00")
        if plain and all(32 <= c < 127 for c in plain):
            return plain.decode("ascii")
        if field.length > 64:
            return f"({field.length} bytes)"
        return " ".join(str(b) for b in raw)
    if SIZES[field.type] * field.length > 1024:
        return f"({field.length} values)"
    return " ".join(f"{v:.10g}" if isinstance(v, float) else str(v) for v in tiff.numbers(field, 512))


def _quotient(n: int, d: int) -> str:
    if d == 0:
        return "undef" if n == 0 else "inf"
    return f"{n / d:.10g}"


def _decode(raw: bytes, keep_all: bool = False) -> str:
    """Strings end at the first NUL (Copyright holds two of them: photographer, editor); UTF-8 where valid, else Latin-1."""
    raw = b"; ".join(p for p in raw.split(b"\x00") if p.strip()) if keep_all else raw.partition(b"\x00")[0]
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _comment(raw: bytes, order: str) -> str:
    charset, body = raw[:8], raw[8:]
    if charset == b"UNICODE\x00":
        text = body.decode("utf-16-le" if order == "<" else "utf-16-be", "replace")
        return text.rstrip("\x00")
    if charset == b"JIS\x00\x00\x00\x00\x00":
        return body.rstrip(b"\x00").decode("iso2022_jp", "replace")
    return _decode(body if charset.rstrip(b"\x00") in (b"ASCII", b"") else raw).rstrip(" ")


def _string(tiff: Tiff, fields: dict[int, Field], tag: int) -> str | None:
    """Return a text verbatim (an empty one is none)."""
    if tag not in fields:
        return None
    text = text_of(tiff, fields[tag])
    return text if text.strip() else None


_DATE = re.compile(r"\s*(\d{4})[:/.-](\d{1,2})[:/.-](\d{1,2})[ T](\d{1,2}):(\d{1,2}):(\d{1,2})(?:[ .Z].*|)\s*\Z", re.S)
_OFFSET = re.compile(r"\s*([+-])(\d{2}):?(\d{2})\s*\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def nanoseconds(text: str) -> int | None:
    """Return ns since 1970 of `YYYY:MM:DD HH:MM:SS` as if UTC; None unless the calendar has that date."""
    match = _DATE.match(text)
    if match is None:
        return None
    try:
        moment = datetime(*(int(g) for g in match.groups()), tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError:
        return None
    since = moment - _EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000_000


def taken_of(tiff: Tiff, exif: dict[int, Field]) -> tuple[int | None, str | None]:
    """Return when the picture was taken and the basis: `offset` (the instant is UTC) or `local?`."""
    for date, fraction, offset in TAKEN:
        moment = nanoseconds(_string(tiff, exif, date) or "")
        if moment is None:
            continue
        digits = (_string(tiff, exif, fraction) or "").strip()
        if digits.isascii() and digits.isdigit():
            moment += int(digits[:9].ljust(9, "0"))
        zone = _OFFSET.match(_string(tiff, exif, offset) or "")
        if zone and int(zone[2]) <= 14 and int(zone[3]) < 60:
            shift = int(timedelta(hours=int(zone[2]), minutes=int(zone[3])).total_seconds()) * 1_000_000_000
            return moment - shift if zone[1] == "+" else moment + shift, "offset"
        return moment, "local?"
    return None, None


def _position(tiff: Tiff, gps: dict[int, Field], ref: int, letters: bytes, most: int) -> float | None:
    if ref not in gps or ref + 1 not in gps:
        return None
    letter = tiff.raw(gps[ref], 1).upper()
    parts = tiff.rationals(gps[ref + 1], 3)
    if not parts or letter not in (letters[:1], letters[1:]) or parts[0][1] == 0:
        return None
    value = 0.0
    for (n, d), share in zip(parts, (1, 60, 3600), strict=False):
        if d == 0 and n != 0:
            return None
        value += n / d / share if d else 0.0
    return None if abs(value) > most else value if letter == letters[:1] else -value


def _altitude(tiff: Tiff, gps: dict[int, Field]) -> float | None:
    parts = tiff.rationals(gps[6], 1) if 6 in gps else []
    if not parts or parts[0][1] == 0:
        return None
    value = parts[0][0] / parts[0][1]
    below = 5 in gps and tiff.raw(gps[5], 1) in (b"\x01", b"1")
    return -value if below else value


def _gps_time(tiff: Tiff, gps: dict[int, Field]) -> int | None:
    """Date stamp and time stamp together; either alone is no instant."""
    date = re.match(r"(\d{4})[:-](\d{1,2})[:-](\d{1,2})", _string(tiff, gps, 0x1D) or "")
    parts = tiff.rationals(gps[7], 3) if 7 in gps else []
    if date is None or len(parts) != 3 or any(d == 0 for _, d in parts):
        return None
    day = nanoseconds(f"{date[1]}:{date[2]}:{date[3]} 00:00:00")
    hour, minute, second = (n / d for n, d in parts)
    if day is None or not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60) or not math.isfinite(second):
        return None
    fraction = parts[2][0] * 1_000_000_000 // parts[2][1]
    return day + int(hour * 3600 + minute * 60) * 1_000_000_000 + fraction
