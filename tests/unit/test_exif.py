"""EXIF on structures built here: dates, offsets, positions, limits, loops, wrappers."""

from __future__ import annotations

import io
import random
import struct

import pytest
from PIL import Image

from safelight.extract.pictures import extract_picture
from safelight.extract.pictures.exif import MAX_TAGS, nanoseconds, read_exif
from safelight.extract.pictures.xmp import Refused, read_xmp
from safelight.records import Exif

Entry = tuple[int, int, int, bytes]


def ascii_of(text: str) -> tuple[int, int, bytes]:
    return 2, len(text) + 1, text.encode() + b"\0"


def rationals(*pairs: tuple[int, int]) -> tuple[int, int, bytes]:
    return 5, len(pairs), b"".join(struct.pack("<II", *p) for p in pairs)


def tiff(main: dict[int, tuple[int, int, bytes]], exif: dict[int, tuple[int, int, bytes]], gps: dict[int, tuple[int, int, bytes]]) -> bytes:
    """Build a little-endian EXIF blob of three directories."""
    out = bytearray(b"II*\0\x08\0\0\0")

    def write(fields: dict[int, tuple[int, int, bytes]], pointers: dict[int, int]) -> dict[int, int]:
        """Append a directory; return where the values of the pointer tags stand."""
        everything = {**fields, **{tag: (4, 1, struct.pack("<I", value)) for tag, value in pointers.items()}}
        start = len(out)
        places = {}
        extra = start + 2 + 12 * len(everything) + 4
        body, tail = struct.pack("<H", len(everything)), b""
        for i, (tag, (kind, count, value)) in enumerate(sorted(everything.items())):
            places[tag] = start + 2 + 12 * i + 8
            inline = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", extra + len(tail))
            body += struct.pack("<HHI", tag, kind, count) + inline
            if len(value) > 4:
                tail += value
        out.extend(body + bytes(4) + tail)
        return places

    places = write(main, {0x8769: 0, 0x8825: 0})
    for tag, fields in ((0x8769, exif), (0x8825, gps)):
        struct.pack_into("<I", out, places[tag], len(out))
        write(fields, {})
    return bytes(out)


def read(
    main: dict[int, tuple[int, int, bytes]] | None = None,
    exif: dict[int, tuple[int, int, bytes]] | None = None,
    gps: dict[int, tuple[int, int, bytes]] | None = None,
) -> Exif:
    found = read_exif(tiff(main or {}, exif or {}, gps or {}))
    assert found is not None
    assert found.faults == []
    return found.exif


NOON = 1_709_208_000_000_000_000  # 2024-02-29 12:00:00 UTC


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024:02:29 12:00:00", NOON),
        ("2024-02-29T12:00:00", NOON),
        ("1970:01:01 00:00:00", 0),
        ("2024:02:29 23:59:60", None),
        ("2023:02:29 12:00:00", None),
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("2024:02:29", None),
        ("", None),
    ],
)
def test_only_dates_of_the_calendar_become_times(text: str, expected: int | None) -> None:
    """A date that no calendar has stays text."""
    assert expected == nanoseconds(text)


def test_time_taken_has_fraction_offset_and_basis() -> None:
    """Sub-seconds count; with an offset the instant is UTC, without it the local time is marked as such."""
    local = {0x9003: ascii_of("2024:02:29 12:00:00"), 0x9291: ascii_of("25")}
    assert (read(exif=local).taken, read(exif=local).taken_basis) == (NOON + 250_000_000, "local?")
    east = read(exif={**local, 0x9011: ascii_of("+05:30")})
    assert (east.taken, east.taken_basis) == (NOON + 250_000_000 - 19_800_000_000_000, "offset")
    west = read(exif={**local, 0x9011: ascii_of("-05:00")})
    assert west.taken == NOON + 250_000_000 + 18_000_000_000_000
    digitized = read(exif={0x9003: ascii_of("0000:00:00 00:00:00"), 0x9004: ascii_of("2024:02:29 12:00:00")})
    assert (digitized.taken, digitized.taken_basis) == (NOON, "local?")
    assert digitized.rest["DateTimeOriginal"] == "0000:00:00 00:00:00"


def test_position_needs_its_letters() -> None:
    """South and west are negative; no letter, a zero divisor or 91 degrees give no position, but stay readable."""
    gps = {1: ascii_of("S"), 2: rationals((33, 1), (30, 1), (36, 1)), 3: ascii_of("W"), 4: rationals((70, 1), (3966, 100), (0, 1))}
    found = read(gps={**gps, 5: (1, 1, b"\1"), 6: rationals((25, 2)), 0x1D: ascii_of("2024:02:29"), 7: rationals((12, 1), (0, 1), (1, 2))})
    assert found.gps_lat == pytest.approx(-33.51)
    assert found.gps_lon == pytest.approx(-70.661)
    assert found.gps_alt == -12.5
    assert found.gps_time == NOON + 500_000_000
    for wrong in ({1: ascii_of("X")}, {2: rationals((33, 0), (30, 1), (36, 1))}, {2: rationals((91, 1), (0, 1), (0, 1))}):
        assert read(gps={**gps, **wrong}).gps_lat is None
    without = {k: v for k, v in gps.items() if k != 1}
    assert read(gps=without).gps_lat is None
    assert "GPSLatitude" in read(gps=without).rest


