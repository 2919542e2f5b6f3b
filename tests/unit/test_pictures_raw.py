"""Camera raw files built here: previews are found by our own reader, decoded, and handed on."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from safelight.extract.filetype import detect
from safelight.extract.pictures import extract_picture
from safelight.extract.pictures.boxes import boxes
from safelight.records import PictureResult


def jpeg(width: int, height: int, seed: int = 1) -> bytes:
    rng = np.random.default_rng(seed)
    picture = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    picture.save(out, "JPEG")
    return out.getvalue()


SMALL, LARGE = jpeg(160, 120), jpeg(640, 480)


def extract(data: bytes) -> PictureResult:
    return extract_picture(data, detect(data[:65536], len(data), data[-65536:]).media_type)


def directory(fields: list[tuple[int, int, int, int]], following: int = 0) -> bytes:
    entries = b"".join(struct.pack("<HHII", *f) for f in sorted(fields))
    return struct.pack("<H", len(fields)) + entries + struct.pack("<I", following)


def nef() -> bytes:
    """IFD0 (reduced picture, Nikon) with two SubIFDs: a JPEG preview, and the sensor picture."""
    make, at_make, at_subs, first, second, third = b"NIKON CORPORATION\0", 8, 26, 40, 200, 300
    out = bytearray(400)
    out[:8] = b"II*\0" + struct.pack("<I", first)
    out[at_make : at_make + len(make)] = make
    struct.pack_into("<II", out, at_subs, second, third)
    ifd0 = directory([(254, 4, 1, 1), (256, 4, 1, 160), (257, 4, 1, 120), (271, 2, len(make), at_make), (330, 4, 2, at_subs)])
    out[first : first + len(ifd0)] = ifd0
    preview = directory([(0x201, 4, 1, 400), (0x202, 4, 1, len(LARGE)), (259, 3, 1, 6)])
    out[second : second + len(preview)] = preview
    sensor = directory([(254, 4, 1, 0), (256, 4, 1, 6000), (257, 4, 1, 4000), (258, 3, 1, 14)])
    out[third : third + len(sensor)] = sensor
    return bytes(out) + LARGE


def raf() -> bytes:
    head = bytearray(200)
    head[:16] = b"FUJIFILMCCD-RAW "
    struct.pack_into(">IIII", head, 84, 200, len(LARGE), 150, 20)
    struct.pack_into(">IHHHH", head, 150, 1, 0x0100, 4, 4000, 6000)
    return bytes(head) + LARGE


def rw2() -> bytes:
    ifd = directory([(0x2E, 7, len(LARGE), 200), (256, 4, 1, 6000), (257, 4, 1, 4000)])
    return (b"IIU\0" + struct.pack("<I", 8) + ifd).ljust(200, b"\0") + LARGE


def orf() -> bytes:
    ifd = directory([(256, 4, 1, 6000), (257, 4, 1, 4000)])
    return (b"IIRO" + struct.pack("<I", 8) + ifd).ljust(200, b"\0") + LARGE


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def cr3() -> bytes:
    tiff = b"II*\0" + struct.pack("<I", 8) + directory([(256, 4, 1, 6000), (257, 4, 1, 4000)])
    canon = box(b"uuid", bytes.fromhex("85c0b687820f11e08111f4ce462b6a48") + box(b"CMT1", tiff))
    inner = box(b"PRVW", bytes(16) + LARGE)
    preview = box(b"uuid", bytes.fromhex("eaf42b5e1c984b88b9fbb7dc406e4d16") + bytes(8) + inner)
    return box(b"ftyp", b"crx \0\0\0\x01crx isom") + box(b"moov", canon) + preview


@pytest.mark.parametrize("make", [nef, raf, rw2, orf, cr3])
def test_raw_file_shows_its_largest_preview(make: object) -> None:
    """The size is that of the sensor, the hash that of the preview, and the preview is a child of its own."""
    result = extract(make())  # type: ignore[operator]
    plain = extract(LARGE).picture
    assert result.picture is not None
    assert plain is not None
    assert (result.picture.width, result.picture.height) == (6000, 4000)
    assert result.picture.pdq == plain.pdq
    assert result.picture.decoder == "libjpeg-turbo (preview)"
    assert ("preview:1", LARGE) in [(e.step, e.data) for e in result.embedded]
    assert result.problems == []


def test_raw_file_without_a_preview_says_so() -> None:
    """Cut before its preview a raw file keeps its size, and the problem names what is missing."""
    result = extract(nef()[:400])
    assert result.picture is not None
    assert (result.picture.width, result.picture.pdq) == (6000, None)
    assert "unsupported" in [k for k, _ in result.problems]


def test_second_picture_of_an_mpo_is_a_child() -> None:
    """The second frame of a multi-picture file is handed on; it is not trailing data."""
    out = io.BytesIO()
    first, second = (Image.open(io.BytesIO(jpeg(320, 240, seed))) for seed in (1, 2))
    first.save(out, "MPO", save_all=True, append_images=[second])
    result = extract(out.getvalue())
    assert [e.step for e in result.embedded] == ["preview:1"]
    assert Image.open(io.BytesIO(result.embedded[0].data)).size == (320, 240)
    assert result.problems == []


def test_boxes_end_where_their_parent_ends() -> None:
    """A box that claims more than its parent is cut, one that claims less than its head ends the walk."""
    data = memoryview(box(b"free", b"1234") + struct.pack(">I4s", 1 << 30, b"mdat") + b"56")
    assert [(b.type, b.cut, bytes(data[b.start : b.end])) for b in boxes(data, 0, len(data))] == [
        (b"free", False, b"1234"),
        (b"mdat", True, b"56"),
    ]
    assert list(boxes(memoryview(struct.pack(">I4s", 4, b"free") * 9), 0, 72)) == []
