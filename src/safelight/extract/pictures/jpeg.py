"""JPEG: the walk over its segments (size, EXIF, XMP, second pictures) and the one decode by our own kernel.

The walk touches nothing by a claimed length alone and gathers at most 8 MiB of metadata. Facts: ITU-T T.81 (markers),
EXIF 2.32 and Adobe XMP part 3 (APP1), CIPA DC-007 (MPF), Photoshop image resource 1036 (thumbnail).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from safelight.extract.pictures.decoded import COEFFICIENT_BYTES, MAX_PIXELS, Decoded
from safelight.extract.pictures.layouts import Layout
from safelight.extract.pictures.pdq import Hashes
from safelight.extract.pictures.renditions import SIDE
from safelight.extract.pictures.tiff import open_tiff

if TYPE_CHECKING:
    from PIL import Image

    from safelight.native import _jpeg

MAX_METADATA = 8 << 20
MAX_SEGMENTS = 2000
MAX_SCANS = 100
"""Real progressive files have about ten scans; the work of 100 scans is bounded by MAX_SCAN_PIXELS as well."""
MAX_SCAN_PIXELS = 3_000_000_000
EXIF, XMP, XMP_MORE = b"Exif\x00\x00", b"http://ns.adobe.com/xap/1.0/\x00", b"http://ns.adobe.com/xmp/extension/\x00"


@dataclass
class JpegLayout(Layout):
    """Layout of a JPEG: where the first scan begins, its components, and whether its process is one that only the second reader knows."""

    scan: int = -1
    components: int = 0
    rare: str = ""


def read_jpeg(data: memoryview) -> JpegLayout:
    """Walk the segments before the first scan."""
    layout = JpegLayout()
    at, total, segments = 2, 0, 0
    exif: list[bytes] = []
    more: dict[int, bytes] = {}
    while at + 4 <= len(data) and segments < MAX_SEGMENTS:
        if data[at] != 0xFF:
            layout.damage("corrupt", f"no marker at {at}")
            break
        marker = data[at + 1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xD9:
            break
        segments += 1
        (length,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length]
        if marker == 0xDA:
            layout.scan = at
            break
        if ((0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7) and len(body) >= 6:
            _frame(layout, marker, body)
        elif 0xE0 <= marker <= 0xEF or marker == 0xFE:
            total += length
            if total <= MAX_METADATA:
                _application(layout, data, marker, at + 4, body, exif, more)
        at += 2 + length
    if total > MAX_METADATA:
        layout.problem("limit.metadata", f"{total} bytes of metadata segments, {MAX_METADATA} were read")
    if exif:
        layout.exif.append(b"".join(exif))
    if more and layout.xmp:
        layout.xmp.append(b"".join(more[k] for k in sorted(more)))
    layout.mode = {1: "L", 3: "RGB", 4: "CMYK"}.get(layout.components, "")
    return layout


def _frame(layout: JpegLayout, marker: int, body: memoryview) -> None:
    """Take size and process of a frame header: lossless ones (C3; F7 is JPEG-LS, T.87) and other than 8 bits are rare."""
    bits, layout.height, layout.width, layout.components = struct.unpack_from(">BHHB", body)
    layout.rare = "jpegls_decode" if marker == 0xF7 else "jpeg_decode" if marker == 0xC3 or bits != 8 else ""
    layout.bits = bits if layout.rare else 0


def _application(
    layout: JpegLayout, data: memoryview, marker: int, at: int, body: memoryview, exif: list[bytes], more: dict[int, bytes]
) -> None:
    head = bytes(body[:35])
    if marker == 0xE1 and head.startswith(EXIF):
        # longer EXIF is cut into segments; only the first has a TIFF head. A second head is a second EXIF: the first counts.
        if not exif or bytes(body[6:10]) not in (b"II*\x00", b"MM\x00*"):
            exif.append(bytes(body[6:]))
    elif marker == 0xE1 and head.startswith(XMP) and not layout.xmp:
        layout.xmp.append(body[len(XMP) :])
    elif marker == 0xE1 and head.startswith(XMP_MORE) and len(body) >= 75 and len(more) < 1000:
        more.setdefault(struct.unpack_from(">I", body, 71)[0], bytes(body[75:]))
    elif marker == 0xE2 and head.startswith(b"MPF\x00") and not layout.previews:
        layout.previews.extend(_second_pictures(data, at + 4))
    elif marker == 0xE0 and head.startswith(b"JFXX\x00\x10"):
        layout.thumbnails.append(bytes(body[6:]))
    elif marker == 0xED and head.startswith(b"Photoshop 3.0\x00"):
        thumbnail = _photoshop_thumbnail(bytes(body[14:]))
        if thumbnail:
            layout.thumbnails.append(thumbnail)


def _second_pictures(data: memoryview, base: int) -> list[tuple[int, int]]:
    """Places of the pictures of a multi-picture file behind the first (MP entries: 16 bytes, offsets from the MPF head)."""
    tiff = open_tiff(data, base)
    if tiff is None:
        return []
    fields, _ = tiff.directory(tiff.first)
    entries = tiff.raw(fields[0xB002], 16 * 64) if 0xB002 in fields else b""
    places = []
    for i in range(0, len(entries) - 15, 16):
        _, size, offset = struct.unpack_from(tiff.order + "III", entries, i)
        if offset and bytes(data[base + offset : base + offset + 2]) == b"\xff\xd8":
            places.append((base + offset, min(size, len(data) - base - offset)))
    return places


def _photoshop_thumbnail(resources: bytes) -> bytes:
    at = 0
    for _ in range(500):
        if resources[at : at + 4] != b"8BIM" or at + 12 > len(resources):
            return b""
        name = 1 + resources[at + 6]
        start = at + 6 + name + (name & 1)
        size = int.from_bytes(resources[start : start + 4], "big")
        if resources[at + 4 : at + 6] == b"\x04\x0c":
            data = resources[start + 4 + 28 : start + 4 + size]
            return data if data[:2] == b"\xff\xd8" else b""
        at = start + 4 + size + (size & 1)
    return b""


_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def end_of_image(data: memoryview, layout: JpegLayout) -> int | None:
    """Return the offset behind the end mark by walking the scans, or None where there is none."""
    at = layout.scan
    if at < 0:
        return None
    for _ in range(20_000):
        found = _MARKER.search(data, at + 2)
        if found is None:
            return None
        at = found.start()
        if data[at + 1] == 0xD9:
            return at + 2
        if at + 4 <= len(data):
            at += struct.unpack_from(">H", data, at + 2)[0]
    return None


def _scan_limit(layout: JpegLayout) -> int:
    return max(16, min(MAX_SCANS, MAX_SCAN_PIXELS // max(1, layout.width * layout.height * max(1, layout.components))))


def _cut_scans(data: memoryview, layout: JpegLayout) -> memoryview:
    """Return the data up to the scan that is one too many; each further scan costs a pass over all coefficients."""
    limit, at = _scan_limit(layout), layout.scan
    for count, found in enumerate(re.finditer(rb"\xff\xda", data[max(0, at) :])):
        if count >= limit:
            layout.damage("limit.time", f"more than {limit} scans; the picture is that of the first {limit}")
            return data[: max(0, at) + found.start()]
    return data


def decode_jpeg(data: memoryview, layout: JpegLayout) -> Decoded | None:
    """Decode by the kernel; None where the colour layout needs another decoder. Sets `layout.end` and its problems."""
    from safelight.native import _jpeg

    usable = _cut_scans(data, layout)
    answer = _decode(usable)
    if answer[0] == _jpeg.FAILED and not answer[4] and 0 < answer[14] < len(usable):
        first_error = answer[11]
        answer = _decode(usable[: answer[14]])  # multi-scan data that break off: what came before the error is a picture
        layout.damage("corrupt", first_error)
    status, width, height, components, hashes, quality, small, small_width, small_height = answer[:9]
    complete, truncated, fatal, warning, warnings, consumed, (trimmed, nearest) = answer[9:]
    if status == _jpeg.UNSUITABLE:
        layout.end = end_of_image(data, layout)
        return None
    if status in (_jpeg.TOO_MANY_PIXELS, _jpeg.TOO_MUCH_MEMORY):
        layout.damage("limit.pixels", f"{width} x {height} pixels" + (" in several scans" if status == _jpeg.TOO_MUCH_MEMORY else ""))
        return Decoded(width=width, height=height)
    if usable is data or len(usable) == len(data):
        if fatal or truncated:
            kind = "truncated" if truncated else "corrupt"
            layout.damage(kind, fatal if kind == "corrupt" else warning or fatal)
        elif warnings:
            layout.problem("corrupt", f"{warning} ({warnings} warnings)")
            layout.damaged = layout.damaged or not complete
    if status == _jpeg.DECODED and not truncated and len(usable) == len(data):
        layout.end = consumed
    if not hashes:
        return Decoded(width=width, height=height, decoder="libjpeg-turbo")
    picture = _picture(small, small_width, small_height, components)
    found = Hashes(hashes, quality)
    mode = "L" if components == 1 else "RGB"
    decoded = Decoded(width, height, mode, "libjpeg-turbo", bool(complete) and not layout.damaged, found, small=picture)
    if trimmed is not None:
        decoded.trimmed, decoded.trimmed_box = Hashes(*trimmed[:2]), trimmed[2]
    decoded.nearest = Hashes(*nearest) if nearest is not None else None
    return decoded


def _decode(
    data: memoryview,
) -> tuple[int, int, int, int, tuple[bytes, ...], int, bytes, int, int, int, int, str, str, int, int, _jpeg.Forms]:
    from safelight.native import _jpeg

    return _jpeg.decode(data, MAX_PIXELS, COEFFICIENT_BYTES, 2 * MAX_SCANS, SIDE, True)


def _picture(small: bytes, width: int, height: int, components: int) -> Image.Image:
    from PIL import Image

    return Image.frombytes("L" if components == 1 else "RGB", (width, height), small)
