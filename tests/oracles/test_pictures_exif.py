"""Our EXIF reader against the listings of exiftool for 86 photos, and against those of metadata-extractor.

Each deviation is listed by name with its reason; a new one fails, and so does a listed one that is gone.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from safelight.extract.filetype import detect
from safelight.extract.pictures import extract_picture
from safelight.records import Exif

DEVIATIONS: dict[tuple[str, str], str] = {
    ("casio_exs1.jpg", "software"): "exiftool's JSON writes the text 1.00 as a number; ours is verbatim with its blanks",
    ("date_zero.jpg", "taken"): "0000:00:00 is no date: it stays text in the map",
    ("et_Google.jpg", "taken"): "OffsetTimeOriginal +02:00: ours is the instant in UTC",
    ("exif_xmp_iptc.heic", "taken"): "OffsetTimeOriginal -05:00: ours is the instant in UTC",
    ("iphone11_gps.heic", "taken"): "OffsetTimeOriginal -05:00: ours is the instant in UTC",
}
AGREEING = {
    "make": 52,
    "model": 51,
    "orientation": 62,
    "taken": 45,
    "gps_lat": 17,
    "gps_lon": 17,
    "gps_alt": 10,
    "software": 44,
    "serial": 11,
    "lens_serial": 2,
}
"""Values that agree, per fact: the table of agreement."""
SERIALS = (
    "ExifIFD:SerialNumber",
    "IFD0:CameraSerialNumber",
    "Canon:SerialNumber",
    "Nikon:SerialNumber",
    "Olympus:SerialNumber",
    "Canon:InternalSerialNumber",
    "Panasonic:InternalSerialNumber",
    "FujiFilm:InternalSerialNumber",
    "XMP-aux:SerialNumber",
)
NAMED: dict[str, tuple[str, ...]] = {
    "make": ("IFD0:Make",),
    "model": ("IFD0:Model",),
    "software": ("IFD0:Software",),
    "orientation": ("IFD0:Orientation",),
    "serial": SERIALS,
    "lens_serial": ("ExifIFD:LensSerialNumber", "XMP-aux:LensSerialNumber"),
    "gps_lat": ("GPS:GPSLatitude",),
    "gps_lon": ("GPS:GPSLongitude",),
    "gps_alt": ("GPS:GPSAltitude",),
    "taken": ("ExifIFD:DateTimeOriginal", "ExifIFD:CreateDate"),
}
CONVERTED = re.compile(r"ShutterSpeedValue|(Max)?ApertureValue|GPS(Dest)?(Latitude|Longitude)|GPSTimeStamp|CFAPattern|RawDataUniqueID")
"""exiftool converts APEX values to seconds and f-numbers, joins degrees and reads the CFA head; the map keeps what is stored."""


def text(value: Any) -> str | None:
    return None if value is None else str(value).strip() or None


def ours(exif: Exif | None, field: str) -> str | None:
    value = getattr(exif, field) if exif is not None else None
    if field == "taken" and value is not None:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value // 1_000_000_000)).strftime("%Y:%m:%d %H:%M:%S")
    return text(value)


def same(expected: str | None, got: str | None, unsigned: bool) -> bool:
    if expected is None or got is None:
        return expected == got
    try:
        a, b = float(expected), float(got)
    except ValueError:
        return expected == got
    return abs((abs(a) if unsigned else a) - (abs(b) if unsigned else b)) <= 1e-6 * max(1.0, abs(a))


@pytest.fixture(scope="module")
def listings(shared: Path) -> dict[str, tuple[dict[str, Any], Exif | None]]:
    out = {}
    for listing in json.loads((shared / "photos" / "metadata" / "exiftool.json").read_text()):
        data = (shared / "photos" / listing["SourceFile"]).read_bytes()
        picture = extract_picture(data, detect(data[:65536], len(data), data[-65536:]).media_type).picture
        out[listing["SourceFile"]] = (listing, picture.exif if picture else None)
    return out


def test_named_facts_agree_with_exiftool(listings: dict[str, tuple[dict[str, Any], Exif | None]]) -> None:
    """Ten named facts of 86 files: all that exiftool gives, but for the listed deviations."""
    table: Counter[str] = Counter()
    found = set()
    for name, (listing, exif) in listings.items():
        for field, keys in NAMED.items():
            expected = text(next((listing[k] for k in keys if k in listing), None))
            got = ours(exif, field)
            if expected is None and got is None:
                continue
            if same(expected, got, field.startswith("gps")) and not (field == "software" and expected != got):
                table[field] += 1
            else:
                found.add((name, field))
    assert set(DEVIATIONS) == found
    assert dict(table) == AGREEING


def test_positions_have_the_sign_of_their_letters(listings: dict[str, tuple[dict[str, Any], Exif | None]]) -> None:
    """South and west are negative in every file with GPS."""
    checked = 0
    for listing, exif in listings.values():
        for field, letter in (("gps_lat", "GPS:GPSLatitudeRef"), ("gps_lon", "GPS:GPSLongitudeRef")):
            value = getattr(exif, field) if exif is not None else None
            if value:
                assert (value < 0) == (listing[letter] in ("S", "W"))
                checked += 1
    assert checked >= 24


def test_the_map_agrees_with_exiftool(listings: dict[str, tuple[dict[str, Any], Exif | None]]) -> None:
    """Of the other EXIF tags that exiftool names, we have 97 % and the same value in all but the converted ones."""
    agree, missing, differ = 0, 0, []
    for name, (listing, exif) in listings.items():
        for key, value in listing.items():
            group, _, tag = key.partition(":")
            if group not in ("IFD0", "ExifIFD", "GPS") or tag in ("Make", "Model", "Software", "Orientation") or CONVERTED.fullmatch(tag):
                continue
            got = exif.rest.get(tag) if exif is not None else None
            if got is None:
                missing += 1
            elif same(text(value), text(got), False) or "(Binary data" in str(value) or not str(value).isprintable():
                agree += 1
            else:
                differ.append((name, tag, value, got))
    assert differ == []
    assert agree / (agree + missing) >= 0.97


def test_metadata_extractor_agrees(shared: Path, listings: dict[str, tuple[dict[str, Any], Exif | None]]) -> None:
    """Maker and model equal the listings that ship with the pictures, a reader without a common ancestor."""
    checked = 0
    for path in sorted((shared / "photos" / "metadata").glob("*.metadata-extractor-*.txt")):
        exif = listings[path.name.partition(".metadata-extractor")[0]][1]
        for label, field in (("Make", "make"), ("Model", "model")):
            line = re.search(rf"^\[Exif IFD0 - 0x01[01][0f]\] {label} = (.*)$", path.read_text(errors="replace"), re.M)
            if line and line[1].strip():
                assert line[1].strip() == (getattr(exif, field) or "").strip(), path.name
                checked += 1
    assert checked >= 40