def test_texts_are_kept_verbatim() -> None:
    """UTF-8 and Latin-1 are decoded, both parts of Copyright kept, comments of Unicode read."""
    main = {0x010F: (2, 7, "Blå".encode() + b"\0xx"), 0x0110: (2, 4, b"Bl\xe5\0"), 0x8298: (2, 5, b"a\0b\0\0")}
    found = read(main, {0x9286: (7, 14, b"UNICODE\0" + "æøå".encode("utf-16-le")), 0xA431: ascii_of(" 0042 "), 0xA435: ascii_of("L1")})
    assert (found.make, found.model, found.rest["Copyright"]) == ("Blå", "Blå", "a; b")
    assert (found.rest["UserComment"], found.serial, found.lens_serial) == ("æøå", " 0042 ", "L1")


def test_many_tags_are_cut_and_told() -> None:
    """Five hundred tags are kept; the answer says that there were more."""
    found = read_exif(tiff(dict.fromkeys(range(16384, 16384 + MAX_TAGS + 50), (3, 1, b"\x01\x00")), {}, {}))
    assert found is not None
    assert found.limited
    assert len(found.exif.rest) == MAX_TAGS


def test_every_wrapper_gives_the_same_facts() -> None:
    """JPEG, PNG, WebP, TIFF and AVIF carry the same EXIF."""
    blob = Image.Exif()
    blob[0x010F], blob[0x0110] = "Maker", "Model"
    picture = Image.new("RGB", (40, 30), "green")
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        out = io.BytesIO()
        picture.save(out, kind, exif=blob)
        found = extract_picture(out.getvalue(), f"image/{kind.lower()}").picture
        assert found is not None
        assert found.exif is not None, kind
        assert (found.exif.make, found.exif.model) == ("Maker", "Model")


def test_exif_in_several_segments_is_joined() -> None:
    """EXIF longer than one segment is cut into APP1 segments that each repeat the mark."""
    blob = tiff({0x010F: ascii_of("Maker"), 0x010E: ascii_of("x" * 70_000), 0x0131: ascii_of("Writer 1.0")}, {}, {})
    out = io.BytesIO()
    Image.new("L", (16, 16)).save(out, "JPEG")
    parts = [blob[i : i + 65_000] for i in range(0, len(blob), 65_000)]
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(p) + 8) + b"Exif\0\0" + p for p in parts)
    result = extract_picture(b"\xff\xd8" + segments + out.getvalue()[2:], "image/jpeg")
    assert result.problems == []
    assert result.picture is not None
    assert result.picture.exif is not None
    assert (result.picture.exif.make, result.picture.exif.software) == ("Maker", "Writer 1.0")
    assert result.picture.exif.rest["ImageDescription"] == "x" * 4096


def test_random_bytes_never_raise() -> None:
    """Two thousand damaged EXIF blobs each end in an answer, with bounded faults."""
    good = tiff(
        {0x010F: ascii_of("OLYMPUS IMAGING")},
        {0x9003: ascii_of("2024:02:29 12:00:00"), 0x927C: (7, 40, b"OLYMP\0\1\0\2\0" + bytes(30)), 0xA435: ascii_of("lens")},
        {1: ascii_of("N"), 2: rationals((1, 1), (2, 1), (3, 1)), 6: rationals((1, 1))},
    )
    rng = random.Random(1)
    for _ in range(2000):
        data = bytearray(good[: rng.randint(8, len(good))])
        for _ in range(rng.randint(1, 20)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        found = read_exif(bytes(data))
        assert found is None or len(found.faults) <= 20


def test_xmp_is_read_and_attacks_are_refused() -> None:
    """Properties come out flat; a DTD, deep nesting, size and broken XML are refused with their kind."""
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" aux:SerialNumber="77" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        b"<dc:title><rdf:Alt><rdf:li>A title</rdf:li></rdf:Alt></dc:title></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    assert read_xmp(packet) == {"aux:SerialNumber": "77", "dc:title": "A title"}
    for bad, kind in (
        (b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "metadata"),
        (b"<x>" * 200 + b"</x>" * 200, "limit.depth"),
        (b"<x>" + b" " * (5 << 20), "limit.metadata"),
        (b"<x><y></x>", "metadata"),
    ):
        with pytest.raises(Refused) as refused:
            read_xmp(bad)
        assert kind == refused.value.kind
